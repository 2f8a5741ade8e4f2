"""Scores of classes by hand, and against the distribution that they have by construction."""

import numpy as np
import pytest
from scipy import stats

from quorate.core.conformal.scores import KINDS, of_classes

ROW = np.array([[0.2, 0.5, 0.3]], np.float32)


def test_lac_is_the_rest() -> None:
    assert of_classes("lac", ROW, np.ones(1)) == pytest.approx(np.array([[0.8, 0.5, 0.7]]))


def test_aps_is_the_mass_of_likelier_classes_and_a_share_of_its_own() -> None:
    assert of_classes("aps", ROW, np.array([1.0])) == pytest.approx(np.array([[1.0, 0.5, 0.8]]))
    assert of_classes("aps", ROW, np.array([0.25])) == pytest.approx(np.array([[0.85, 0.125, 0.575]]))


def test_raps_adds_a_penalty_for_ranks_that_are_not_free() -> None:
    found = of_classes("raps", ROW, np.array([1.0]), penalty=0.1, free=1)
    assert found == pytest.approx(np.array([[1.2, 0.5, 0.9]]))
    assert of_classes("raps", ROW, np.ones(1), 0.0, 0) == pytest.approx(of_classes("aps", ROW, np.ones(1)))


def test_equal_classes_are_in_their_order() -> None:
    found = of_classes("aps", np.full((1, 4), 0.25), np.ones(1))
    assert found == pytest.approx(np.array([[0.25, 0.5, 0.75, 1.0]]))


def test_of_the_true_probabilities_aps_is_uniform() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(6, 0.4), 4000)
    y = (p.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    found = of_classes("aps", p, 1.0 - rng.random(4000))[np.arange(4000), y]
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_scored_alone_as_among_others(kind: str) -> None:
    rng = np.random.default_rng(1)
    p, u = rng.dirichlet(np.ones(5), 50).astype(np.float32), 1.0 - rng.random(50)
    whole = of_classes(kind, p, u, 0.05, 2)
    for i in range(50):
        assert np.array_equal(of_classes(kind, p[i : i + 1], u[i : i + 1], 0.05, 2)[0], whole[i])
