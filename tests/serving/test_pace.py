"""What the event loop takes for a request, and what follows for those that would wait for it."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.snapshot import StrategyRoute
from quorate.errors import Overloaded
from quorate.serving.pace import REFUSAL_MS, REFUSING, Pace
from quorate.testing.clock import FakeClock


@pytest.fixture
def pace() -> Pace:
    """As after a second of starting, no request yet."""
    pace = Pace(FakeClock())
    pace.observe(1.0, 0)
    return pace


def test_nothing_is_known_of_a_few_requests(pace: Pace) -> None:
    pace.observe(2.0, 19)
    assert pace.ms == 0.0


def test_what_was_done_before_the_first_request_was_not_done_for_it(pace: Pace) -> None:
    pace.observe(1.1, 1000)
    assert pace.ms == pytest.approx(0.1)


def test_what_was_done_while_none_came_was_not_done_for_requests(pace: Pace) -> None:
    pace.observe(1.1, 1000)
    for beat in range(1, 1000):
        pace.observe(1.1 + 0.01 * beat, 1000)
    pace.observe(11.09 + 0.1, 2000)
    assert pace.ms == pytest.approx(0.1)


def test_the_first_readings_count_as_they_are_and_later_ones_by_and_by(pace: Pace) -> None:
    pace.observe(1.1, 1000)
    pace.observe(1.1, 1010)  # too few to tell; they count with the next ones
    assert pace.ms == pytest.approx(0.1)
    pace.observe(1.3, 2000)
    assert pace.ms == pytest.approx(0.1 + 0.3 * 0.1)
    for beat in range(40):
        pace.observe(1.3 + 0.3 * (beat + 1), 2000 + 1000 * (beat + 1))
    assert pace.ms == pytest.approx(0.3, rel=1e-3)


def test_one_reading_far_off_counts_little(pace: Pace) -> None:
    pace.observe(1.1, 1000)
    pace.observe(3.1, 2000)
    assert pace.ms == pytest.approx(0.1 + 0.3 * 0.2)


def test_refusing_takes_no_more_than_its_share_of_the_time() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    while pace.refuse():
        pass
    refused = 0
    for _ in range(10_000):
        clock.advance(0.0001)
        refused += pace.refuse()
    assert refused == pytest.approx(REFUSING * 1000 / REFUSAL_MS, abs=1)


def test_of_those_that_would_wait_too_long_for_the_loop_some_are_refused_and_the_hopeless_all(house: Any) -> None:
    """The line in front of the model is empty, or short: parsing and sending are what takes so long."""
    endpoint = house.endpoint(house.fused(a=0.9), [StrategyRoute("a", "single", ("a",), 1)], queue_ms=50.0)
    plane = house.plane
    plane.pace.ms = 1.0
    for _ in range(50):
        assert plane.refusal(endpoint) is None
        plane.enter(endpoint, house.call())
    assert plane.refusal(endpoint, bulk=True) is not None
    assert plane.refusal(endpoint) is None
    plane.enter(endpoint, house.call())
    refused = plane.refusal(endpoint)
    assert isinstance(refused, Overloaded)
    assert refused.retry_after == pytest.approx(0.051)
    while plane.refusal(endpoint) is not None:
        pass
    for _ in range(150):
        assert plane.refusal(endpoint) is None
        plane.enter(endpoint, house.call())
    assert all(plane.refusal(endpoint) is not None for _ in range(100))  # 201 ms, and the deadline is 200
    plane.leave(endpoint)
    assert plane.refusal(endpoint) is None
