import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.serving.cost import Cost
from quorate.serving.hedging import BURST, CLEARLY, ENOUGH, FLOOR_MS, KEEP, SHARE, Hedging


def test_nothing_is_slow_before_enough_is_known():
    hedging = Hedging(Cost(10.0, 0.0))
    for _ in range(ENOUGH - 1):
        assert hedging.after_ms(1) is None
        hedging.ran(1, 10.0)
    hedging.ran(1, 10.0)
    assert hedging.after_ms(1) == pytest.approx(10.0 * CLEARLY)


def test_what_95_of_100_runs_take_no_longer_than():
    hedging = Hedging(Cost(100.0, 0.0))
    for ms in [100.0] * 19 + [150.0]:
        hedging.ran(1, ms)
    assert hedging.after_ms(1) < 120 * CLEARLY
    hedging.ran(1, 150.0)
    hedging.ran(1, 150.0)
    assert hedging.after_ms(1) > 140 * CLEARLY  # three of 22 are more than five of a hundred


def test_larger_runs_may_take_longer():
    hedging = Hedging(Cost(10.0, 5.0))
    for _ in range(ENOUGH):
        hedging.ran(2, 20.0)
        hedging.ran(8, 50.0)
    assert hedging.after_ms(2) == pytest.approx(20.0 * CLEARLY, rel=0.01)
    assert hedging.after_ms(8) == pytest.approx(50.0 * CLEARLY, rel=0.01)


def test_quick_runs_are_waited_for_a_while():
    hedging = Hedging(Cost(0.2, 0.0))
    for _ in range(ENOUGH):
        hedging.ran(1, 0.2)
    assert hedging.after_ms(1) == FLOOR_MS


def test_what_became_slower_for_good_is_soon_as_slow_as_usual():
    hedging = Hedging(Cost(10.0, 0.0))
    for _ in range(KEEP):
        hedging.ran(1, 10.0)
    assert hedging.after_ms(1) == pytest.approx(10.0 * CLEARLY)
    for _ in range(3 * KEEP):
        hedging.ran(1, 30.0)
    assert hedging.after_ms(1) == pytest.approx(30.0 * CLEARLY, rel=0.05)


@given(st.lists(st.booleans(), max_size=400))
def test_second_tries_are_never_more_than_their_share(straggles):
    hedging = Hedging(Cost(1.0, 0.0))
    taken = 0
    for runs, straggling in enumerate(straggles, 1):
        hedging.earn()
        taken += straggling and hedging.take()
        assert taken <= runs * SHARE + 1e-6


def test_no_more_than_a_few_are_saved_up():
    hedging = Hedging(Cost(1.0, 0.0))
    for _ in range(1000):
        hedging.earn()
    assert [hedging.take() for _ in range(10)].count(True) == BURST


def test_twenty_runs_earn_one():
    hedging = Hedging(Cost(1.0, 0.0))
    for _ in range(19):
        hedging.earn()
    assert not hedging.take()
    hedging.earn()
    assert hedging.take()
