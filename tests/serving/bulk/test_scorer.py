"""Micro-batches: sized by time, tried again when shed, halved when too slow, split around rows that spoil them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput, NoQuorum, Overloaded
from quorate.preprocess.pipeline import Pipeline
from quorate.serving.bulk import scorer

from .conftest import read

ROW = b"[1, 2]\n"
PICTURES = Signature("image", (TensorSpec("image", "bytes", (None,)),), OutputSpec("scores", ("no", "yes")))


def in_fake_time(bench: Any, body: bytes, **more: Any) -> Any:
    async def main() -> bytes:
        return await bench.answer(bench.request([body], **more))

    return read(bench.house.run(main()))


def sizes(bench: Any) -> list[int]:
    return [decision.rows for decision in bench.house.journal.decisions]


def slow(house: Any, row_s: float, fixed_s: float = 0.0) -> Any:
    """A member in a process of its own that takes so long a row."""

    def made(position: int, artifact: Any) -> Any:
        unit = house.hosted(0.9)(position, artifact)
        run = unit.host.run

        async def timed(inputs: Any, *, timeout: float | None = None) -> Any:
            unit.host.delay = fixed_s + row_s * len(inputs["input"])
            return await run(inputs, timeout=timeout)

        unit.host.run = timed
        return unit

    return house.pool(a=made)


def test_micro_batches_grow_to_the_time_they_may_take(bench: Any) -> None:
    bench.publish(slow(bench.house, 0.0005))
    _, summary = in_fake_time(bench, ROW * 1000)
    found = sizes(bench)
    assert summary["answered"] == 1000
    assert found[0] == scorer.FIRST_ROWS
    assert max(found) == pytest.approx(scorer.TARGET_S / 0.0005, abs=2)
    bench.house.journal.records.clear()
    bench.publish(slow(bench.house, 0.1))
    in_fake_time(bench, ROW * 60)
    assert sizes(bench)[-1] == 1


def test_what_misses_the_deadline_together_is_tried_in_halves(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plane, late = bench.house.plane, []
    predict = plane.predict

    async def slows_down(endpoint: Any, call: Any) -> Any:
        if call.rows > 5:
            late.append(call.rows)
            await asyncio.sleep(endpoint.deadline)
            raise NoQuorum("Late.")
        return await predict(endpoint, call)

    monkeypatch.setattr(plane, "predict", slows_down)
    rows, summary = in_fake_time(bench, ROW * 40)
    assert summary == {"rows": 40, "answered": 40, "failed": 0, "complete": True}
    assert [row["row"] for row in rows] == list(range(40))
    assert late
    assert sum(sizes(bench)) == 40


def test_a_row_that_is_too_slow_alone_fails(bench: Any) -> None:
    bench.publish(slow(bench.house, 1.0), deadline_ms=100.0)
    rows, summary = in_fake_time(bench, ROW * 3)
    assert {row["error"]["code"] for row in rows} == {"no_quorum"}
    assert summary["failed"] == 3


def shedding(bench: Any, monkeypatch: pytest.MonkeyPatch, times: float) -> list[float]:
    """``predict`` sheds so many times; when it was tried."""
    monkeypatch.setattr(scorer, "FIRST_ROWS", 16)  # all in one
    plane, tries = bench.house.plane, []
    predict = plane.predict

    async def shed(endpoint: Any, call: Any) -> Any:
        tries.append(bench.house.clock.monotonic())
        if len(tries) <= times:
            raise Overloaded("full.", retry_after=1.0)
        return await predict(endpoint, call)

    monkeypatch.setattr(plane, "predict", shed)
    return tries


def test_a_shed_micro_batch_is_tried_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = shedding(bench, monkeypatch, 5)
    rows, summary = in_fake_time(bench, ROW * 4)
    assert summary == {"rows": 4, "answered": 4, "failed": 0, "complete": True}
    assert len(tries) == 6
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(tries))
    assert bench.house.counters.counter("quorate_batch_retries_total", endpoint="main").value == 5
    assert {row["decision"] for row in rows} == {bench.house.journal.decisions[0].id}


def test_one_that_is_shed_for_long_fails(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = shedding(bench, monkeypatch, float("inf"))
    rows, summary = in_fake_time(bench, ROW * 4)
    assert {row["error"]["code"] for row in rows} == {"overloaded"}
    assert summary["complete"]
    assert tries[-1] - tries[0] <= scorer.RETRY_FOR_S


def test_calls_are_bulk_and_few_at_once(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plane, now, most = bench.house.plane, 0, 0
    predict = plane.predict

    async def watched(endpoint: Any, call: Any) -> Any:
        nonlocal now, most
        assert call.priority == "bulk"
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        try:
            return await predict(endpoint, call)
        finally:
            now -= 1

    monkeypatch.setattr(plane, "predict", watched)

    async def main() -> list[bytes]:
        return await asyncio.gather(*(bench.answer(bench.request([ROW * 200])) for _ in range(5)))

    assert all(read(answer)[1]["answered"] == 200 for answer in bench.house.run(main()))
    assert most == 2


def test_a_call_refused_for_its_size_is_halved(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = bench.house.plane
    predict = plane.predict

    async def small(endpoint: Any, call: Any) -> Any:
        if call.rows > 3:
            raise InvalidInput("Too many.", path="body")
        return await predict(endpoint, call)

    monkeypatch.setattr(plane, "predict", small)
    rows, summary = in_fake_time(bench, ROW * 16)
    assert summary["answered"] == 16
    assert [row["row"] for row in rows] == list(range(16))


def png(value: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(sink, "png")
    return sink.getvalue()


def test_pictures_that_are_none_fail_alone(bench: Any) -> None:
    """Each is decoded twice at most, however many are bad."""

    def answer(tensors: Any) -> Any:
        yes = tensors["input"].reshape(len(tensors["input"]), -1)[:, 0] / 255
        return np.stack([1 - yes, yes], axis=1).astype(np.float32)

    pool = bench.house.pool(signature=PICTURES, a=bench.house.inline(answer))
    pool.pipelines = (
        Pipeline.from_spec([{"kind": "decode"}, {"kind": "grayscale"}, {"kind": "resize", "height": 2, "width": 2}]),
    )
    bench.publish(pool)
    pictures = [png(i) if i % 5 else b"no picture" for i in range(1, 41)]
    body = "\n".join(json.dumps({"b64": base64.b64encode(one).decode()}) for one in pictures).encode()
    rows, summary = bench.score(body)
    assert summary == {"rows": 40, "answered": 32, "failed": 8, "complete": True}
    for i, row in enumerate(rows, 1):
        if i % 5:
            assert row["prediction"]["probabilities"]["yes"] == pytest.approx(i / 255, abs=1e-6)
        else:
            assert row["error"]["path"] == "instance"
