"""The gRPC service without a socket: calls of a fake context over the house of fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from quorate.codecs.snapshot import PolicyRoute, Routing, StrategyRoute
from quorate.serving.generation import Generation, Model
from quorate.serving.grpc import open_inference_pb2 as messages
from quorate.serving.grpc.service import SERVICE, InferenceService
from quorate.serving.idempotency import IdempotencyTable
from quorate.web.auth import Keyring

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)


@dataclass
class Ended:
    """What a client would see of a call."""

    body: bytes = b""
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailing: dict[str, str] = field(default_factory=dict)


class Context:
    """What gRPC gives a handler; ``raw`` is the message that arrives, ``hold`` makes it wait for :attr:`arrive`."""

    def __init__(
        self, raw: Any, metadata: Sequence[tuple[str, Any]], remaining: float | None, *, hold: bool = False
    ) -> None:
        self.raw = raw
        self.remaining = remaining
        self.ended = Ended()
        self.reads = 0
        self.hold = hold
        self._metadata = tuple(metadata)

    def invocation_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self.remaining

    async def read(self) -> Any:
        self.reads += 1
        if self.hold:
            await asyncio.get_running_loop().create_future()
        return self.raw

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.ended.trailing = self._once(metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        self.ended = Ended(b"", code, details, self._once(trailing))
        raise grpc.aio.AbortError

    @staticmethod
    def _once(metadata: Any) -> dict[str, str]:
        found = dict(metadata)
        assert len(found) == len(tuple(metadata))
        return found


class Port:
    """The service over a house of fakes; ``call`` is one call."""

    def __init__(self, house: Any, root: Path) -> None:
        self.house = house
        self.ready = True
        self.telemetry = root
        self.table = IdempotencyTable(root / "idempotency.db", slot=0, boot=0, clock=house.clock)
        self.service = self._service(None)
        self.pool = house.pool(a=house.inline(0.9), b=house.inline(0.7))
        self.publish(self.pool)

    context = staticmethod(Context)

    def _service(self, repository: Any) -> InferenceService:
        return InferenceService(
            self.house.plane,
            idempotency=self.table,
            ready=lambda: self.ready,
            telemetry=self.telemetry,
            repository=repository,
        )

    def hook(self, repository: Any) -> None:
        """Let it load and unload models."""
        self.service = self._service(repository)

    def publish(self, pool: Any, *strategies: StrategyRoute, policy: PolicyRoute | None = None, **routing: Any) -> None:
        """Serve an endpoint ``main`` on a pool, and its members as models."""
        endpoint = self.house.endpoint(pool, strategies or (MEAN,), policy, caller_may_choose=True)
        models = {member.name: {1: Model(pool, i)} for i, member in enumerate(pool.members)}
        version = self.house.plane.generation.version + 1
        self.house.plane.generation = Generation(
            version,
            Routing(version=version, **routing),
            (pool,),
            {"main": endpoint},
            models,
            Keyring(routing.get("keys", ())),
        )
        self.house.plane.generation.acquire()

    def call(
        self, method: str, request: Any, *metadata: tuple[str, Any], remaining: float | None = None
    ) -> tuple[Any, Ended]:
        """Make one call: the answer (None for an error) and how it ended."""
        raw = request.SerializeToString() if hasattr(request, "SerializeToString") else request
        context = Context(raw, metadata, remaining)
        self.house.run(self.handle(method, context))
        ended = context.ended
        answer = getattr(messages, f"{method}Response")
        return (answer.FromString(ended.body) if ended.code is grpc.StatusCode.OK else None), ended

    async def handle(self, method: str, context: Context) -> None:
        handler = self.service.handlers().service(_Details(f"/{SERVICE}/{method}"))
        try:
            context.ended.body = await handler.stream_unary(None, context)
        except grpc.aio.AbortError:
            return

    def close(self) -> None:
        self.table.close()


@dataclass
class _Details:
    method: str
    invocation_metadata: tuple[Any, ...] = ()


def infer_request(model: str = "main", **more: Any) -> messages.ModelInferRequest:
    """One row for a house's endpoint, raw."""
    request = messages.ModelInferRequest(model_name=model, **more)
    request.inputs.add(name="input", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    return request


@pytest.fixture
def port(house: Any, tmp_path: Path) -> Iterator[Port]:
    """See :class:`Port`."""
    made = Port(house, tmp_path)
    yield made
    made.close()


@pytest.fixture
def infer() -> Any:
    """See :func:`infer_request`."""
    return infer_request
