import math

import numpy as np
import pytest

from quorate.core.stats.metric import Metric, Sample, known
from quorate.core.stats.pairs import pair
from quorate.core.stats.prefix import first_units


def test_units_without_an_outcome_are_left_out_of_all_columns_and_counted() -> None:
    nan = math.nan
    sample = Sample(
        np.array([1, nan, 3, 4.0]), np.array([2, 2, nan, 1.0]), np.array([5, 6, 7, nan]), np.array([1, 2, 3, 4.0])
    )
    found = known(Metric("ratio"), sample)
    assert found.missing == 2
    np.testing.assert_array_equal(found.sample.values, [1, 4])
    np.testing.assert_array_equal(found.sample.denominators, [2, 1])
    np.testing.assert_array_equal(found.sample.covariates, [5, nan])
    np.testing.assert_array_equal(found.sample.times, [1, 4])


def test_a_binary_metric_is_bounded_whatever_is_said() -> None:
    assert (Metric("binary", low=-5).low, Metric("binary").high) == (0.0, 1.0)
    assert Metric("binary").bounded
    assert not Metric("mean", low=0).bounded


X = np.arange(4.0)


@pytest.mark.parametrize(
    ("metric", "sample", "says"),
    [
        (Metric("mean"), Sample(np.array([1.0, math.inf])), "finite"),
        (Metric("mean"), Sample(np.ones((2, 2))), r"\[n\]; got \[2, 2\]"),
        (Metric("binary"), Sample(np.array([0, 0.5])), "0 or 1"),
        (Metric("mean", low=0, high=2), Sample(X), r"0..2, its bounds; got 0.0..3.0"),
        (Metric("quantile", low=1), Sample(X), "its bounds"),
        (Metric("ratio"), Sample(X), "denominators"),
        (Metric("mean"), Sample(X, X), "denominators"),
        (Metric("ratio"), Sample(X, X - 1), "negative"),
        (Metric("ratio"), Sample(X, X[:3]), r"\[4\]; got \[3\]"),
        (Metric("mean"), Sample(X, times=-X), "decrease"),
        (Metric("mean"), Sample(X, times=np.array([0, 1, math.nan, 2])), "NaN"),
        (Metric("mean"), Sample(X, covariates=X + math.inf), "finite"),
    ],
)
def test_refuses_what_contradicts_the_metric(metric: Metric, sample: Sample, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        known(metric, sample)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "median"}, "binary, mean, ratio or quantile"),
        ({"kind": "quantile", "q": 1.0}, "between 0 and 1"),
        ({"kind": "mean", "low": 1.0, "high": 1.0}, "below"),
        ({"kind": "mean", "low": math.nan}, "below"),
    ],
)
def test_refuses_what_is_no_metric(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Metric(**settings)


def test_what_was_known_earlier_by_time() -> None:
    control, treatment = Sample(X, times=np.array([1, 2, 5, 9.0])), Sample(X, times=np.array([2, 3, 4, 9.0]))
    sizes = [tuple(map(len, first_units(control, treatment, total))) for total in range(10)]
    assert sizes == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (3, 3), (4, 3), (4, 4), (4, 4)]


def test_what_was_known_earlier_without_times_is_interleaved() -> None:
    control, treatment = Sample(np.arange(90.0)), Sample(np.arange(10.0))
    sizes = [tuple(map(len, first_units(control, treatment, total))) for total in (0, 10, 50, 100, 500)]
    assert sizes == [(0, 0), (9, 1), (45, 5), (90, 10), (90, 10)]


def test_pairs_are_scaled_differences() -> None:
    pairs = pair(Metric("mean", low=-1, high=3), Sample(np.array([-1, 3, 0.0])), Sample(np.array([3, -1, 0, 1.0])))
    np.testing.assert_allclose(pairs.x, [1, 0, 0.5])
    assert (pairs.back(0.0), pairs.back(1.0), pairs.at(0.0)) == (-4, 4, 0.5)
    with pytest.raises(ValueError, match="both bounds"):
        pair(Metric("mean", low=0), Sample(X), Sample(X))
