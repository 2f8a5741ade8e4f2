from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from quorate.training.softmax import fit_corrections, fit_pool, log_loss


def rows(n: int = 400, f: int = 5, k: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, f))
    logits = x @ rng.normal(size=(f, k))
    y = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    return x, y


@pytest.mark.parametrize("penalty", [0.5, 5.0])
def test_without_an_offset_it_is_scikit_learns_regression(penalty: float) -> None:
    x, y = rows()
    found = fit_corrections(x, y, np.zeros((len(y), 3)), penalty)
    theirs = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-8, max_iter=2000).fit(x, y).coef_.T
    assert np.allclose(
        found - found.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=1, keepdims=True), atol=2e-3
    )


def test_an_offset_that_says_it_all_is_not_corrected() -> None:
    x, y = rows()
    logits = x @ fit_corrections(x, y, np.zeros((len(y), 3)), 1e-6)
    assert np.abs(fit_corrections(x, y, logits, 1.0)).max() < 0.02
    assert np.abs(fit_corrections(x, y, np.zeros((len(y), 3)), 1e7)).max() < 1e-3, "a huge penalty leaves nothing"


def test_where_it_starts_makes_no_difference() -> None:
    x, y = rows()
    zero = np.zeros((len(y), 3))
    start = np.random.default_rng(1).normal(size=(5, 3))
    assert np.allclose(fit_corrections(x, y, zero, 2.0), fit_corrections(x, y, zero, 2.0, start), atol=2e-3)


def test_a_pool_finds_temperature_and_whom_to_trust() -> None:
    rng = np.random.default_rng(2)
    n, k = 6000, 4
    true = rng.normal(size=(n, k)) * 1.5
    y = (true + rng.gumbel(size=(n, k))).argmax(axis=1)
    noise = rng.normal(size=(n, k))
    logs = np.stack([3.0 * true, noise], axis=1)  # the first is three times too sure, the second knows nothing
    logs -= logs.mean(axis=2, keepdims=True)
    weights, biases = fit_pool(logs, y)
    assert weights == pytest.approx([1 / 3, 0.0], abs=0.03)
    assert np.abs(biases).max() < 0.1


def test_members_that_always_agree_share_their_weight() -> None:
    rng = np.random.default_rng(3)
    logs = rng.normal(size=(300, 1, 3)).repeat(2, axis=1)
    y = (logs[:, 0] + rng.gumbel(size=(300, 3))).argmax(axis=1)
    weights, _ = fit_pool(logs, y)
    assert weights[0] == pytest.approx(weights[1], abs=1e-3)


def test_log_loss_is_the_mean_log_of_the_truths_probability() -> None:
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(p, np.array([0, 0])) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert np.isfinite(log_loss(np.array([[0.0, 1.0]]), np.array([0])))
