import numpy as np
import pytest

from quorate.core.stats.crossing import exits
from quorate.core.stats.spending import obrien_fleming, spent


def test_published_bounds() -> None:
    # Reboussin, DeMets, Kim, Lan, "Computations for group sequential boundaries", Controlled Clinical Trials 21, 2000.
    np.testing.assert_allclose(obrien_fleming(5, 0.05), [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], atol=2e-4)


@pytest.mark.parametrize("looks", [1, 7, 30, 200])
def test_all_of_alpha_is_spent(looks: int) -> None:
    bounds = obrien_fleming(looks, 0.05)
    assert exits(np.arange(1, looks + 1) / looks, bounds).total == pytest.approx(0.05, abs=1e-8)
    assert (np.diff(bounds) <= 0).all()


def test_one_look_is_a_z_test() -> None:
    assert obrien_fleming(1, 0.05)[0] == pytest.approx(1.959964, abs=1e-6)


def test_little_is_spent_early() -> None:
    assert spent(0.2, 0.05) < 1.1e-6
    assert spent(0.5, 0.05) == pytest.approx(0.00305, abs=1e-5)


def test_the_answer_is_the_callers_own() -> None:
    obrien_fleming(3, 0.05)[:] = 0
    assert obrien_fleming(3, 0.05).min() > 1.9


@pytest.mark.parametrize(("looks", "alpha"), [(0, 0.05), (201, 0.05), (5, 0.0), (5, 1.0)])
def test_refuses_what_is_out_of_range(looks: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="lies between"):
        obrien_fleming(looks, alpha)
