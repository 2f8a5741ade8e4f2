"""Means of rows that come in clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.core.stats.clustered import clustered_mean


def sums(clusters: list[np.ndarray]) -> tuple[float, ...]:
    n = np.array([len(each) for each in clusters], float)
    s = np.array([each.sum() for each in clusters])
    return len(clusters), n.sum(), (n**2).sum(), s.sum(), (s**2).sum(), (n * s).sum()


def test_single_rows_have_the_usual_standard_error() -> None:
    rows = np.random.default_rng(1).normal(size=200)
    found = clustered_mean(*sums([rows[i : i + 1] for i in range(200)]))
    assert found.estimate == pytest.approx(rows.mean())
    assert found.high - found.estimate == pytest.approx(1.959964 * rows.std(ddof=1) / math.sqrt(200))


def test_rows_that_are_copies_count_once() -> None:
    rows = np.random.default_rng(2).normal(size=100)
    alone = clustered_mean(*sums([rows[i : i + 1] for i in range(100)]))
    copied = clustered_mean(*sums([np.repeat(rows[i], 7) for i in range(100)]))
    assert copied == pytest.approx(alone)


def test_intervals_cover_where_rows_are_alike() -> None:
    """95 % intervals over 1,500 samples of 60 decisions, with 1 to 9 rows that share an effect."""
    rng, held, naive = np.random.default_rng(3), 0, 0
    for _ in range(1500):
        clusters = [rng.normal() + 0.5 * rng.normal(size=rng.integers(1, 10)) for _ in range(60)]
        found = clustered_mean(*sums(clusters))
        held += found.low <= 0 <= found.high
        rows = np.concatenate(clusters)
        half = 1.96 * rows.std(ddof=1) / math.sqrt(len(rows))
        naive += abs(rows.mean()) <= half
    assert 0.92 <= held / 1500 <= 0.965
    assert naive / 1500 < 0.75


def test_too_few_to_say() -> None:
    assert math.isnan(clustered_mean(0, 0, 0, 0, 0, 0).estimate)
    assert clustered_mean(1, 3, 9, 6, 36, 18)[:2] == (2.0, -math.inf)
    assert clustered_mean(*sums([np.full(1, 0.1)] * 30)).low == pytest.approx(0.1)
