"""Published sizes of repeated tests, and closed forms of Brownian motion."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from quorate.core.stats.crossing import exits


@pytest.mark.parametrize(
    ("looks", "size"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248)]
)
def test_a_test_at_five_percent_repeated(looks: int, size: float) -> None:
    # Armitage, McPherson, Rowe 1969, table 2.
    assert exits(np.arange(1, looks + 1) / looks, [1.95996] * looks).total == pytest.approx(size, abs=6e-4)


def test_thirty_looks_of_a_z_test_err_in_more_than_a_quarter() -> None:
    assert exits(np.arange(1, 31) / 30, [1.95996] * 30).total == pytest.approx(0.280, abs=5e-4)


@pytest.mark.parametrize(("looks", "bound"), [(2, 2.178), (5, 2.413), (10, 2.555), (20, 2.672)])
def test_pocock_bounds(looks: int, bound: float) -> None:
    # Jennison and Turnbull 2000, table 2.1.
    assert exits(np.arange(1, looks + 1) / looks, [bound] * looks).total == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (5, 2.040), (10, 2.087)])
def test_obrien_fleming_bounds(looks: int, constant: float) -> None:
    # Jennison and Turnbull 2000, table 2.3.
    k = np.arange(1, looks + 1)
    assert exits(k / looks, constant * np.sqrt(looks / k)).total == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("looks", "inflation"), [(5, 1.028), (10, 1.040)])
def test_power_of_obrien_fleming_at_its_published_inflation(looks: int, inflation: float) -> None:
    # Jennison and Turnbull 2000, table 2.4: the maximum that gives power 0.8, over the fixed size.
    constant = {5: 2.040, 10: 2.087}[looks]
    k = np.arange(1, looks + 1)
    normal = NormalDist()
    drift = math.sqrt(inflation) * (normal.inv_cdf(0.975) + normal.inv_cdf(0.8))
    assert exits(k / looks, constant * np.sqrt(looks / k), drift).above.sum() == pytest.approx(0.8, abs=1e-3)


def test_one_look_is_a_z_test() -> None:
    found = exits([1.0], [2.0], 1.5)
    normal = NormalDist()
    assert found.above[0] == pytest.approx(normal.cdf(-0.5), abs=1e-12)
    assert found.below[0] == pytest.approx(normal.cdf(-3.5), abs=1e-12)
    assert found.expected(np.array([1.0])) == 1.0


def test_probabilities_agree_with_simulated_walks() -> None:
    rng = np.random.default_rng(0)
    looks, drift, bound = 8, 2.0, 2.3
    k = np.arange(1, looks + 1)
    walks = np.cumsum(rng.normal(drift / looks, 1 / math.sqrt(looks), (200_000, looks)), axis=1)
    z = walks / np.sqrt(k / looks)
    out = np.abs(z) > bound
    first = np.where(out.any(axis=1), out.argmax(axis=1), -1)
    found = exits(k / looks, [bound] * looks, drift)
    seen = np.bincount(first[first >= 0], minlength=looks) / len(z)
    np.testing.assert_allclose(found.above + found.below, seen, atol=0.003)
    ends = np.where(first >= 0, first + 1, looks) / looks
    assert found.expected(k / looks) == pytest.approx(ends.mean(), abs=0.003)


def test_bounds_that_cannot_be_passed_are_not() -> None:
    found = exits([0.25, 0.5, 1.0], [math.inf, math.inf, 1.95996])
    assert found.above[:2].max() < 1e-20
    assert found.total == pytest.approx(0.05, abs=1e-5)
