"""A desk over a house of fakes, with a real event loop: bodies are lists of pieces."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from quorate.codecs.batch import ARROW, NDJSON, PARQUET
from quorate.codecs.snapshot import PolicyRoute, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.serving.bulk.desk import BatchRequest, BulkDesk
from quorate.serving.generation import Generation

SUMMARY = b"quorate.summary"


def columns(*specs: TensorSpec) -> Signature:
    return Signature("columns", specs, OutputSpec("scores", ("no", "yes")))


async def pieces(body: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in body:
        await asyncio.sleep(0)
        yield piece


class Bench:
    """``score`` sends a body to the endpoint ``main`` and reads the whole answer."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.ready = True
        self.desk = BulkDesk(house.plane, ready=lambda: self.ready)
        self.revision = 0

    def publish(
        self, pool: Any = None, *, policy: PolicyRoute | None = None, deadline_ms: float = 1000.0, **limits: Any
    ) -> None:
        """A new revision of ``main``: the mean of a pool's members."""
        if pool is None:
            pool = self.house.pool(a=self.house.inline(0.9), b=self.house.inline(0.7))
        self.revision += 1
        names = tuple(member.name for member in pool.members)
        endpoint = self.house.endpoint(
            pool,
            (StrategyRoute("average", "mean", names, 1), StrategyRoute("first", "single", names[:1], 1)),
            policy,
            caller_may_choose=True,
            deadline_ms=deadline_ms,
        )
        endpoint.route = type(endpoint.route)(
            **{name: getattr(endpoint.route, name) for name in endpoint.route.__struct_fields__}
            | {"revision": self.revision}
        )
        before = self.house.plane.generation
        self.house.plane.generation = Generation(
            self.revision,
            Routing(version=self.revision, limits=type(before.limits)(**limits)),
            (pool,),
            {"main": endpoint},
        )
        self.house.plane.generation.acquire()
        before.release()

    def request(self, body: Iterable[bytes] | AsyncIterator[bytes], form: str = NDJSON, **more: Any) -> BatchRequest:
        source = body if isinstance(body, AsyncIterator) else pieces(body)
        return BatchRequest(more.pop("endpoint", "main"), source, form, request_id="r1", **more)

    async def answer(self, request: BatchRequest) -> bytes:
        _, answer = await self.desk.score(request)
        return b"".join([piece async for piece in answer])

    def score(self, body: bytes | Iterable[bytes], form: str = NDJSON, **more: Any) -> Any:
        """Rows and summary of an answer in NDJSON."""
        whole = [body] if isinstance(body, bytes) else body

        async def main() -> bytes:  # the body's iterator belongs to the loop that runs it
            return await self.answer(self.request(whole, form, **more))

        return read(asyncio.run(main()))

    def table(self, body: bytes, form: str, accept: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Rows and summary of an answer as a table."""
        import pyarrow as pa
        from pyarrow import parquet

        async def main() -> bytes:
            return await self.answer(self.request([body], form, accept=accept.encode()))

        found = asyncio.run(main())
        if accept == PARQUET:
            file = parquet.ParquetFile(io.BytesIO(found))
            return file.read().to_pylist(), json.loads(file.metadata.metadata[SUMMARY])
        assert accept == ARROW
        rows: list[dict[str, Any]] = []
        summary: dict[str, Any] = {}
        for batch, metadata in pa.ipc.open_stream(found).iter_batches_with_custom_metadata():
            rows += batch.to_pylist()
            summary = summary if metadata is None else json.loads(metadata[SUMMARY])
        return rows, summary


def read(body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and the summary of an NDJSON answer."""
    *rows, last = [json.loads(line) for line in body.splitlines()]
    return rows, last["summary"]


@pytest.fixture
def bench(house: Any) -> Bench:
    """See :class:`Bench`; two members, ``a`` and ``b``, on rows of two numbers."""
    found = Bench(house)
    found.publish()
    return found
