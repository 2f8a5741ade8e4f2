"""What the event loop takes for a request, and what follows for those that would wait for it."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.snapshot import StrategyRoute
from quorate.errors import Overloaded
from quorate.serving.pace import REFUSAL_MS, REFUSING, Pace
from quorate.testing.clock import FakeClock


def test_nothing_is_known_of_a_few_requests() -> None:
    pace = Pace(FakeClock())
    pace.observe(1.0, 19)
    assert pace.ms == 0.0


def test_the_first_readings_count_as_they_are_and_later_ones_by_and_by() -> None:
    pace = Pace(FakeClock())
    pace.observe(0.1, 1000)
    assert pace.ms == pytest.approx(0.1)
    pace.observe(0.1, 1010)  # too few to tell; they count with the next ones
    assert pace.ms == pytest.approx(0.1)
    pace.observe(0.4, 2000)
    assert pace.ms == pytest.approx(0.1 + 0.3 * 0.2)
    for beat in range(40):
        pace.observe(0.4 + 0.3 * (beat + 1), 2000 + 1000 * (beat + 1))
    assert pace.ms == pytest.approx(0.3, rel=1e-3)


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
