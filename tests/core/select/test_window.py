import math

import numpy as np
import pytest

from quorate.core.select import window


def added(rows, *, k: int = 1, count: int | None = None, seconds: float | None = None) -> window.Windows:
    windows = window.Windows(window.empty(k), count, seconds)
    for strategy, value, at in rows:
        windows.tick(at)
        windows.add(strategy, value, at)
    return windows


def test_means_of_all_while_the_window_is_not_full() -> None:
    means, rows = added([(0, 1.0, 0.0), (0, 0.0, 1.0), (1, 5.0, 1.0)], k=3, count=100).means()
    assert means[:2].tolist() == [0.5, 5.0]
    assert math.isnan(means[2])
    assert rows.tolist() == [2, 1, 0]


@pytest.mark.parametrize("n", [100, 101, 137, 1000])
def test_the_newest_rows_count_to_a_twentieth(n: int) -> None:
    means, rows = added([(0, float(i), 0.0) for i in range(n)], count=100).means()
    assert 95 <= rows[0] <= 100
    assert means[0] == pytest.approx(np.mean(np.arange(n)[-int(rows[0]) :]))


def test_rows_leave_when_their_time_is_over() -> None:
    windows = added([(0, 1.0, float(t)) for t in range(100)], seconds=50.0)
    assert 47 <= windows.means()[1][0] <= 54  # a part, of which the newest row counts, is a 19th of 50 s long
    windows.tick(148.0)
    assert windows.means()[1][0] <= 4
    windows.tick(1000.0)
    assert windows.means()[1][0] == 0


def test_late_rows_count_if_they_are_in_the_window_and_are_counted_if_not() -> None:
    windows = added([(0, 1.0, 100.0), (0, 0.0, 60.0), (0, 0.0, 40.0)], seconds=50.0)
    assert windows.means()[1][0] == 2
    assert windows.arrays()["late"] == 1


def test_a_clock_that_goes_backward_and_rows_without_a_time() -> None:
    windows = added([(0, 1.0, 100.0), (0, 0.0, 99.0), (0, 0.5, math.nan)], seconds=50.0)
    assert windows.clock == 100.0
    assert windows.means()[0][0] == 0.5


def test_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(0)
    given = [
        (int(s), float(v), float(t))
        for s, v, t in zip(*(rng.integers(0, 3, 400) for _ in range(2)), range(400), strict=True)
    ]
    whole = added(given, k=3, count=60, seconds=90.0)
    half = added(given[:211], k=3, count=60, seconds=90.0)
    again = window.Windows(half.arrays(), 60, 90.0)
    for strategy, value, at in given[211:]:
        again.tick(at)
        again.add(strategy, value, at)
    for name, array in whole.arrays().items():
        assert np.array_equal(array, again.arrays()[name], equal_nan=True), name
