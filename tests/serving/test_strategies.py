"""A strategy's plan within the deadline, and the fallback chain behind it."""

import numpy as np
import pytest

from quorate.codecs.snapshot import PolicyRoute, StrategyRoute
from quorate.core.types import Status
from quorate.errors import NoQuorum

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
ALL = StrategyRoute("all", "mean", ("a", "b"), 2)
A = StrategyRoute("only-a", "single", ("a",), 1)
B = StrategyRoute("only-b", "single", ("b",), 1)
BLIND = PolicyRoute("split", {"weights": {"only-a": 1, "only-b": 1}}, blind=True)


def ms(seconds):
    return pytest.approx(seconds * 1000, abs=0.01)


def last(house):
    return house.journal.decisions[-1]


def test_the_answer_waits_for_the_slowest_member_only(house):
    pool = house.pool(a=house.hosted(0.2, 0.01), b=house.hosted(0.4, 0.03))
    assert house.predict(house.endpoint(pool, [MEAN])).latency_ms == ms(0.03)


def test_a_hung_member_costs_the_deadline_and_degrades(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))
    decision = house.predict(house.endpoint(pool, [MEAN]))
    assert decision.latency_ms == ms(0.2)
    assert decision.degraded
    assert decision.served == "average"
    assert decision.answer[0].tolist() == pytest.approx([0.8, 0.2])
    assert decision.members[1].reason == "member_timeout"


def test_the_caller_may_shorten_the_deadline_and_not_lengthen_it(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))
    endpoint = house.endpoint(pool, [MEAN])
    assert house.predict(endpoint, max_ms=50.0).latency_ms == ms(0.05)
    assert house.predict(endpoint, max_ms=9e9).latency_ms == ms(0.2)


def test_the_deadline_counts_from_the_arrival(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))
    call = house.call()
    house.clock.advance(0.15)
    decision = house.run(house.plane.predict(house.endpoint(pool, [MEAN]), call))
    assert decision.latency_ms == ms(0.2)
    assert decision.queue_ms == ms(0.15)


def test_too_few_members_in_time_is_an_error_that_is_journaled(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))
    with pytest.raises(NoQuorum, match=r"'all' needs 2 members within 200 ms.*b \(member_timeout\)"):
        house.predict(house.endpoint(pool, [ALL]))
    decision = last(house)
    assert (decision.error, decision.served, decision.answer) == ("no_quorum", None, None)
    assert decision.degraded


def test_a_lost_quorum_is_not_waited_for(house):
    pool = house.pool(a=house.inline(lambda t: 1 / 0), b=house.hosted(0.4, 0.1))
    with pytest.raises(NoQuorum):
        house.predict(house.endpoint(pool, [ALL]))
    assert last(house).latency_ms == ms(0.0)


def test_the_fallback_answers_when_the_quorum_is_lost_and_skips_the_failing_strategy(house):
    pool = house.pool(a=house.inline(lambda t: 1 / 0), b=house.hosted(0.4, 0.1))
    endpoint = house.endpoint(pool, [ALL, A, B], fallback=("all", "only-a", "only-b"))
    decision = house.predict(endpoint)
    assert (decision.assigned, decision.served) == ("all", "only-b")
    assert decision.degraded
    assert decision.latency_ms == ms(0.1)  # the run that was under way was not lost
    assert [run.reason for run in decision.members] == ["member_crashed", None]


def test_the_fallback_has_its_reserve_when_the_strategy_hangs(house):
    pool = house.pool(a=house.hosted(0.2, house.HANG), b=house.hosted(0.4, 0.01))
    pool.members[1].unit.cost = type(pool.members[1].unit.cost)(10.0, 0.0)
    decision = house.predict(house.endpoint(pool, [A, B], fallback=("only-b",)))
    assert (decision.assigned, decision.served, decision.degraded) == ("only-a", "only-b", True)
    assert decision.latency_ms == ms(0.2 - 0.022 + 0.01)
    assert [run.reason for run in decision.members] == ["member_timeout", None]


def test_with_its_quorum_the_strategy_may_use_the_reserve(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, 0.195))
    decision = house.predict(house.endpoint(pool, [MEAN, A], fallback=("only-a",)))
    assert (decision.served, decision.degraded, decision.latency_ms) == ("average", False, ms(0.195))


def test_a_member_that_answers_in_the_reserve_is_used_after_all(house):
    pool = house.pool(a=house.hosted(0.2, 0.199), b=house.hosted(0.4, house.HANG))
    decision = house.predict(house.endpoint(pool, [A, B], fallback=("only-b",)))
    assert (decision.served, decision.degraded) == ("only-a", True)


def test_on_member_failure_fallback_prefers_a_whole_answer(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(lambda t: 1 / 0))
    degrade = house.endpoint(pool, [MEAN, A], fallback=("only-a",))
    assert house.predict(degrade).served == "average"
    fall_back = house.endpoint(pool, [MEAN, A], fallback=("only-a",), on_member_failure="fallback")
    decision = house.predict(fall_back)
    assert (decision.served, decision.degraded) == ("only-a", True)


def test_on_member_failure_fallback_leaves_time_for_it(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG), c=house.hosted(0.9, 0.001))
    spare = StrategyRoute("spare", "single", ("c",), 1)
    decision = house.predict(house.endpoint(pool, [MEAN, spare], fallback=("spare",), on_member_failure="fallback"))
    assert decision.served == "spare"
    assert decision.latency_ms < 200


def test_without_a_fallback_that_answers_a_degraded_answer_is_better_than_none(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(lambda t: 1 / 0))
    decision = house.predict(house.endpoint(pool, [MEAN, B], fallback=("only-b",), on_member_failure="fallback"))
    assert (decision.served, decision.degraded) == ("average", True)


def test_nothing_falls_back_when_nothing_is_missing(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, 0.01))
    decision = house.predict(house.endpoint(pool, [MEAN, A], fallback=("only-a",), on_member_failure="fallback"))
    assert (decision.served, decision.degraded) == ("average", False)


def test_an_open_circuit_degrades_at_once(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))
    pool.members[1].breaker.trip()
    decision = house.predict(house.endpoint(pool, [MEAN]))
    assert (decision.degraded, decision.latency_ms) == (True, ms(0.0))
    assert decision.members[1].reason == "member_circuit_open"


def test_a_strategy_that_does_not_want_the_faulty_member_is_not_degraded(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(lambda t: 1 / 0))
    assert not house.predict(house.endpoint(pool, [A])).degraded


def test_one_bad_row_degrades_and_the_others_keep_every_member(house):
    def half(tensors):
        return np.array([[0.5, 0.5], [np.nan, np.nan]], np.float32)

    pool = house.pool(a=house.inline(half), b=house.inline(0.4))
    decision = house.predict(house.endpoint(pool, [MEAN]), rows=2)
    assert decision.degraded
    assert decision.answer[:, 1].tolist() == pytest.approx([0.45, 0.4])


@pytest.mark.parametrize("seed", range(4))
def test_a_blind_endpoint_takes_the_same_time_for_every_arm(house, seed):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, 0.05))
    endpoint = house.endpoint(pool, [A, B], BLIND)
    seen = {}
    for _ in range(16):
        decision = house.predict(endpoint)
        seen.setdefault(decision.served, set()).add(round(decision.latency_ms, 3))
        assert [run.status for run in decision.members] == [Status.OK, Status.OK]
    assert seen == {"only-a": {50.0}, "only-b": {50.0}}


def test_a_blind_endpoint_falls_back_and_says_little(house):
    pool = house.pool(a=house.inline(lambda t: 1 / 0), b=house.inline(0.4))
    endpoint = house.endpoint(pool, [A, B], BLIND, fallback=("only-b",))
    served = {(d.assigned, d.served, d.degraded) for d in (house.predict(endpoint) for _ in range(16))}
    assert served == {("only-a", "only-b", True), ("only-b", "only-b", False)}
    pool.members[1].breaker.trip()
    with pytest.raises(NoQuorum) as caught:
        house.predict(endpoint)
    assert "only-" not in str(caught.value)


def test_a_blind_endpoint_falls_back_for_one_missing_member_where_asked(house):
    pool = house.pool(a=house.inline(lambda t: 1 / 0), b=house.inline(0.4))
    policy = PolicyRoute("fixed", {"strategy": "average"}, blind=True)
    endpoint = house.endpoint(pool, [MEAN, B], policy, fallback=("only-b",), on_member_failure="fallback")
    assert house.predict(endpoint).served == "only-b"
