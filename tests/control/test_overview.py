"""The overview: recent traffic, members' health from counters and files, and what is wrong in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs import snapshot
from quorate.control.health import Files, MemberHealth, Problem, Readings, problems, readings
from quorate.control.overview import Overview, overview
from quorate.registry.blobs import BlobStore
from quorate.store import ledger, tallies
from quorate.store.ledger import Tally, TrafficKey
from quorate.store.tallies import SCORES
from quorate.telemetry.counters import Counters

NOW = 1000 * 60.0 + 30


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters(tmp_path / "worker-0.qt")
    counters.gauge("quorate_ready").set(1)
    yield counters
    counters.close()


def healthy(name: str = "a", **changes: Any) -> MemberHealth:
    fields: dict[str, Any] = {
        "version": 1,
        "format": "onnx",
        "state": "ok",
        "file": "ok",
        "faults": {},
        "restarts": 0,
        "runs": 1,
        "p50_ms": 1.0,
    }
    return MemberHealth(name, **{**fields, **changes})


def up() -> Readings:
    return Readings(alive={"worker-0"}, ready={"worker-0"})


def look(project: Any, found: Readings, minutes: int = 3) -> Overview:
    routing = snapshot.read(project.home.snapshot)
    with project.database.read() as connection:
        return overview(
            connection,
            routing.endpoints[0],
            routing.pools[0],
            now=NOW,
            minutes=minutes,
            workers=1,
            readings=found,
            files=Files(project.registry.blobs),
        )


def add(project: Any, minute: int, latencies: list[float], strategy: str = "average", **counts: int) -> None:
    tally = Tally(requests=len(latencies), rows=len(latencies), **counts)
    tally.latency.add(latencies)
    with project.database.begin() as connection:
        ledger.add_traffic(connection, {TrafficKey("main", minute, 1, strategy, "policy"): tally})


def test_traffic_of_the_last_minutes(project: Any) -> None:
    project.apply()
    add(project, 997, [1000.0] * 5)  # too long ago
    add(project, 998, [1.0] * 90, errors=2, degraded=3, fallbacks=1)
    add(project, 1000, [100.0] * 10, "best")
    with project.database.begin() as connection:
        key = ("main", 998, 1, "average", "policy", SCORES)
        tallies.add_measured(connection, {key: (10, 10, 10, 2, 2, 2)})
    found = look(project, up())
    assert (found.requests, found.errors, found.degraded, found.fallbacks) == (100, 2, 3, 1)
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx([1.0, 100.0, 100.0], rel=0.02)
    assert [(m.at, m.requests, m.errors) for m in found.timeline] == [
        (998 * 60.0, 90, 2),
        (999 * 60.0, 0, 0),
        (1000 * 60.0, 10, 0),
    ]
    shares = {one.strategy: (one.share, one.accuracy) for one in found.strategies}
    assert shares == {"average": (0.9, 0.8), "best": (0.1, None)}
    assert found.problems == ()


def test_without_traffic_nothing_is_made_up(project: Any) -> None:
    project.apply()
    found = look(project, up(), minutes=1)
    assert (found.requests, found.p50_ms, found.strategies) == (0, None, ())
    assert [(member.name, member.state, member.p50_ms) for member in found.members] == [
        ("a", "unknown", None),
        ("b", "unknown", None),
        ("c", "unknown", None),
    ]


def test_an_endpoint_learns_by_its_policy_or_by_a_combiner(project: Any) -> None:
    project.apply()
    assert not look(project, up()).learns
    text = project.home.config.read_text()
    for strategies, policy, learns in (
        ("{one: {kind: online}, two: {kind: mean}}", "one", True),
        ("{one: {kind: mean}, two: {kind: vote}}", "{kind: thompson}", True),
        ("{one: {kind: mean}, two: {kind: vote}}", "two", False),
    ):
        project.write(
            text.partition("    strategies:")[0]
            + f"    strategies: {strategies}\n    policy: {policy}\n    quorum: 2\n"
        )
        project.apply()
        assert look(project, up()).learns is learns, strategies


def test_a_damaged_file_is_found_and_found_to_be_whole_again(project: Any) -> None:
    project.apply()
    (digest,) = project.registry.manifest("b").files.values()
    blob = project.home.registry / "blobs" / digest[:2] / digest
    assert [member.file for member in look(project, up()).members] == ["ok"] * 3
    good = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(good[:-1])
    damaged = look(project, up())
    assert [member.file for member in damaged.members] == ["ok", "damaged", "ok"]
    assert [(one.severity, one.about) for one in damaged.problems] == [("warn", "b")]
    blob.write_bytes(good)
    assert look(project, up()).problems == ()
    blob.unlink()
    assert look(project, up()).members[1].file == "missing"


def test_a_file_is_read_again_only_when_it_was_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"weights")
    files = Files(blobs)
    assert files.state([digest]) == "ok"
    monkeypatch.setattr(BlobStore, "sound", lambda *_: pytest.fail("it is read again"))
    assert files.state([digest]) == "ok"


def test_counters_of_all_workers_are_one_health(tmp_path: Path, counters: Counters) -> None:
    other = Counters(tmp_path / "worker-1.qt")
    for one, state, restarts in ((counters, 0, 1), (other, 2, 2)):
        one.gauge("quorate_circuit_state", member="a").set(state)
        one.counter("quorate_host_restarts_total", member="a").add(restarts)
        one.counter("quorate_member_faults_total", member="a", reason="member_crashed").add(3)
        one.histogram("quorate_member_duration_seconds", member="a").observe(0.9)
    found = readings(tmp_path)
    assert (found.alive, found.ready) == ({"worker-0", "worker-1"}, {"worker-0"})
    assert (found.circuits, found.restarts["a"]) == ({"a": 2.0}, 3)
    assert found.faults["a"] == {"member_crashed": 6}
    assert sum(found.durations["a"][1:]) == 2
    other.close()
    gone = readings(tmp_path)
    assert gone.alive == {"worker-0"}
    assert gone.circuits == {"a": 0.0}  # what a dead process said of a circuit holds no more
    assert gone.restarts["a"] == 3
    (tmp_path / "worker-2.qt").write_bytes(b"not telemetry")
    assert readings(tmp_path).alive == {"worker-0"}


@pytest.mark.parametrize(
    ("member", "severity", "said"),
    [
        (healthy(state="left out", faults={"member_crashed": 5}), "bad", "left out of answers after faults (member_cr"),
        (healthy(state="left out", file="damaged"), "bad", "cannot be loaded and is left out: its file on disk is dam"),
        (healthy(file="missing"), "warn", "is missing on disk. It goes on answering from memory"),
    ],
)
def test_what_is_wrong_with_a_member_is_a_sentence(member: MemberHealth, severity: str, said: str) -> None:
    (found,) = problems([healthy("fine"), member], up(), 1, [])
    assert (found.severity, found.about) == (severity, "a")
    assert said in found.what
    assert found.what.endswith(".")


def test_processes_and_other_files_are_told_after_what_is_worse(tmp_path: Path) -> None:
    found = problems([], Readings(alive={"worker-1"}), 2, [("strategy 'x'", "damaged"), ("the graph", "ok")])
    assert found == [
        Problem("bad", "worker 0", "The process worker 0 is not running; it is started again by itself."),
        Problem("warn", "worker 1", "The process worker 1 is starting or draining, and answers nothing yet."),
        Problem(
            "warn",
            "strategy 'x'",
            "The file of strategy 'x' is damaged on disk; restore the registry from a backup.",
        ),
    ]
