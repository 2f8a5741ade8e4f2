"""Bias, covariance and weights of least variance, against closed forms."""

import numpy as np
import pytest

from quorate.core.online import gaussian
from quorate.core.online.confusion import RATES


def after(errors: np.ndarray, ok: np.ndarray | None = None) -> dict[str, np.ndarray]:
    arrays = gaussian.start(errors.shape[1])
    present = np.ones(errors.shape, bool) if ok is None else ok
    gaussian.count(arrays, 5.0 + errors, present, np.full(len(errors), 5.0))
    return arrays


def test_bias_and_covariance_of_two_outcomes() -> None:
    arrays = after(np.array([[1.0, 2.0], [3.0, -2.0]]))
    bias, covariances = gaussian.moments(arrays)
    v = (1 + 9 + 4 + 4) / 4
    assert bias[0] == pytest.approx([4 / 3, 0.0])
    assert covariances[0, 0] == pytest.approx(np.diag([(10 + v) / 3 - (4 / 3) ** 2, (8 + v) / 3]))
    assert covariances[0, 2, 0, 1] == pytest.approx(0.9 * (2 - 6) / 3)


def test_an_outcome_shrinks_by_the_rate() -> None:
    arrays = after(np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))
    assert arrays["errors"][:, 1] == pytest.approx(2 * RATES**2)
    assert arrays["pairs"][:, 0, 1] == pytest.approx(RATES**2 + RATES + 1)


def test_each_row_is_predicted_by_the_sums_before_it() -> None:
    rng = np.random.default_rng(4)
    values, ok, truths = rng.normal(size=(20, 3)), rng.random((20, 3)) < 0.8, rng.normal(size=20)
    ok[:, 0] = True
    before = gaussian.count(gaussian.start(3), values, ok, truths)
    together = gaussian.combined(*gaussian.moments(before), values, ok)
    arrays = gaussian.start(3)
    for i in range(20):
        row = slice(i, i + 1)
        assert gaussian.combined(*gaussian.moments(arrays), values[row], ok[row])[0] == pytest.approx(together[i])
        gaussian.count(arrays, values[row], ok[row], truths[row])


def test_independent_members_weigh_by_inverse_variance_and_copies_share_one_weight() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(0, [1.0, 1.0], (4000, 2))
    arrays = after(np.column_stack([own[:, 0], own[:, 0] + rng.normal(0, 0.01, 4000), own[:, 1]]))
    _, covariances = gaussian.moments(arrays)
    independent, _, dependent = gaussian.shares(covariances[0])
    assert independent == pytest.approx([1 / 3] * 3, abs=0.02)
    assert dependent[2] == pytest.approx(0.5, abs=0.05)


def test_a_member_that_did_not_answer_is_left_out() -> None:
    arrays = after(np.random.default_rng(1).normal(0, [1.0, 2.0, 0.5], (300, 3)))
    bias, covariances = gaussian.moments(arrays)
    values = np.array([[5.0, 6.0, np.nan], [5.0, 6.0, 7.0]])
    ok = np.array([[True, True, False], [True, True, True]])
    found = gaussian.combined(bias, covariances, values, ok)
    alone = gaussian.combined(bias[:, :2], covariances[:, :, :2, :2], values[:1, :2], ok[:1, :2])
    assert found[0] == pytest.approx(alone[0])
    weights = gaussian.shares(covariances[1, 2])
    assert found[1, 1 * 3 + 2] == pytest.approx(weights @ (values[1] - bias[1]))


def test_what_is_definite_enough_stays_as_it_is() -> None:
    """The quick way to know that comes to what the eigenvalues say."""
    rng = np.random.default_rng(5)
    wide = rng.normal(size=(50, 4, 4))
    wide = wide @ wide.swapaxes(1, 2) + rng.choice([0.0, 1.0], 50)[:, None, None] * np.eye(4)
    floor = 1e-3 * np.trace(wide, axis1=1, axis2=2) / 4
    low = np.linalg.eigvalsh(wide)[:, 0] < floor
    assert 0 < low.sum() < 50
    found = gaussian._definite(wide)
    assert np.array_equal(found[~low], wide[~low])
    assert np.array_equal(gaussian._definite(wide[~low]), wide[~low])
    assert np.linalg.eigvalsh(found)[low, 0] == pytest.approx(floor[low])


def test_members_never_seen_together_still_have_weights() -> None:
    ok = np.array([[True, False], [False, True]] * 20)
    arrays = after(np.full((40, 2), 3.0), ok)
    _, covariances = gaussian.moments(arrays)
    assert np.linalg.eigvalsh(covariances).min() > 0
    assert np.isfinite(gaussian.shares(covariances)).all()
