import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.stats.histogram import LogHistogram


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=60),
    q=st.floats(0, 1),
    error=st.sampled_from([0.001, 0.01, 0.2]),
)
def test_quantiles_are_within_the_relative_error(values: list[float], q: float, error: float) -> None:
    histogram = LogHistogram(error)
    histogram.add(values)
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    assert abs(histogram.quantile(q) - exact) <= exact * error * (1 + 1e-9)


def test_latencies_of_a_day_take_little_room() -> None:
    values = np.random.default_rng(0).lognormal(2, 2, size=100_000)
    histogram = LogHistogram()
    histogram.add(values)
    assert histogram.count == 100_000
    assert len(json.dumps(histogram.to_dict())) < 15_000
    for q in (0.5, 0.95, 0.99):
        assert histogram.quantile(q) == pytest.approx(np.quantile(values, q), rel=0.011)


def test_merging_is_counting_together() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.exponential(5.0, size=size) for size in (10, 1000, 0)]
    whole, merged = LogHistogram(), LogHistogram()
    whole.add(np.concatenate([*parts, [0.0]]))
    for part in (*parts, [0.0]):
        piece = LogHistogram()
        piece.add(part)
        merged.merge(piece)
    assert merged.to_dict() == whole.to_dict()
    with pytest.raises(ValueError, match=r"got 0\.01 and 0\.02"):
        merged.merge(LogHistogram(0.02))


def test_json_there_and_back() -> None:
    histogram = LogHistogram(0.02)
    histogram.add([0.0, 1e-12, 0.5, 0.5, 1e6])
    back = LogHistogram.from_dict(json.loads(json.dumps(histogram.to_dict())))
    assert back.to_dict() == histogram.to_dict()
    assert back.relative_error == 0.02
    assert back.count == 5


def test_zeros_and_nothing() -> None:
    histogram = LogHistogram()
    assert math.isnan(histogram.quantile(0.5))
    histogram.add(0.0)
    histogram.add([0.0, 8.0])
    assert histogram.quantile(0.5) == 0.0
    assert histogram.quantile(1.0) == pytest.approx(8.0, rel=0.01)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_refuses_what_is_no_duration_and_counts_none_of_it(bad: float) -> None:
    histogram = LogHistogram()
    with pytest.raises(ValueError, match="finite values >= 0"):
        histogram.add([1.0, bad])
    assert histogram.count == 0


def test_refuses_what_is_no_quantile_or_error() -> None:
    with pytest.raises(ValueError, match=r"like 0\.99; got 99"):
        LogHistogram().quantile(99)
    with pytest.raises(ValueError, match=r"like 0\.01; got 1"):
        LogHistogram(1.0)
