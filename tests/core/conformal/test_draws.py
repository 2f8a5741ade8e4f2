import numpy as np
from scipy import stats

from quorate.core.conformal.draws import draws


def test_draws_are_uniform_and_independent_and_those_of_the_decision() -> None:
    found = np.concatenate([draws(f"decision {i}", 4) for i in range(1000)])
    for column in (0, 1):
        assert stats.kstest(found[:, column], "uniform").pvalue > 0.01
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.05
    assert found.min() > 0
    assert found.max() <= 1
    assert np.array_equal(draws("a", 5)[:2], draws("a", 2))
    assert not np.array_equal(draws("a", 2), draws("b", 2))
