"""Inputs are kept beside their decisions, in bounded memory, and whatever goes wrong no request notices."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs.capture import Capture
from quorate.codecs.capture_reader import CaptureReader, Losses
from quorate.codecs.journal import scan
from quorate.codecs.snapshot import CacheRoute, CaptureRoute, JournalSettings, RecordRoute, StrategyRoute
from quorate.serving import answers
from quorate.serving.capture import CaptureDesk
from quorate.serving.prompt import PromptDesk
from quorate.testing.disk import FaultyDisk

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)


class Bench:
    """A plane that captures, on a disk that may be told to fail."""

    def __init__(self, house: Any, root: Path) -> None:
        self.house = house
        self.root = root
        self.disk = FaultyDisk()
        self.desk = self.fresh()
        self.pool = house.fused(a=0.9, b=0.7)

    def fresh(self, segment_bytes: int = 1 << 20, **more: Any) -> CaptureDesk:
        settings = JournalSettings(segment_bytes=segment_bytes)
        desk = CaptureDesk(self.root, 0, 0, settings, self.house.clock, create=self.disk.create, **more)
        self.house.plane.captures = self.desk = desk
        return desk

    def endpoint(self, capture: CaptureRoute | None, **settings: Any) -> Any:
        return self.house.endpoint(self.pool, [MEAN], capture=capture, **settings)

    def counts(self) -> dict[str, float]:
        found: Counter[str] = Counter()
        self.desk.observe(lambda endpoint, result, count: found.update({f"{endpoint} {result}": count}))
        return dict(found)

    def kept(self, losses: Losses | None = None) -> list[Capture]:
        assert self.desk.close(30)
        return list(CaptureReader(self.root).captures("main", losses))


@pytest.fixture
def bench(house: Any, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(house, tmp_path / "captures")
    yield bench
    bench.disk.flow.set()
    bench.desk.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_input_is_kept_beside_its_decision(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute(), record=RecordRoute(redact={"user": "hash", "email": "remove"}))
    context = {"user": "ann", "email": "a@b", "n": 1}
    decision = bench.house.predict(endpoint, rows=2, context=context)
    recorded = bench.house.journal.decisions[-1]
    assert recorded.capture == "kept"
    (capture,) = bench.kept()
    assert (capture.id, capture.endpoint, capture.rows, capture.share) == (decision.id, "main", 2, 1.0)
    assert capture.inputs["input"].tolist() == [[0.0, 0.0]] * 2  # type: ignore[union-attr]
    assert dict(capture.context) == dict(recorded.context)
    assert set(capture.context) == {"user", "n"}
    assert b"a@b" not in b"".join(path.read_bytes() for path in bench.root.rglob("*.qj"))
    assert bench.counts() == {"main kept": 1}
    found = CaptureReader(bench.root).find("main", decision.id)
    assert found is not None
    assert found.id == capture.id


def test_what_is_not_declared_not_sampled_or_filtered_out_is_not_kept(bench: Bench) -> None:
    for route in (None, CaptureRoute(sample=0.0), CaptureRoute(only=("errors", "degraded"))):
        bench.house.predict(bench.endpoint(route))
        assert bench.house.journal.decisions[-1].capture is None
    assert bench.kept() == []
    assert not bench.root.exists()  # no thread, no file


def test_a_tenth_is_kept_with_its_share(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute(sample=0.1))
    for _ in range(200):
        bench.house.predict(endpoint)
    marked = [d.id for d in bench.house.journal.decisions if d.capture == "kept"]
    assert [(c.id, c.share) for c in bench.kept()] == [(id_, 0.1) for id_ in marked]
    assert 5 < len(marked) < 40


def test_prompt_cached_and_failed_requests_are_kept_too(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute())
    prompt = PromptDesk(bench.house.plane, answers.encode_all)

    async def turns() -> None:
        for _ in range(3):
            assert prompt.ask(endpoint, bench.house.call(), lambda told: None)
        for _ in range(6):
            await asyncio.sleep(0)

    bench.house.run(turns())
    cached = bench.endpoint(CaptureRoute(), cache=CacheRoute(10, 1000, 100.0))
    for _ in range(2):
        bench.house.predict(cached)
    decisions = bench.house.journal.decisions
    assert [d.source for d in decisions] == ["policy"] * 4 + ["cache"]
    assert [c.id for c in bench.kept()] == [d.id for d in decisions]


def test_more_than_memory_holds_is_dropped_counted_and_told(bench: Bench) -> None:
    bench.fresh(pending_bytes=100)
    endpoint = bench.endpoint(CaptureRoute())
    bench.disk.flow.clear()  # the disk stands still
    for _ in range(10):
        bench.house.predict(endpoint, size=40)
    marks = Counter(d.capture for d in bench.house.journal.decisions)
    assert bench.desk.pending_bytes <= 100
    assert marks == {"kept": 2, "dropped": 8}
    bench.disk.flow.set()
    assert len(bench.kept()) == 2
    assert bench.counts() == {"main kept": 2, "main dropped": 8}
    assert bench.desk.pending_bytes == 0


def test_one_larger_than_memory_is_kept_when_nothing_else_waits(bench: Bench) -> None:
    bench.fresh(pending_bytes=100)
    bench.house.predict(bench.endpoint(CaptureRoute()), size=1000)
    assert len(bench.kept()) == 1


def test_a_full_disk_loses_inputs_and_no_answer_then_goes_on(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute())
    bench.disk.space = 0
    bench.house.predict(endpoint)
    until(lambda: bench.desk.pending_bytes == 0)
    bench.house.predict(endpoint)  # the disk is known to be full
    assert [d.capture for d in bench.house.journal.decisions] == ["kept", "dropped"]
    assert bench.counts() == {"main lost": 1, "main dropped": 1}
    bench.disk.space = None
    bench.house.clock.advance(5)
    good = bench.house.predict(endpoint)
    assert [c.id for c in bench.kept()] == [good.id]
    assert bench.counts() == {"main kept": 1}


def test_a_write_that_fails_half_way_costs_what_it_hit(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute())
    first = bench.house.predict(endpoint)
    until(lambda: bench.desk.pending_bytes == 0)
    bench.disk.space = 20
    bench.house.predict(endpoint)
    until(lambda: bench.desk.pending_bytes == 0)
    bench.disk.space = None
    bench.house.clock.advance(5)
    last = bench.house.predict(endpoint)
    losses = Losses()
    assert [c.id for c in bench.kept(losses)] == [first.id, last.id]
    assert losses == Losses()
    assert bench.counts() == {"main kept": 2, "main lost": 1}


def test_what_cannot_be_treated_is_counted_and_harms_nobody(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute())
    asked = bench.house.call()

    async def main(call: Any) -> None:
        await bench.house.plane.predict(endpoint, call)

    asked.raw = {"input": np.zeros((1, 2)), "odd": np.zeros(1, "c16")}
    bench.house.run(main(asked))
    good = bench.house.predict(endpoint)
    assert [c.id for c in bench.kept()] == [good.id]
    assert bench.counts() == {"main kept": 1, "main unreadable": 1}


def test_segments_are_ended_on_request_and_go_on(bench: Bench) -> None:
    endpoint = bench.endpoint(CaptureRoute())
    bench.desk.seal()  # nothing is open
    first = bench.house.predict(endpoint)
    until(lambda: bench.desk.pending_bytes == 0)
    (path,) = bench.root.rglob("*.qj")
    bench.desk.seal()

    def sealed() -> bool:
        found = scan(path)
        list(found)
        return found.sealed

    until(sealed)
    second = bench.house.predict(endpoint)
    assert [c.id for c in bench.kept()] == [first.id, second.id]
    assert len(list(bench.root.rglob("*.qj"))) == 2


def test_many_endpoints_do_not_keep_many_files_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.serving.capture.MOST_OPEN", 2)
    for name in ("a", "b", "c", "a"):
        endpoint = bench.endpoint(CaptureRoute())
        endpoint.name = name
        bench.house.predict(endpoint)
        until(lambda: bench.desk.pending_bytes == 0)
        assert len(bench.desk._open) <= 2
    bench.desk.close()
    assert [len(list(CaptureReader(bench.root).captures(name))) for name in "abc"] == [2, 1, 1]
