"""``inference.GRPCInferenceService`` over the data plane."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf.message import DecodeError

from quorate.errors import MalformedRequest, MethodNotAllowed, NoQuorum, NotReady, Overloaded, QuorateError, TooLarge
from quorate.serving import oip_models, statistics
from quorate.serving.call import Call
from quorate.serving.grpc import open_inference_pb2 as messages
from quorate.serving.grpc import responses, tensors
from quorate.serving.grpc.heads import Heads
from quorate.serving.grpc.status import Metadata, failure
from quorate.serving.http import Reply
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.oip_responses import TOLD
from quorate.serving.once import at_most_once
from quorate.serving.plane import Plane
from quorate.web.limits import READ_TIMEOUT_S
from quorate.web.problem import status_of

log = logging.getLogger("quorate.serving")

SERVICE = "inference.GRPCInferenceService"
EXTENSIONS = ("model_repository", "statistics")
CALLS = 1024
"""Calls under way at once in a worker; one more is refused before its message is read."""
WAY_BACK_MS = 5.0
ROUNDING = 0.01
WAY_BACK = 0.1
"""What is kept of a client's deadline, a tenth at most: time for the answer's way back, and what gRPC may have added
when it sent the deadline as a timeout of few digits, rounded up."""


class Repository(Protocol):
    """Loads and unloads models on request, ``by`` a key's id; errors are client errors that name the model."""

    async def load(self, name: str, by: str | None = None) -> None:
        """Load a model, or load it anew."""

    async def unload(self, name: str, by: str | None = None) -> None:
        """Give a model's memory back."""


class Asked(NamedTuple):
    """One call whose message was read; ``caller`` is the id of its key."""

    raw: bytes
    request: Any
    heads: Heads
    caller: str | None
    context: Any


class Method(NamedTuple):
    """A method of the service: its request type, the role that it needs, and what answers it with bytes."""

    request: Any
    role: str | None
    answer: Callable[[Asked], Awaitable[tuple[bytes, Metadata]]]


class InferenceService:
    """The methods of the protocol, over bytes: a message that cannot be read is an error of ours with a sentence.

    ``ready`` says whether requests may come; ``idempotency`` is shared by all workers of a machine; ``telemetry`` is
    the folder in which they count.
    """

    def __init__(
        self,
        plane: Plane,
        *,
        idempotency: IdempotencyTable,
        ready: Callable[[], bool],
        telemetry: Path,
        repository: Repository | None = None,
    ) -> None:
        self._plane = plane
        self._idempotency = idempotency
        self._ready = ready
        self._telemetry = telemetry
        self._repository = repository
        self._calls = 0
        self._kept: set[asyncio.Task[tuple[bytes, Metadata]]] = set()

    @property
    def methods(self) -> dict[str, Method]:
        """By name."""
        return {
            "ServerLive": Method(messages.ServerLiveRequest, None, self._live),
            "ServerReady": Method(messages.ServerReadyRequest, None, self._server_ready),
            "ServerMetadata": Method(messages.ServerMetadataRequest, None, self._server_metadata),
            "ModelReady": Method(messages.ModelReadyRequest, "predict", self._model_ready),
            "ModelMetadata": Method(messages.ModelMetadataRequest, "predict", self._model_metadata),
            "ModelInfer": Method(messages.ModelInferRequest, "predict", self._infer),
            "RepositoryIndex": Method(messages.RepositoryIndexRequest, "predict", self._index),
            "RepositoryModelLoad": Method(messages.RepositoryModelLoadRequest, "admin", self._load),
            "RepositoryModelUnload": Method(messages.RepositoryModelUnloadRequest, "admin", self._unload),
            "ModelStatistics": Method(messages.ModelStatisticsRequest, "operate", self._statistics),
        }

    def handlers(self) -> Any:
        """What a server registers."""
        # Each is a stream of requests to gRPC, of which one is read: so key and load are looked at before a message
        # is taken in, and it must come in time. On the wire that is the same as a single request.
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(self._handler(name, method))
            for name, method in self.methods.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def finish(self, timeout: float) -> None:
        """Wait (seconds) for the calls that go on after their clients have left."""
        if self._kept:
            await asyncio.wait(self._kept, timeout=timeout)

    # --- every call -----------------------------------------------------------------------------------

    def _handler(self, name: str, method: Method) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def handle(_: Any, context: Any) -> bytes:
            heads = Heads(context.invocation_metadata())
            self._calls += 1
            try:
                body, extra = await self._serve(method, heads, context)
            except QuorateError as error:
                ended = failure(error)
                if not isinstance(error, NoQuorum):  # that one is a decision, and was counted as one
                    self._plane.meters.refused(status_of(error)[0])
            except grpc.aio.BaseError:
                raise  # the connection is gone
            except Exception as error:
                log.exception("Call %s failed (%s)", name, heads.request_id)
                ended = failure(error)
                self._plane.meters.refused(500)
            else:
                context.set_trailing_metadata((*heads.echo, *extra))
                return body
            finally:
                self._calls -= 1
            return await _abort(context, ended.code, ended.details, (*heads.echo, *ended.trailing))

        return handle

    async def _serve(self, method: Method, heads: Heads, context: Any) -> tuple[bytes, Metadata]:
        heads.check()
        caller = None
        if method.role is not None:
            keyring = self._plane.generation.keyring
            caller = keyring.authorise(heads.authorization, heads.api_key, method.role)
        if self._calls > CALLS:
            raise Overloaded(f"{CALLS} gRPC calls are under way in this worker; retry later.")
        raw = await self._read(context)
        try:
            request = method.request.FromString(raw)
        except DecodeError:
            raise MalformedRequest(
                f"The bytes received are no {method.request.DESCRIPTOR.name} of the Open Inference Protocol.",
                path="message",
            ) from None
        return await method.answer(Asked(raw, request, heads, caller, context))

    async def _read(self, context: Any) -> bytes:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                raw = await context.read()
        except TimeoutError:
            raise MalformedRequest(
                f"The message did not arrive within {READ_TIMEOUT_S:g} s; send it faster or in smaller requests.",
                path="message",
            ) from None
        if raw is grpc.aio.EOF:
            raise MalformedRequest("The call has no message; send one.", path="message")
        limit = self._plane.generation.limits.body_bytes
        if len(raw) > limit:  # gRPC itself refuses what was too large when the worker started
            raise TooLarge(
                f"The message has more than {limit} bytes (limits.body_bytes); send fewer rows a request.",
                path="message",
            )
        return bytes(raw)

    def _need_ready(self) -> None:
        if not self._ready():
            raise NotReady("This worker is starting or draining; try again in a moment.")

    # --- about the server and its models --------------------------------------------------------------

    async def _live(self, asked: Asked) -> tuple[bytes, Metadata]:
        return _bytes(messages.ServerLiveResponse(live=True))

    async def _server_ready(self, asked: Asked) -> tuple[bytes, Metadata]:
        return _bytes(messages.ServerReadyResponse(ready=self._ready()))

    async def _server_metadata(self, asked: Asked) -> tuple[bytes, Metadata]:
        return _bytes(messages.ServerMetadataResponse(**oip_models.SERVER, extensions=EXTENSIONS))

    async def _model_ready(self, asked: Asked) -> tuple[bytes, Metadata]:
        found = self._target(asked.request.name, asked.request.version)
        return _bytes(messages.ModelReadyResponse(ready=self._ready() and oip_models.is_loaded(found)))

    async def _model_metadata(self, asked: Asked) -> tuple[bytes, Metadata]:
        self._need_ready()
        found = self._target(asked.request.name, asked.request.version)
        return _bytes(responses.metadata_response(oip_models.metadata(found)))

    async def _index(self, asked: Asked) -> tuple[bytes, Metadata]:
        return _bytes(
            responses.index_response(oip_models.index(self._plane.generation, ready_only=asked.request.ready))
        )

    async def _statistics(self, asked: Asked) -> tuple[bytes, Metadata]:
        series = await asyncio.to_thread(statistics.read, self._telemetry)
        request = asked.request
        found = statistics.statistics(self._plane.generation, series, request.name, request.version)
        return _bytes(responses.statistics_response(found))

    async def _load(self, asked: Asked) -> tuple[bytes, Metadata]:
        name, repository = self._named(asked)
        await repository.load(name, by=asked.caller)
        return _bytes(messages.RepositoryModelLoadResponse(model_name=name, isLoaded=True))

    async def _unload(self, asked: Asked) -> tuple[bytes, Metadata]:
        name, repository = self._named(asked)
        await repository.unload(name, by=asked.caller)
        return _bytes(messages.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True))

    def _named(self, asked: Asked) -> tuple[str, Repository]:
        """The model's name, in either of the two fields in which clients send it."""
        if self._repository is None:
            raise MethodNotAllowed(
                "This server loads what its configuration names, not on request; change quorate.yaml and apply it.",
                allow=(),
                path="method",
            )
        return asked.request.model_name or asked.request.repository_name, self._repository

    def _target(self, name: str, version: str) -> oip_models.Target:
        return oip_models.target(self._plane.generation, name, version or None)

    # --- inference ------------------------------------------------------------------------------------

    async def _infer(self, asked: Asked) -> tuple[bytes, Metadata]:
        self._need_ready()
        key = asked.heads.idempotency_key
        if key is None:
            return await self._answer(asked, None)
        # A client that leaves may come back with the same key, and must find the one decision that was made.
        task = asyncio.ensure_future(self._answer(asked, key))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return await asyncio.shield(task)

    async def _answer(self, asked: Asked, key: str | None) -> tuple[bytes, Metadata]:
        request = asked.request
        with self._plane.pinned():
            found = self._target(request.model_name, request.model_version)
            blind = oip_models.is_blind(found)
            output = found.pool.route.signature.output
            call = self._call(asked, found, key)
            told = oip_models.tells(found, call)
            responses.check_outputs(request.outputs, output, blind=blind, told=told)
            sure = told and call.min_confidence is not None
            told = sure or any(one.name in TOLD for one in request.outputs)

            async def answer() -> bytes:
                answered = await oip_models.answer(self._plane, found, call, told=told)
                return responses.infer_response(request, answered, output, blind=blind, sure=sure)

            async def reply() -> Reply:
                return 200, [], await answer()

            if key is None:
                return await answer(), ()
            same = SERVICE.encode() + b"\0" + request.SerializeToString(deterministic=True)
            _, replayed, body = await at_most_once(self._idempotency, reply, caller=asked.caller, key=key, asked=same)
            assert isinstance(body, bytes)  # noqa: S101 - a reply of ours
            return body, tuple((name.decode(), value.decode()) for name, value in replayed)

    def _call(self, asked: Asked, found: oip_models.Target, key: str | None) -> Call:
        clock = self._plane.clock
        arrived, started = clock.now(), clock.monotonic()
        infer = tensors.decode(asked.request, found.pool.route.signature, self._plane.generation.limits)
        return Call(
            raw=infer.raw,
            path=infer.path,
            rows=infer.rows,
            size=len(asked.raw),
            digest=hashlib.sha256(asked.raw).digest(),
            arrived=arrived,
            started=started,
            strategy=infer.strategy,
            max_ms=sooner(infer.max_ms, asked.context.time_remaining()),
            min_confidence=infer.min_confidence,
            context=infer.context,
            request_id=asked.heads.request_id,
            idempotency_key=key,
            traceparent=asked.heads.traceparent,
        )


def sooner(max_ms: float | None, remaining: float | None) -> float | None:
    """The smaller of what the request allows and what the client's deadline leaves (seconds), less the way back."""
    if remaining is None:
        return max_ms
    left = remaining * 1000
    left -= min(WAY_BACK_MS + left * ROUNDING, left * WAY_BACK)
    return left if max_ms is None else min(left, max_ms)


def _bytes(message: Any) -> tuple[bytes, Metadata]:
    return message.SerializeToString(), ()


async def _abort(context: Any, code: grpc.StatusCode, details: str, trailing: Metadata) -> bytes:
    """End the call with an error; where the client is gone, nobody is left to tell."""
    try:
        await context.abort(code, details, trailing)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:
        log.debug("A client was gone before its error could be sent.")
    return b""
