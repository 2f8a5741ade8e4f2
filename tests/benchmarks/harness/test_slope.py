"""Whether memory grows."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness import plot
from benchmarks.harness.slope import slope


def test_a_line_has_its_slope_and_noise_has_none() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=1.0, size=1000)
    grows = slope([(float(x), 2.0 * x + noise[x]) for x in range(1000)])
    assert grows.low < 2.0 < grows.high
    assert grows.estimate == pytest.approx(2.0, abs=0.01)
    assert not grows.flat
    assert slope([(float(x), 50 + noise[x]) for x in range(1000)]).flat


def test_what_a_process_gathers_while_it_warms_up_does_not_count() -> None:
    assert slope([(float(x), min(x, 15) * 1.0) for x in range(100)]) == (0.0, 0.0, 0.0)


def test_too_little_says_nothing() -> None:
    assert slope([(0.0, 1.0), (1.0, 2.0)]).flat
    assert np.isnan(slope([(0.0, 1.0), (1.0, 2.0)]).estimate)


def test_a_plot_has_a_line_a_series() -> None:
    drawn = plot.svg({"a < b": [(0, 1), (2, 3)], "c": [(0, 2)]}, title="t", x="s", y="MB")
    assert drawn.count("<polyline") == 2
    assert "a &lt; b" in drawn
    with pytest.raises(ValueError, match="point"):
        plot.svg({}, title="t", x="s", y="MB")
