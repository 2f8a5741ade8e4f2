import numpy as np
import pytest

from quorate.core.cascade.evidence import seen
from quorate.core.cascade.router import FEW_CLASSES, heard, larger, width

KNOTS = np.tile(np.linspace(-2.0, 4.0, 4), (3, 1))


@pytest.mark.parametrize("k", [2, 3, FEW_CLASSES + 1])
def test_columns_are_as_many_as_they_are_said_to_be(k: int) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet(np.ones(k), size=(6, 2)).astype(np.float32)
    found = heard(seen(outputs, np.ones((6, 2), bool)), outputs.mean(axis=1).astype(float), KNOTS[:2])
    assert found.shape == (6, width(2, k, 4))
    assert np.isfinite(found).all()


def test_a_row_has_the_same_columns_alone() -> None:
    rng = np.random.default_rng(1)
    outputs = rng.dirichlet(np.ones(4), size=(5, 3)).astype(np.float32)
    ok = rng.random((5, 3)) < 0.6
    p = rng.dirichlet(np.ones(4), size=5)
    together = heard(seen(outputs, ok), p, KNOTS)
    alone = [heard(seen(outputs[i : i + 1], ok[i : i + 1]), p[i : i + 1], KNOTS)[0] for i in range(5)]
    assert np.array_equal(together, alone)


def test_larger_sets_have_all_of_the_smaller_and_more() -> None:
    sets = np.array([[1, 1], [1, 0], [0, 1]], bool)
    assert larger(sets).tolist() == [[False, False, False], [True, False, False], [True, False, False]]
