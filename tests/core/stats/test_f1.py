import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from quorate.core.stats.f1 import confusion, macro_f1, macro_f1_interval
from quorate.core.stats.intervals import wilson


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 300)
    predicted = np.where(rng.random(300) < 0.7, truth, rng.integers(0, 5, 300))
    counts = confusion(truth, predicted, 7)
    np.testing.assert_array_equal(counts, confusion_matrix(truth, predicted, labels=range(7)))
    assert float(macro_f1(counts)) == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_a_class_counts_when_it_was_only_predicted_and_not_when_it_never_occurs() -> None:
    assert float(macro_f1(confusion(np.array([0, 0]), np.array([0, 1]), 3))) == pytest.approx((2 / 3 + 0) / 2)
    assert math.isnan(float(macro_f1(np.zeros((2, 2)))))


def test_many_at_once() -> None:
    stacked = np.array([[[3, 1], [0, 4]], [[0, 0], [0, 0]], [[1, 0], [0, 1]]])
    np.testing.assert_allclose(macro_f1(stacked), [float(macro_f1(stacked[0])), np.nan, 1.0])


def test_the_interval_is_seeded_and_holds_its_estimate() -> None:
    counts = np.array([[40, 5, 0], [3, 30, 2], [0, 6, 14]])
    one, again, other = (macro_f1_interval(counts, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one == again != other
    assert one.low < one.estimate < one.high
    assert (one.low, one.high) == (pytest.approx(other.low, abs=0.01), pytest.approx(other.high, abs=0.01))
    wider = macro_f1_interval(counts, np.random.default_rng(0), level=0.99)
    assert wider.low < one.low < one.high < wider.high


def test_perfect_predictions_are_not_taken_for_certainty() -> None:
    assert macro_f1_interval(np.diag([10, 10]), np.random.default_rng(0)) == wilson(20, 20)


def test_nothing_known_is_nothing_claimed() -> None:
    found = macro_f1_interval(np.zeros((3, 3), np.int64), np.random.default_rng(0))
    assert math.isnan(found.estimate)
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("wrong", [0.05, 0.25])
def test_covers_about_as_often_as_it_says(wrong: float) -> None:
    rows = np.array([60, 60, 30])
    shares = np.array([[1 - wrong, wrong, 0], [wrong / 2, 1 - wrong, wrong / 2], [0, 2 * wrong, 1 - 2 * wrong]])
    # With the class sizes fixed, the truth is the macro F1 of the expected confusion matrix up to O(1/n).
    truth = float(macro_f1(rows[:, None] * shares * 1000))
    rng = np.random.default_rng(2)
    found = [macro_f1_interval(rng.multinomial(rows, shares), rng, resamples=500) for _ in range(400)]
    covered = np.mean([low <= truth <= high for _, low, high in found])
    assert 0.91 < covered < 0.985


def test_many_classes_resample_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).multinomial([50, 50], [[0.8, 0.2], [0.3, 0.7]])
    whole = macro_f1_interval(counts, np.random.default_rng(3))
    monkeypatch.setattr("quorate.core.stats.f1._CELLS_AT_ONCE", 100)
    assert macro_f1_interval(counts, np.random.default_rng(3)) == whole


def test_refuses_what_is_no_class() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        confusion(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        confusion(np.array([0, 1]), np.array([0, -1]), 2)
    with pytest.raises(ValueError, match="one index per row"):
        confusion(np.array([0, 1]), np.array([0]), 2)
