"""The inference port: REST over the data plane."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from quorate import __version__
from quorate.core.types import NOTHING, Scalar
from quorate.errors import (
    InvalidInput,
    NoQuorum,
    Overloaded,
    QuorateError,
    UnsupportedMediaType,
)
from quorate.serving import answers, outcome_requests
from quorate.serving.bulk.desk import BatchRequest, BulkDesk
from quorate.serving.call import Call
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.forms import FormReader, query_options
from quorate.serving.gate import Gate
from quorate.serving.http import HTML, JSON, Body, Headers, Reply, Request, allow, no_route
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.inputs import InputReader
from quorate.serving.listening import Tell
from quorate.serving.oip_routes import ProtocolRoutes
from quorate.serving.outcomes import OutcomeDesk
from quorate.serving.plane import Plane
from quorate.serving.prompt import Asked, PromptDesk, Told
from quorate.serving.repository import Repository
from quorate.serving.sight import Seen, look
from quorate.web import headers as header
from quorate.web.limits import ClientDisconnected
from quorate.web.openapi import docs_html
from quorate.web.openapi_inference import inference_document
from quorate.web.problem import oip_problem, problem

_encode = msgspec.json.Encoder().encode
_ENDPOINTS = "/v1/endpoints/"


class RestApp:
    """The handler of a worker's requests.

    ``ready`` says whether requests may come; ``outcomes`` and ``idempotency`` are shared by all workers of a machine,
    and ``telemetry`` is the folder in which they all count.
    """

    def __init__(
        self,
        plane: Plane,
        *,
        host: str,
        outcomes: OutcomeDesk,
        idempotency: IdempotencyTable,
        ready: Callable[[], bool],
        spool: Path | None = None,
        repository: Repository | None = None,
        telemetry: Path | None = None,
    ) -> None:
        self._plane = plane
        self._gate = Gate(plane, host=host, idempotency=idempotency, ready=ready)
        self._protocol = ProtocolRoutes(plane, self._gate, repository, telemetry)
        self._outcomes = outcomes
        self._prompt = PromptDesk(plane, answers.encode_all)
        self._bulk = BulkDesk(plane, spool=spool, ready=ready)
        self._readers: dict[int, tuple[Any, InputReader]] = {}
        self._openapi = _encode(inference_document(__version__))
        self._docs = docs_html(inference_document(__version__))

    async def handle(self, request: Request) -> Reply:
        """Answer one request; every error becomes a problem document."""
        plane = self._plane
        generation = plane.generation
        generation.acquire()  # its endpoints and models stay open meanwhile
        try:
            status, headers, body = await self._route(request)
            _finish(request, headers, body)
        except ClientDisconnected:
            raise  # nobody is left to be answered
        except Exception as error:
            return self._failed(request, error)
        finally:
            generation.release()
        return status, headers, body

    def _failed(self, request: Request, error: Exception) -> Reply:
        """The reply for an error, counted; one that nobody foresaw is logged."""
        if not isinstance(error, QuorateError):
            request.log_unexpected()
        reply = self._problem(request, error)
        if not isinstance(error, NoQuorum):  # that one is a decision, and was counted as one
            self._plane.meters.refused(reply[0])
        return reply

    @staticmethod
    def _problem(request: Request, error: Exception) -> Reply:
        answer = oip_problem if request.path.startswith("/v2") else problem
        status, headers, body = answer(error, request_id=request.request_id)
        if request.traceparent is not None:
            headers.append((b"traceparent", request.traceparent.encode()))
        return status, headers, body

    def prompt(self, request: Request, tell: Tell) -> Asked | Reply | None:
        """Begin to answer a request that can be :mod:`prompt <quorate.serving.prompt>`; None: it is to be handled.

        ``tell`` is called in a later turn of the event loop: with the reply, or with None if it is to be handled after
        all. What is to be shed gets its reply at once, before anything is done for it.
        """
        path = request.path
        if request.method != "POST" or not path.startswith(_ENDPOINTS) or b"idempotency-key" in request.headers:
            return None
        name, _, action = path[len(_ENDPOINTS) :].partition("/")
        generation = self._plane.generation
        endpoint = generation.endpoints.get(name)
        body = self._gate.whole(request)
        if action != "predict" or endpoint is None or body is None or not self._prompt.takes(endpoint):
            return None

        def told(result: Told) -> None:
            generation.release()
            tell(self._prompted(request, result))

        generation.acquire()
        asked = None
        try:
            self._gate.check(request)
            self._gate.authorise(request, "predict")
            self._gate.need_ready()
            refused = self._plane.refusal(endpoint)
            if refused is not None:
                return self._failed(request, refused)
            asked = self._prompt.ask(endpoint, self._call(request, endpoint, body, None), told)
        except Exception:  # noqa: S110 - it is handled, which tells the client or the log
            pass
        finally:
            if asked is None:
                generation.release()
        return asked

    def _prompted(self, request: Request, result: Told) -> Reply | None:
        if result is None:
            return None
        try:
            if isinstance(result, Overloaded):
                raise result
            made, body = result
            request.decision = made.id
            headers = [JSON]
            _finish(request, headers, body)
            return 200, headers, body
        except Exception as error:
            return self._failed(request, error)

    async def finish(self) -> None:
        """Wait for requests with a key whose clients have left."""
        await self._gate.finish()

    async def _route(self, request: Request) -> Reply:
        self._gate.check(request)
        parts = request.path.split("/")
        match parts[1:]:
            case ["v1", "endpoints", name, "predict"]:
                allow(request, "POST")
                return await self._predict(request, name)
            case ["v1", "endpoints", name, "batch"]:
                allow(request, "POST")
                return await self._batch(request, name)
            case ["v1", "outcomes"]:
                allow(request, "POST")
                return await self._accept_outcomes(request)
            case ["v2", *rest]:
                return await self._protocol.answer(request, rest)
            case ["openapi.json"]:
                allow(request, "GET")
                return 200, [JSON], self._openapi
            case ["docs"]:
                allow(request, "GET")
                return 200, [HTML], self._docs
        raise no_route(request)

    # --- batch ---

    async def _batch(self, request: Request, name: str) -> Reply:
        self._gate.authorise(request, "predict")
        self._gate.need_ready()
        headers, pieces = await self._bulk.score(
            BatchRequest(
                name,
                request.stream(),
                request.media_type,
                query=request.query,
                accept=request.headers.get(b"accept"),
                encoding=request.headers.get(b"content-encoding"),
                request_id=request.request_id,
                traceparent=request.traceparent,
            )
        )
        return 200, headers, pieces

    # --- predict ---

    def _reader(self, endpoint: LoadedEndpoint) -> InputReader:
        signature = endpoint.pool.route.signature
        known = self._readers.get(id(signature))
        if known is None or known[0] is not signature:
            if len(self._readers) > 256:
                self._readers.clear()
            known = self._readers[id(signature)] = (signature, InputReader(signature))
        return known[1]

    async def _predict(self, request: Request, name: str) -> Reply:
        caller = self._gate.authorise(request, "predict")
        self._gate.need_ready()
        front = self._plane.generation.fronts.get(name)
        if front is None:
            self._plane.endpoint(name)  # one that is not there is said before the body is read
        key = header.idempotency_key(request.headers.get(b"idempotency-key"))
        body = await self._gate.body(request)
        if front is None:
            endpoint, way = self._plane.endpoint(name), NOTHING
        else:
            endpoint, way = await self._plane.send(front, self._seen(request, body))
        call = self._call(request, endpoint, body, key, way)

        async def answer() -> Reply:
            decision = await self._plane.predict(endpoint, call)
            request.decision = decision.id
            return 200, [JSON], answers.encode(endpoint, decision, call)

        if key is None:
            return await answer()
        return await self._gate.once(request, answer, caller, key, call.digest)

    def _seen(self, request: Request, body: bytes) -> Seen:
        content_type = request.headers.get(b"content-type", b"")
        limits = self._plane.generation.limits
        return look(body, request.media_type, content_type, request.query, request.arrived, limits)

    def _call(
        self,
        request: Request,
        endpoint: LoadedEndpoint,
        body: bytes,
        key: str | None,
        way: Mapping[str, Scalar] = NOTHING,
    ) -> Call:
        reader = self._reader(endpoint)
        limits = self._plane.generation.limits
        media_type = request.media_type
        if media_type in ("application/json", ""):
            if request.query:
                raise InvalidInput("A JSON request has its options in the body, not in the query.", path="query")
            path = "instances"
            parsed, raw, rows = reader.decode(body, limits)
            options, context = parsed.options, parsed.context
        elif media_type.startswith("image/") or media_type == "application/octet-stream":
            path = "body"
            options, context = query_options(request.query)
            raw, rows = reader.encoded([body]), 1
            if not body:
                raise InvalidInput("The body is empty; send one encoded image.", path="body")
        elif media_type == "multipart/form-data":
            path = "file"
            images, context, options = FormReader(request.headers[b"content-type"], limits).read(body)
            raw, rows = reader.encoded(images), len(images)
        else:
            raise UnsupportedMediaType(
                f"'{media_type[:64]}' is not read here; expected application/json, image/* or multipart/form-data.",
                path="Content-Type",
            )
        return Call(
            raw=raw,
            path=path,
            rows=rows,
            size=len(body),
            digest=hashlib.sha256(body).digest(),
            arrived=request.arrived,
            started=self._plane.clock.monotonic(),
            strategy=options.strategy,
            max_ms=options.max_ms,
            min_confidence=options.min_confidence,
            context=context,
            request_id=request.request_id,
            idempotency_key=key,
            traceparent=request.traceparent,
            facts=way,
        )

    # --- outcomes ---

    async def _accept_outcomes(self, request: Request) -> Reply:
        self._gate.authorise(request, "outcome")
        self._gate.need_ready()
        parts = (self._outcomes, self._plane.meters)
        limits = self._plane.generation.limits
        if request.media_type == outcome_requests.NDJSON:
            encoding = request.headers.get(b"content-encoding")
            taken = await outcome_requests.take_lines(*parts, request.stream(), encoding, limits)
            return 202, [JSON], _encode(taken)
        if request.media_type not in ("application/json", ""):
            raise UnsupportedMediaType(
                f"'{request.media_type[:64]}' is not read here; expected application/json or "
                f"{outcome_requests.NDJSON}.",
                path="Content-Type",
            )
        body = await self._gate.body(request)
        return 202, [JSON], _encode(await outcome_requests.take(*parts, body, limits))


def _finish(request: Request, headers: Headers, body: Body) -> None:
    """The headers that every good reply has."""
    if isinstance(body, bytes):
        headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"x-request-id", request.request_id.encode()))
    if request.traceparent is not None:
        headers.append((b"traceparent", request.traceparent.encode()))
