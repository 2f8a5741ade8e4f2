"""The calibration error: its bins, its value on known data, and its limits in simulations where the truth is known."""

import numpy as np
import pytest

from quorate.core.calibrate.ece import of_answers, reliability
from quorate.core.stats.intervals import wilson

RNG = np.random.default_rng(11)


def test_bins_have_equal_mass_and_what_was_seen() -> None:
    confidence = RNG.random(1000)
    right = RNG.random(1000) < confidence
    found = reliability(confidence, right, bins=10)
    assert found is not None
    assert [each.rows for each in found.bins] == [100] * 10
    order = np.argsort(confidence)[:100]
    first = found.bins[0]
    assert first.confidence == pytest.approx(confidence[order].mean())
    share = wilson(int(right[order].sum()), 100)
    assert (first.accuracy, first.low, first.high) == pytest.approx(tuple(share))
    assert (first.start, first.stop) == (confidence[order].min(), confidence[order].max())
    plain = sum(each.rows * abs(each.confidence - each.accuracy) for each in found.bins) / 1000
    assert found.error.observed == pytest.approx(plain)


def test_equal_confidences_share_a_bin_and_few_rows_have_few_bins() -> None:
    votes = np.repeat([0.4, 0.6, 0.8, 1.0], 200)
    found = reliability(votes, RNG.random(800) < votes)
    assert found is not None
    assert [(each.start, each.stop, each.rows) for each in found.bins] == [(v, v, 200) for v in (0.4, 0.6, 0.8, 1.0)]
    few = reliability(RNG.random(30), np.ones(30, bool))
    assert few is not None
    assert len(few.bins) == 1
    assert reliability(np.zeros(0), np.zeros(0, bool)) is None
    assert of_answers(np.zeros((0, 3)), np.zeros(0, int)) is None


def test_answers_are_judged_by_their_greatest_probability() -> None:
    answers = np.array([[0.7, 0.3], [0.2, 0.8]] * 50)
    found = of_answers(answers, np.array([0, 0] * 50))
    assert found is not None
    assert [(each.confidence, each.accuracy) for each in found.bins] == [
        (pytest.approx(0.7), 1.0),
        (pytest.approx(0.8), 0.0),
    ]
    assert found.error.observed == pytest.approx(0.5 * 0.3 + 0.5 * 0.8)


def over_confident(confidence: np.ndarray) -> np.ndarray:
    return confidence - 0.06


def off_at_the_top(confidence: np.ndarray) -> np.ndarray:
    return np.where(confidence > 0.9, confidence - 0.25, confidence)


def a_little_off(confidence: np.ndarray) -> np.ndarray:
    return confidence - 0.02


def calibrated(confidence: np.ndarray) -> np.ndarray:
    return confidence


@pytest.mark.parametrize("n", [400, 3000])
@pytest.mark.parametrize(
    ("chance", "error"), [(calibrated, 0.0), (a_little_off, 0.02), (over_confident, 0.06), (off_at_the_top, 0.05)]
)
def test_limits_hold_as_often_as_they_say(n: int, chance: object, error: float) -> None:
    """95 % limits: at most 8 % of 200 simulations miss (2.5 standard errors above 5 %)."""
    missed, values, plain = 0, [], []
    for seed in range(200):
        confidence = RNG.uniform(0.5, 1.0, size=n)
        right = RNG.random(n) < chance(confidence)  # type: ignore[operator]
        found = reliability(confidence, right, seed=seed)
        assert found is not None
        low, high = found.error.low, found.error.high
        missed += not low <= error <= high
        values.append(found.error.value)
        plain.append(found.error.observed)
        assert low <= found.error.value <= high
    assert missed <= 17
    assert abs(np.mean(values) - error) < 0.5 * abs(np.mean(plain) - error) + 0.003
    if not error:
        assert np.mean(np.array(values) == 0) > 0.3
