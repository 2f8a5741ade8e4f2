import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.decisions.cascade import corrected, scores_of


def test_a_label_stays_the_highest_score_however_little_confidence_there_is_in_it() -> None:
    labels = np.array([[0, 6], [3, 3]])
    sure = np.array([[1.0, 0.142857], [0.2, 0.9]])
    found = scores_of(labels, sure, 7)
    assert np.array_equal(found.argmax(axis=2), labels)
    assert np.allclose(found.sum(axis=2), 1.0)
    assert (found >= 0).all()
    assert found[1, 1, 3] == pytest.approx(0.9)
    assert found[1, 1, 0] == pytest.approx(0.1 / 6)


def test_the_interval_allows_for_halves_that_share_rows() -> None:
    values = [0.01, 0.03, 0.02, 0.04, 0.0]
    mean, low, high = corrected(values)
    spread = float(np.std(values, ddof=1))
    assert mean == pytest.approx(0.02)
    assert high - mean == pytest.approx(mean - low)
    assert high - mean == pytest.approx(stats.t.ppf(0.975, 4) * spread * math.sqrt(1 / 5 + 1))
    assert corrected([0.5])[1:] == (-math.inf, math.inf)
