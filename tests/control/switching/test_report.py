"""What a switch cost and brought, against figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.switching.estimates import difference, wilson
from quorate.control.switching.quantities import find
from quorate.control.switching.report import SwitchReport, report, summaries
from quorate.errors import NotFound
from quorate.store import usage
from quorate.store.usage import Used

GIB = 1024**3


def _report(history: Any, number: int | None = None) -> SwitchReport:
    return report(history.database, history.reader, history.served, "main", number, now=history.clock.now())


def _of(found: SwitchReport, name: str) -> tuple[float | None, ...]:
    quantity = find(found.quantities, name)
    assert quantity is not None
    return quantity.before, quantity.after, quantity.change


def test_the_same_quantities_before_and_after(switched: Any) -> None:
    found = _report(switched)
    start = switched.start * 60.0
    assert (found.number, found.cause, found.revision, found.at) == (1, "revision", 2, start + 3610.0)
    assert (found.before.since, found.before.until) == (start, start + 3600)
    assert (found.after.since, found.after.until) == (start + 3660, start + 7260)
    assert found.before.requests == found.after.requests == 6000
    assert found.before.judged_rows == found.after.judged_rows == {"accuracy": 6000}
    assert found.before.usage_seconds == found.after.usage_seconds == 3600
    assert _of(found, "latency_p50") == pytest.approx((10.0, 5.0, -5.0), rel=0.03)
    assert _of(found, "latency_p99") == pytest.approx((14.85, 7.43, -7.42), rel=0.03)
    assert _of(found, "error_rate") == (0.0, 0.0, 0.0)
    assert _of(found, "accuracy") == pytest.approx((0.8, 0.9, 0.1))
    assert _of(found, "right_answers_per_1000_requests") == pytest.approx((800, 900, 100))
    assert _of(found, "cpu_per_1000_requests") == pytest.approx((60.0, 30.0, -30.0))
    assert _of(found, "memory") == (3 * GIB, 3 * GIB, 0)
    assert _of(found, "pool_memory") == (0.5 * GIB, 0.5 * GIB, 0)
    # A million requests: 60,000 or 30,000 processor seconds, and 3 GiB for 1e6 / 6,000 hours.
    money = [seconds / 3600 * 0.04 + 3 * 0.005 * 1e6 / 6000 for seconds in (60_000, 30_000)]
    assert _of(found, "money_per_million_requests") == pytest.approx((*money, money[1] - money[0]))


def test_differences_of_estimates_have_intervals(switched: Any) -> None:
    found = _report(switched)
    accuracy = find(found.quantities, "accuracy")
    assert accuracy is not None
    expected = difference(wilson(0.9, 6000), wilson(0.8, 6000))
    assert (accuracy.low, accuracy.high) == pytest.approx(expected[1:], abs=1e-5)
    per_thousand = find(found.quantities, "right_answers_per_1000_requests")
    assert per_thousand is not None
    assert per_thousand.low == pytest.approx(1000 * expected.low, abs=0.01)
    cpu = find(found.quantities, "cpu_per_1000_requests")
    assert cpu is not None
    assert cpu.low is None
    assert found.summary.startswith("100 more right answers per 1,000 requests (+87.")
    assert "the slowest twentieth of answers 50% faster" in found.summary
    assert "EUR" in found.summary
    assert any("Before and after are different times" in note for note in found.notes)
    assert any("shorter than a day" in note for note in found.notes)


def test_switches_are_listed_once(switched: Any) -> None:
    for _ in range(2):
        [found] = summaries(switched.database, "main")
    assert (found.number, found.planned, found.missed) == (1, False, 0)
    assert found.what == "revision 2 took the place of revision 1, with other policy"
    with pytest.raises(NotFound, match="no endpoint 'nothing'"):
        summaries(switched.database, "nothing")
    with pytest.raises(NotFound, match="has no switch 7"):
        _report(switched, 7)


def test_a_revision_that_answers_the_same_is_no_switch(history: Any) -> None:
    history.apply()
    history.project.write(history.home.config.read_text() + "    deadline_ms: 50\n")
    assert history.project.apply().revisions["main"] == 2
    assert summaries(history.database, "main") == []
    with pytest.raises(NotFound, match="has not switched yet"):
        _report(history)
    history.project.model("a")  # the next version of a member
    assert history.project.apply().revisions["main"] == 3
    [found] = summaries(history.database, "main")
    assert found.what == "revision 3 took the place of revision 2, with other members"


def test_a_front_answers_nothing_itself(history: Any) -> None:
    for to in ("main", "other"):
        history.apply("average", "    caller_may_choose: true\n")
        text = history.home.config.read_text()
        more = "  other: {pool: letters, strategies: {average: {kind: mean}}}\n"
        front = f"fronts:\n  door: {{rules: [{{when: input.rows > 1, to: main}}], otherwise: {to}}}\n"
        history.project.write(text + more + front)
        history.project.apply()
    assert summaries(history.database, "door") == []


def test_neighbouring_switches_bound_the_windows(switched: Any) -> None:
    switched.at(100, 30.0)
    switched.apply("average")
    switched.at(210)
    first, second = _report(switched, 1), _report(switched, 2)
    assert (first.before.requests, first.after.requests) == (3900, 3900)  # minutes 21 to 59, and 61 to 99
    assert (second.before.until - second.before.since) == 39 * 60
    assert second.before.requests == 3900
    assert second.after.requests == 0
    assert any("only 0 requests after" in note for note in second.notes)
    assert _of(second, "latency_p50")[1:] == (None, None)
    assert _of(second, "accuracy")[1:] == (None, None)


def test_without_any_data_it_says_so(history: Any) -> None:
    history.apply()
    history.at(5)
    history.apply("best")
    found = _report(history)
    assert found.quantities == ()
    assert (found.before.requests, found.warm_up_s, found.promised) == (0, None, None)
    assert found.summary == "Nothing can be said yet: there are no equal times before and after to compare yet."
    history.at(-60)  # the clock went back over the switch
    assert _report(history).quantities == ()


def test_without_outcomes_or_prices_it_says_so(history: Any) -> None:
    history.apply()
    history.at(10)
    history.apply("best")
    history.traffic(range(10), 1, "average", [1.0] * 40)
    history.traffic(range(11, 30), 2, "best", [1.0] * 40)
    history.at(40)
    found = _report(history)
    assert _of(found, "money_per_million_requests") == (None, None, None)
    assert _of(found, "cpu_per_1000_requests") == (None, None, None)
    assert _of(found, "memory") == (None, None, None)
    assert "money is not known" in found.summary
    assert "the quality of answers is not known" in found.summary
    assert "Money is not known: quorate.yaml has no prices." in found.notes
    assert any("no outcomes were reported" in note for note in found.notes)
    assert any("what was used is known of 0 s" in note for note in found.notes)


def test_callers_choices_and_other_revisions_do_not_count(switched: Any) -> None:
    switched.traffic(range(60), 1, "best", [500.0] * 100, source="caller")
    switched.judge(range(60), 1, "best", 0, 100, source="caller")
    switched.traffic(range(70, 80), 1, "average", [500.0] * 100)  # of a worker that did not follow
    found = _report(switched)
    assert found.before.requests == found.after.requests == 6000
    assert _of(found, "accuracy") == pytest.approx((0.8, 0.9, 0.1))


def test_outcomes_that_still_come_are_told(switched: Any) -> None:
    switched.traffic(range(61, 210), 2, "average", [5.0] * 300)
    assert any("Fewer of the later answers have an outcome yet" in note for note in _report(switched).notes)


def test_what_is_not_certain_is_not_told_as_a_change(history: Any) -> None:
    history.apply()
    history.at(10)
    history.apply("best")
    history.traffic(range(10), 1, "average", [1.0] * 9 + [20.0])
    history.traffic(range(11, 30), 2, "best", [1.0] * 28 + [30.0] * 2)
    history.judge(range(10), 1, "average", 4, 1)
    history.judge(range(11, 30), 2, "best", 5, 1)
    history.at(30)
    found = _report(history)
    assert "it is not certain whether answers are slower or faster" in found.summary
    assert found.summary.startswith("Right answers did not change for certain (-")
    assert any("One time had more requests than the other" in note for note in found.notes)


def test_rewards_and_values_are_compared_too(switched: Any) -> None:
    # Decisions of two rows: 30 a minute with 1 + 1, then 30 with 2 + 4; nobody knows anything of a third strategy.
    for minutes, revision, strategy, row in ((range(60), 1, "average", (1, 1)), (range(61, 210), 2, "best", (2, 4))):
        s = sum(row)
        sums = (30, 60, 120, 30 * s, 30 * s * s, 30 * 2 * s)
        switched.measure(minutes, revision, strategy, "value", sums)
        switched.measure(minutes, revision, strategy, "reward.sale", sums)
    found = _report(switched)
    assert _of(found, "value") == pytest.approx((1.0, 3.0, 2.0))
    assert _of(found, "value_per_1000_requests") == pytest.approx((1000.0, 3000.0, 2000.0))
    assert _of(found, "sale") == pytest.approx((1.0, 3.0, 2.0))
    assert "2e+03 more value per 1,000 requests" in found.summary


def test_workers_use_is_shared_by_pools_and_endpoints(switched: Any) -> None:
    # Another pool that ran three times as long, and a second endpoint at ours, with as many requests.
    switched.used(range(60), usage.POOL, "other", Used(60.0, run_s=3.0, runs=1.0))
    found = _report(switched)
    assert _of(found, "cpu_per_1000_requests")[:2] == pytest.approx((15.0, 30.0))
    assert any("answer for other endpoints too" in note for note in found.notes)
