"""Intervals against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.control.switching.estimates import (
    Sums,
    combined,
    difference,
    mean,
    paired,
    proportion,
    quantile,
    values,
    wilson,
)
from quorate.core.stats import intervals
from quorate.core.stats.histogram import LogHistogram
from quorate.core.stats.intervals import Interval


def sums(decisions: list[list[float]]) -> Sums:
    n = [len(rows) for rows in decisions]
    s = [math.fsum(rows) for rows in decisions]
    cross = math.fsum(a * b for a, b in zip(n, s, strict=True))
    return Sums(len(n), sum(n), sum(a * a for a in n), math.fsum(s), math.fsum(b * b for b in s), cross)


def test_wilson_is_that_of_the_core() -> None:
    for right, n in ((0, 7), (3, 7), (7, 7), (81, 263)):
        assert wilson(right / n, n) == pytest.approx(intervals.wilson(right, n), abs=1e-12)


def test_newcombe_s_published_differences() -> None:
    # Table II of Newcombe (1998), "Interval estimation for the difference", method 10: 56/70 - 48/80 and 9/10 - 3/10.
    for (a, m), (b, n), limits in (((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090))):
        found = difference(wilson(a / m, m), wilson(b / n, n))
        assert found == pytest.approx((a / m - b / n, *limits), abs=5e-5)


def test_a_mean_of_single_rows_is_the_textbook_s() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(5, 2, 400)
    found = mean(sums([[value] for value in x]))
    half = 1.959964 * x.std(ddof=1) / math.sqrt(400)
    assert found == pytest.approx((x.mean(), x.mean() - half, x.mean() + half), rel=1e-6)


def test_rows_of_one_decision_belong_together() -> None:
    # Each decision has ten equal rows: they say as much as one.
    rng = np.random.default_rng(4)
    x = (rng.random(300) < 0.7).astype(float)
    assert mean(sums([[v] * 10 for v in x])) == pytest.approx(mean(sums([[v] for v in x])))
    clustered, single = proportion(sums([[v] * 10 for v in x])), proportion(sums([[v] for v in x]))
    assert clustered == pytest.approx(single)
    assert single is not None
    assert single == pytest.approx(intervals.wilson(int(x.sum()), 300), abs=2e-4)


def test_the_ratio_s_variance_covers() -> None:
    # Decisions of 1 to 9 rows that share their luck; of 1,500 intervals 95 % cover, within 3 standard errors.
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(1500):
        n = rng.integers(1, 10, 200)
        chance = rng.beta(2, 2, 200)
        s = rng.binomial(n, chance)
        found = proportion(
            Sums(200, int(n.sum()), int((n * n).sum()), float(s.sum()), float((s * s).sum()), float((n * s).sum()))
        )
        assert found is not None
        hits += found.low <= 0.5 <= found.high
    assert 0.933 <= hits / 1500 <= 0.967


def test_nothing_and_little() -> None:
    assert mean(Sums()) is None
    assert mean(sums([[1.0]])) is None
    assert proportion(Sums()) is None
    assert proportion(sums([[1.0]])) == pytest.approx(intervals.wilson(1, 1))
    assert proportion(sums([[1.0], [1.0]])) == pytest.approx(intervals.wilson(2, 2))
    assert quantile([(1.0, LogHistogram())], 0.5) is None
    assert quantile([], 0.5) is None
    assert paired(np.array([0.5]), bounded=True) is None


def test_combined_adds_squares() -> None:
    a, b = Interval(1.0, 0.5, 2.0), Interval(3.0, 2.0, 3.5)
    found = combined([(0.5, a), (-2.0, b)])
    assert found.estimate == 0.5 - 6.0
    assert found.low == pytest.approx(-5.5 - math.hypot(0.25, 1.0))
    assert found.high == pytest.approx(-5.5 + math.hypot(0.5, 2.0))


def test_agresti_and_min_s_paired_difference() -> None:
    # b = 5 and c = 14 of n = 41: ((c - b) ± z sqrt((b + c + 1) - (c - b)² / (n + 2))) / (n + 2).
    gains = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 22)
    half = 1.959964 * math.sqrt(20 - 81 / 43) / 43
    assert paired(gains, bounded=True) == pytest.approx((9 / 41, 9 / 43 - half, 9 / 43 + half), rel=1e-6)
    alike = paired(np.zeros(100), bounded=True)
    assert alike is not None
    assert alike.low == -alike.high < 0
    unbounded = paired(np.array([1.0, 3.0, 5.0]), bounded=False)
    assert unbounded == pytest.approx((3.0, 3 - 1.959964 * 2 / math.sqrt(3), 3 + 1.959964 * 2 / math.sqrt(3)), rel=1e-6)


def test_a_median_s_order_statistics() -> None:
    histogram = LogHistogram()
    histogram.add(np.arange(1.0, 1001.0))
    found = quantile([(1.0, histogram)], 0.5)
    # Ranks 500 ± 31 of 1..1000, within the histogram's 1 %.
    assert found is not None
    assert found == pytest.approx((500, 469, 531), rel=0.021)


def test_a_mixture_s_quantile_weighs_its_parts() -> None:
    fast, slow = LogHistogram(), LogHistogram()
    fast.add([1.0] * 900)
    slow.add([100.0] * 100)
    mixed = [quantile([(1 - w, fast), (w, slow)], 0.5) for w in (0.25, 0.75)]
    assert [each and each.estimate for each in mixed] == pytest.approx([1.0, 100.0], rel=0.011)
    assert [value for value, _ in values(fast)] == pytest.approx([1.0], rel=0.011)
    zeros = LogHistogram()
    zeros.add([0.0, 0.0, 5.0])
    assert [count for _, count in values(zeros)] == [2, 1]
