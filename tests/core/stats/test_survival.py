"""Delays under censoring: against a published example, a closed form, and simulated delays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.core.stats.survival import RELATIVE_ERROR, Cohort, bucket, kaplan_meier, seconds


def test_a_bucket_stands_for_its_delays() -> None:
    for delay in np.geomspace(2e-3, 1e8, 500):
        assert float(seconds(bucket(delay))) == pytest.approx(delay, rel=RELATIVE_ERROR)
    assert bucket(-5.0) == bucket(0.0) == bucket(1e-3) < bucket(2e-3)


def test_remission_times_of_freireich() -> None:
    """6-MP arm of the leukaemia trial (Freireich and others 1963), as in Kalbfleisch and Prentice, table 1.1: weeks of
    remission, + censored. The published estimate is 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448."""
    events = {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1}
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    cohorts = [Cohort(1000.0, sum(events.values()), {bucket(week): n for week, n in events.items()})]
    # Censored at a time a little later than the event of the same week: still at risk then.
    cohorts += [Cohort(week * 1.06 if week in events else week, 1, {}) for week in censored]
    curve = kaplan_meier(cohorts)
    assert (1 - curve.share).tolist() == pytest.approx([0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    # Greenwood's standard errors, published beside them.
    errors = [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]
    assert np.sqrt(curve.variance).tolist() == pytest.approx(errors, abs=5e-4)
    assert curve.quantile(0.5) == pytest.approx(23, rel=RELATIVE_ERROR)
    assert math.isnan(curve.quantile(0.9))


def test_without_censoring_it_is_the_empirical_share() -> None:
    curve = kaplan_meier([Cohort(1e6, 10, {bucket(1.0): 3, bucket(60.0): 4})])
    assert [curve.at(t) for t in (0.5, 2.0, 100.0, 1e6)] == pytest.approx([0.0, 0.3, 0.7, 0.7])
    assert np.sqrt(curve.variance[0]) == pytest.approx(math.sqrt(0.3 * 0.7 / 10))
    assert curve.interval(2.0).low < 0.3 < curve.interval(2.0).high


def test_recent_decisions_are_allowed_for() -> None:
    """Delays are exponential with mean an hour and 60 % of rows have an outcome; decisions came over two hours."""
    rng = np.random.default_rng(1)
    ages = np.repeat(np.arange(120) * 60.0 + 30, 500)
    delays = np.where(rng.random(len(ages)) < 0.6, rng.exponential(3600.0, len(ages)), np.inf)
    seen = delays <= ages
    cohorts = []
    for age in np.unique(ages):
        mine = delays[(ages == age) & seen]
        found, counts = np.unique([bucket(delay) for delay in mine], return_counts=True)
        cohorts.append(Cohort(float(age), 500, dict(zip(found.tolist(), counts.tolist(), strict=True))))
    curve = kaplan_meier(cohorts)
    for t in (600.0, 1800.0, 3600.0, 6000.0):
        assert curve.at(t) == pytest.approx(0.6 * (1 - math.exp(-t / 3600)), abs=0.02)
    assert seen.mean() < 0.36  # what looking at the outcomes so far would say
    assert curve.at(7000.0) > 0.5


def test_intervals_cover() -> None:
    """Of 400 samples under censoring, 95 % intervals of the share by a delay hold it in 91 to 98 %."""
    rng, held = np.random.default_rng(2), 0
    times = seconds(np.arange(-20, 20))
    truth, at = 0.5, float(np.median(times))
    for _ in range(400):
        chosen = rng.random(100) < truth  # by the delay looked at half have an outcome
        delays = np.where(chosen, at * 0.5, at * 2)
        ages = np.where(rng.random(100) < 0.3, at * 0.7, at * 10)
        cohorts = [
            Cohort(float(a), 1, {bucket(float(d)): 1} if d <= a else {}) for d, a in zip(delays, ages, strict=True)
        ]
        interval = kaplan_meier(cohorts).interval(at)
        held += interval.low <= truth <= interval.high
    assert 0.91 * 400 <= held <= 0.98 * 400


def test_nothing_known() -> None:
    curve = kaplan_meier([])
    assert (curve.at(5.0), curve.longest_s) == (0.0, 0.0)
    assert math.isnan(curve.quantile(0.5))
    assert kaplan_meier([Cohort(50.0, 10, {})]).interval(20.0) == (0.0, 0.0, 1.0)
