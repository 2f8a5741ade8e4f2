"""The vectorised experiments of the benchmark are those that the product judges, and a few of them err as they may."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.decisions import errors, looks, srm
from benchmarks.decisions.pools import POOLS, Pool, adjusted, binary, ratio, revenue
from quorate.core.stats.compare import Sample, compare
from quorate.core.stats.difference import difference


def taken(sample: Sample, chosen: np.ndarray) -> Sample:
    columns = (sample.denominators, sample.covariates)
    return Sample(sample.values[chosen], *(None if x is None else x[chosen] for x in columns))


@pytest.mark.parametrize("make", POOLS, ids=lambda make: make.__name__)
def test_running_sums_give_what_the_product_computes(make) -> None:
    rng = np.random.default_rng(0)
    pool: Pool = make(rng)
    first, second = (rng.integers(0, len(pool.control), (3, 900)) for _ in range(2))
    sums = looks.sums(pool.control, first, 300), looks.sums(pool.treatment, second, 300)
    estimate, se = looks.difference(pool.metric, *sums, cuped=pool.control.covariates is not None)
    for run in range(3):
        for look in range(3):
            n = 300 * (look + 1)
            found = difference(pool.metric, taken(pool.control, first[run, :n]), taken(pool.treatment, second[run, :n]))
            assert estimate[run, look] == pytest.approx(found.estimate, rel=1e-6)
            assert se[run, look] == pytest.approx(found.se, rel=1e-6)


@pytest.mark.parametrize("method", [*errors.METHODS, *errors.EXACT])
def test_verdicts_are_the_products(method: str) -> None:
    rng = np.random.default_rng(1)
    pool = binary(rng)
    step = 200
    plan = replace(pool.plan(method), maximum=60 * step)
    at = np.arange(1, 31) if plan.looks > 1 else np.array([30])
    draws = errors._Draws(pool, rng, 3, 30, step)
    said = draws.verdicts(plan, at)[1]
    # The benchmark does not ask the exact methods whether there is nothing to find.
    names = {1: ("better",), -1: ("worse",), 2: ("equivalent",), 0: ("none_yet", "futile")}
    if method in errors.EXACT:
        names[0] += ("equivalent",)
    first, second = draws._chosen
    for run in range(3):
        for look in range(0, len(at), 5):
            n = at[look] * step
            arms = taken(pool.control, first[run, :n]), taken(pool.treatment, second[run, :n])
            found = compare(pool.metric, *arms, method=method, effect=plan.effect, fixed_n=plan.maximum)
            assert found.verdict in names[int(said[run, look])], (run, look)


@pytest.mark.parametrize("make", [binary, revenue, ratio, adjusted])
def test_errors_power_and_sizes_of_few_runs(make) -> None:
    rng = np.random.default_rng(2)
    rows = {(row.system, row.metric): row.value for row in errors.simulate(make(rng), rng, 60)}
    assert rows["Quorate", "false positives"] <= 0.1
    assert rows["Quorate", "effect outside at a look"] <= 0.1
    assert rows["Quorate", "power"] >= 0.7
    assert rows["Quorate", "mean size, effect"] <= 1.1
    assert rows["Quorate", "maximum"] <= 2.0
    assert rows[errors.NAIVE, "false positives"] >= 0.13


def test_the_sample_ratio_is_found_wrong_when_it_is() -> None:
    rng = np.random.default_rng(3)
    assert np.isinf(srm.alarms(rng, 0.5, 200)).mean() > 0.98
    assert np.isfinite(srm.alarms(rng, 0.51, 200)).mean() > 0.95
    assert srm._best(50_000) == pytest.approx(0.916, abs=1e-3)
