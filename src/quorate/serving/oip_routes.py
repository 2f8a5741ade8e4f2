"""The Open Inference Protocol v2 on the inference port: the routes below ``/v2``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from quorate.errors import NotReady, UnsupportedMediaType
from quorate.serving import oip, oip_models, oip_responses, oip_statistics
from quorate.serving.call import Call
from quorate.serving.gate import Gate
from quorate.serving.http import BINARY, JSON, Reply, Request, allow, no_route
from quorate.serving.oip_models import Target
from quorate.serving.plane import Plane
from quorate.serving.repository import Repository
from quorate.web import headers as header

_encode = msgspec.json.Encoder().encode


class ProtocolRoutes:
    """Answers what is asked below ``/v2``; ``telemetry`` is the folder in which all workers count."""

    def __init__(self, plane: Plane, gate: Gate, repository: Repository | None, telemetry: Path | None) -> None:
        self._plane = plane
        self._gate = gate
        self._repository = repository
        self._telemetry = telemetry

    async def answer(self, request: Request, rest: list[str]) -> Reply:
        """Answer a request for the path ``rest`` below ``/v2``."""
        match rest:
            case ["models", *model]:
                return await self._models(request, model)
            case [] | [""]:
                allow(request, "GET")
                about = {
                    **oip_models.SERVER,
                    "extensions": ["binary_tensor_data", "model_repository", "statistics"],
                }
                return 200, [JSON], _encode(about)
            case ["health", "live"]:
                allow(request, "GET")
                return 200, [JSON], b'{"live":true}'
            case ["health", "ready"]:
                allow(request, "GET")
                self._gate.need_ready()
                return 200, [JSON], b'{"ready":true}'
            case ["repository", "index"]:
                allow(request, "POST")
                return await self._index(request)
            case ["repository", "models", name, ("load" | "unload") as action]:
                allow(request, "POST")
                return await self._repository_model(request, name, action)
        raise no_route(request)

    async def _index(self, request: Request) -> Reply:
        self._gate.authorise(request, "predict")
        ready = oip_models.ready_only(await self._gate.body(request), self._plane.generation.limits.json_depth)
        return 200, [JSON], _encode(oip_models.index(self._plane.generation, ready_only=ready))

    async def _repository_model(self, request: Request, name: str, action: str) -> Reply:
        caller = self._gate.authorise(request, "admin")
        oip_models.no_parameters(await self._gate.body(request), self._plane.generation.limits.json_depth)
        if self._repository is None:
            raise NotReady("This worker is starting or draining; try again in a moment.")
        act = self._repository.load if action == "load" else self._repository.unload
        await act(name, by=caller)
        return 200, [JSON], b"{}"

    async def _models(self, request: Request, rest: list[str]) -> Reply:
        version: str | None = None
        match rest:
            case ["stats"] if not self._plane.generation.has("stats"):
                name, action = "", "stats"
            case [name]:
                action = ""
            case [name, "versions", version]:
                action = ""
            case [name, "versions", version, ("ready" | "infer" | "stats") as action]:
                pass
            case [name, ("ready" | "infer" | "stats") as action]:
                pass
            case _:
                raise no_route(request)
        allow(request, "POST" if action == "infer" else "GET")
        caller = self._gate.authorise(request, "operate" if action == "stats" else "predict")
        self._gate.need_ready()
        if action == "stats":
            found = await oip_statistics.of(self._plane.generation, self._telemetry, name, version)
            return 200, [JSON], _encode(found)
        target = oip_models.target(self._plane.generation, name, version)
        if action == "infer":
            return await self._infer(request, target, caller)
        if action == "ready":
            oip_models.need_loaded(target)
            return 200, [JSON], _encode({"name": name, "ready": True})
        return 200, [JSON], _encode(oip_models.metadata(target))

    async def _infer(self, request: Request, target: Target, caller: str | None) -> Reply:
        key = header.idempotency_key(request.headers.get(b"idempotency-key"))
        if request.media_type not in ("application/json", "application/octet-stream", ""):
            raise UnsupportedMediaType(
                f"'{request.media_type[:64]}' is not read here; expected application/json or application/octet-stream.",
                path="Content-Type",
            )
        body = await self._gate.body(request)
        blind = oip_models.is_blind(target)
        signature = target.pool.route.signature
        infer = oip.decode(
            body, request.headers.get(b"inference-header-content-length"), signature, self._plane.generation.limits
        )
        call = Call(
            raw=infer.raw,
            path=infer.path,
            rows=infer.rows,
            size=len(body),
            digest=hashlib.sha256(body).digest(),
            arrived=request.arrived,
            started=self._plane.clock.monotonic(),
            strategy=infer.strategy,
            max_ms=infer.max_ms,
            min_confidence=infer.min_confidence,
            context=infer.context,
            request_id=request.request_id,
            idempotency_key=key,
            traceparent=request.traceparent,
        )
        told = oip_models.tells(target, call)
        oip_responses.check_outputs(infer.request, signature.output, blind=blind, told=told)
        sure = told and call.min_confidence is not None
        told = sure or any(one.name in oip_responses.TOLD for one in infer.request.outputs or ())

        async def answer() -> Reply:
            answered = await oip_models.answer(self._plane, target, call, told=told)
            request.decision = answered.decision
            body, head = oip_responses.encode(
                infer.request,
                name=answered.name,
                version=answered.version,
                answer=answered.output,
                output=signature.output,
                blind=blind,
                parameters=answered.parameters,
                told=answered.told,
                sure=sure,
            )
            if head is None:
                return 200, [JSON], body
            return 200, [BINARY, (b"inference-header-content-length", str(head).encode())], body

        if key is None:
            return await answer()
        return await self._gate.once(request, answer, caller, key, call.digest)
