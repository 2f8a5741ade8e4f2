"""What a switch is expected to cost and bring, from hand-made evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control.switching.estimates import combined, paired, wilson
from quorate.control.switching.planning import Asked, Plan, plan
from quorate.control.switching.quantities import Quantity, counted, find
from quorate.control.switching.report import report, summaries
from quorate.core.types import Outcome
from quorate.errors import Conflict, InvalidInput, JournalError, NotFound
from quorate.spec import load
from quorate.store import usage
from quorate.store.usage import Used
from quorate.telemetry.counters import Counters

from .conftest import CONFIG, GIB, PRICES

SPLIT = "{kind: split, weights: {average: 3, best: 1}}"


def _plan(history: Any, to: str | None = "best", config: str | None = None) -> Plan:
    asked = Asked(to, None if config is None else load(config))
    return plan(
        history.database,
        history.project.registry,
        history.reader,
        history.home.telemetry,
        history.served,
        "main",
        asked,
        author="tester",
        now=history.clock.now(),
    )


def _of(made: Plan, name: str) -> Quantity:
    found = find(made.quantities, name)
    assert found is not None
    return found


@pytest.fixture
def worker(history: Any) -> Iterator[Counters]:
    """The counters of a worker that lives."""
    counters = Counters(history.home.telemetry / "worker-0.qt")
    yield counters
    counters.close()


@pytest.fixture
def shared(history: Any) -> Any:
    """Three quarters of an hour's requests went to ``average``, the others to ``best``."""
    history.apply(SPLIT, PRICES)
    history.traffic(range(60), 1, "average", [10.0] * 75)
    history.traffic(range(60), 1, "best", [5.0] * 25)
    history.at(60)
    return history


def test_live_traffic_tells_latency_and_errors(shared: Any) -> None:
    shared.traffic(range(30), 1, "best", [5.0] * 2, errors=1, source="caller")  # no evidence
    made = _plan(shared)
    assert made.shares_before == {"average": 0.75, "best": 0.25}
    assert made.shares_after == {"best": 1.0}
    latency = _of(made, "latency_p50")
    assert (latency.before, latency.after, latency.change) == pytest.approx((10.0, 5.0, -5.0), rel=0.02)
    assert latency.basis == "live traffic of the last week"
    assert _of(made, "error_rate").change == 0.0


def test_arms_without_traffic_are_judged_by_their_members(history: Any, worker: Counters) -> None:
    history.apply("average", PRICES)
    history.traffic(range(60), 1, "average", [10.0] * 50)
    history.at(60)
    made = _plan(history)
    assert _of(made, "latency_p50").after is None  # no run was ever measured
    for member, ms in (("a", 2.0), ("b", 8.0)):
        for _ in range(10):
            worker.histogram("quorate_member_duration_seconds", member=member).observe(ms)
    history.used(range(60), usage.WORKER, "worker-0", Used(60.0, 3.0, 60.0 * GIB))
    history.used(range(60), usage.ENDPOINT, "main", Used(60.0, requests=50.0))
    made = _plan(history)
    latency = _of(made, "latency_p50")
    assert (latency.before, latency.after) == pytest.approx((10.0, 4.0), rel=0.02)
    assert latency.low is None
    assert "slowest member" in (latency.basis or "")
    cpu = _of(made, "cpu_per_1000_requests")  # 60 s now; a run of b, 8 ms, is spared
    assert (cpu.before, cpu.after) == pytest.approx((60.0, 52.0))
    money = _of(made, "money_per_million_requests")
    memory = 0.005 * 1e6 / 3000
    assert (money.before, money.after) == pytest.approx((60_000 / 3600 * 0.04 + memory, 52_000 / 3600 * 0.04 + memory))


def test_nothing_is_loaded_for_a_strategy_of_the_same_pool(shared: Any) -> None:
    made = _plan(shared)
    for name in ("warm_up", "memory_added", "memory_freed"):
        assert (_of(made, name).after, _of(made, name).basis) == (0.0, "the pool is in memory")
    assert "it takes effect at once" in made.summary


def test_a_figure_that_only_rounding_changes_does_not_change() -> None:
    assert counted("money", "EUR", 0.3, 0.1 + 0.2).change == 0.0
    assert counted("money", "EUR", 0.0, 1e-12).change == 1e-12


def test_another_member_means_loading_the_pool_anew(shared: Any, worker: Counters) -> None:
    worker.gauge("quorate_pool_load_seconds", pool="letters").set(8.0)
    worker.gauge("quorate_pool_memory_bytes", pool="letters").set(3e6)
    worker.gauge("quorate_host_resident_memory_bytes", member="a").set(1e6)
    text = CONFIG.format(policy="best", more="").replace("[a, b, c]", "[a, b]")
    made = _plan(shared, None, text)
    assert made.what == "as the configuration says (other members and policy)"
    # Two files of three, alike in size; the old pool stays until the new one answers.
    assert _of(made, "warm_up").after == pytest.approx(8.0 * 2 / 3, rel=0.02)
    assert _of(made, "memory_added").after == pytest.approx(4e6 * 2 / 3, rel=0.02)
    assert _of(made, "memory_freed").after == 4e6
    assert "it takes about 5 s before it takes effect" in made.summary


def test_what_was_never_loaded_is_not_known(shared: Any) -> None:
    shared.project.model("a")
    made = _plan(shared, None, CONFIG.format(policy="best", more=PRICES))
    for name in ("warm_up", "memory_added", "cpu_per_1000_requests", "money_per_million_requests"):
        assert _of(made, name).after is None
    assert _of(made, "latency_p50").after is None  # the strategy's member is another version
    assert "accuracy" not in [each.name for each in made.quantities]


def test_quality_strategy_by_strategy(shared: Any) -> None:
    shared.judge(range(60), 1, "average", 8, 2)
    shared.judge(range(60), 1, "best", 5, 0)
    made = _plan(shared)
    accuracy = _of(made, "accuracy")
    assert (accuracy.before, accuracy.after) == pytest.approx((0.75 * 0.8 + 0.25, 1.0))
    arms = [(-0.75, wilson(0.8, 600)), (0.75, wilson(1.0, 300))]
    assert (accuracy.change, accuracy.low, accuracy.high) == pytest.approx(combined(arms), abs=1e-4)
    assert _of(made, "right_answers_per_1000_requests").change == pytest.approx(150.0)
    assert any("strategy by strategy, on 900 judged rows" in note for note in made.notes)


def test_quality_on_the_same_rows_where_outputs_are_logged(shared: Any) -> None:
    # `average` of a and b against a alone, the truth is always 1: both right 30 times, `best` alone 8 times, `average`
    # alone twice, and five rows where b did not run, which say nothing.
    records: list[Any] = []
    said = [(1, 1, 1)] * 30 + [(1, 0, 1)] * 8 + [(0, 1, 1)] * 2 + [(1, -1, 1)] * 5
    at = shared.start * 60.0
    for i, each in enumerate(said):
        decision = shared.decision(0, i, at + i, 1, "average", said=each)
        if each[:2] in ((1, 0), (0, 1)):  # the mean of a tie is decided by how sure they are
            sure = np.float32([[0.45, 0.55], [0.6, 0.4]] if each[0] else [[0.6, 0.4], [0.1, 0.9]])
            decision.outputs[0, :2] = sure
        records.append(decision)
    records += [Outcome(d.id, 0, "yes", at=1.0, received=1.0) for d in records]
    records.append(shared.decision(0, len(records), at, 1, "best", source="caller"))
    shared.journal(0, records, created=at - 1)
    made = _plan(shared)
    accuracy = _of(made, "accuracy")
    share = made.shares_before["average"]
    assert share == 4545 / 6045
    expected = paired(np.array([0.0] * 30 + [share] * 8 + [-share] * 2), bounded=True)
    assert expected is not None
    assert (accuracy.change, accuracy.low, accuracy.high) == pytest.approx(tuple(expected))
    assert accuracy.after == pytest.approx(38 / 40)
    assert any("on the same 40 decisions" in note for note in made.notes)


def test_rows_of_a_decision_count_together_and_unjudged_ones_not(shared: Any) -> None:
    records: list[Any] = []
    at = shared.start * 60.0
    for i in range(3):
        first, second = (shared.decision(0, i, at + i, 1, "average", said=said) for said in ((1, 1, 1), (0, 1, 1)))
        second.outputs[0, :2] = [[0.6, 0.4], [0.1, 0.9]]  # the mean is right, member a alone is not
        parts = (first, second, first)
        whole = {name: np.concatenate([getattr(d, name) for d in parts]) for name in ("outputs", "status", "answer")}
        records.append(first._replace(rows=3, **whole))
    records += [Outcome(d.id, row, "yes", at=1.0, received=1.0) for d in records for row in (1, 0)]
    shared.journal(0, records, created=at - 1)
    accuracy = _of(_plan(shared), "accuracy")
    assert accuracy.after == 0.5
    share = 4503 / 6003
    assert accuracy.before == pytest.approx(share * 1.0 + (1 - share) * 0.5)


def test_decisions_that_cannot_be_read_are_told(
    shared: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decision = shared.decision(0, 0, shared.start * 60.0, 1)
    shared.journal(0, [decision, Outcome(decision.id, 0, "yes", at=1.0, received=1.0)], created=1.0)

    def fail(*_: Any) -> None:
        raise JournalError("the extra is not installed")

    monkeypatch.setattr(JournalReader, "outline", fail)
    _plan(shared)
    assert "1 judged decisions cannot be read" in caplog.text


def test_without_evidence_nothing_is_made_up(history: Any) -> None:
    history.apply()
    made = _plan(history)
    assert _of(made, "latency_p50").before is None
    assert _of(made, "cpu_per_1000_requests").before is None
    assert "the quality of answers is not known" in made.summary
    assert any("no outcomes were reported" in note for note in made.notes)


def test_mistakes_are_named(shared: Any) -> None:
    with pytest.raises(NotFound, match="no strategy 'nothing'; expected one of: average, best"):
        _plan(shared, "nothing")
    with pytest.raises(InvalidInput, match="one of the two"):
        _plan(shared, None)
    with pytest.raises(Conflict, match="nothing would change"):
        _plan(shared, None, CONFIG.format(policy=SPLIT, more=""))
    with pytest.raises(Conflict, match="would be removed"):
        _plan(shared, None, CONFIG.format(policy=SPLIT, more="").replace("  main:", "  other:"))


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_promised_is_shown_beside_what_came(shared: Any, whole: bool) -> None:
    config = CONFIG.format(policy="best", more=PRICES)
    _plan(shared, "average")  # for another switch
    made = _plan(shared, None if whole else "best", config if whole else None)
    shared.at(60, 20.0)
    shared.apply("best", PRICES)
    shared.traffic(range(61, 130), 2, "best", [6.0] * 100)
    shared.at(130)
    [listed] = summaries(shared.database, "main")
    assert listed.planned
    found = report(shared.database, shared.reader, shared.served, "main", 1, now=shared.clock.now())
    assert found.promised is not None
    assert (found.promised.id, found.promised.author, found.promised.summary) == (made.id, "tester", made.summary)
    promised, came = find(found.promised.quantities, "latency_p50"), find(found.quantities, "latency_p50")
    assert promised is not None
    assert came is not None
    assert (promised.change, came.change) == pytest.approx((-5.0, -4.0), rel=0.05)


def test_a_plan_made_afterwards_promised_nothing(shared: Any) -> None:
    shared.apply("best", PRICES)
    shared.at(61)
    _plan(shared, "average")
    assert [each.planned for each in summaries(shared.database, "main")] == [False]
