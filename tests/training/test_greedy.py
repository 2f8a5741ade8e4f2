from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from quorate.core.combine.weighted import Weighted
from quorate.core.types import OutputSpec
from quorate.errors import InvalidInput
from quorate.training import greedy
from quorate.training.greedy import METRICS, fit_greedy


def pool(n: int, seed: int) -> tuple[Any, Any]:
    """Two members whose errors are independent, one that is a worse copy of the first, one that guesses."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    true = np.eye(3)[y]
    first, second = (1.2 * true + rng.normal(size=(n, 3)) for _ in range(2))
    logits = np.stack([first, second, first + 0.8 * rng.normal(size=(n, 3)), rng.normal(size=(n, 3))], axis=1)
    scores = np.exp(2 * logits)
    return (scores / scores.sum(axis=2, keepdims=True)).astype(np.float32), y


MEMBERS = ["first", "second", "copy", "coin"]


def weights(outputs: Any, y: Any, **settings: Any) -> Any:
    names = [f"m{j}" for j in range(outputs.shape[1])]
    return fit_greedy(outputs, y, names, **settings).arrays["weights"]


def test_the_steps_are_those_of_the_algorithm() -> None:
    """By hand, with one bag: the best member; then what helps most; and of the way the best ensemble."""
    y = np.array([0, 0, 0, 1])
    a = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]  # 3 right
    b = [[0.4, 0.6], [0.4, 0.6], [0.9, 0.1], [0.4, 0.6]]  # 2 right, and with a all four
    c = [[0.1, 0.9]] * 4  # 1 right
    outputs = np.array([a, b, c], np.float32).transpose(1, 0, 2)
    found = weights(outputs, y, bags=1, steps=10)
    together = (outputs * found[:, None]).sum(axis=1)
    assert (together.argmax(axis=1) == y).all()
    assert found[2] == 0
    np.testing.assert_allclose(weights(outputs, y, bags=1, steps=1), [1, 0, 0])
    np.testing.assert_allclose(weights(outputs, y, bags=1, steps=2), [0.5, 0.5, 0])


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier"])
def test_it_is_never_below_the_best_member_on_the_rows_it_was_fitted_on(metric: str) -> None:
    outputs, y = pool(400, 1)
    judge = METRICS[metric]
    found = weights(outputs, y, metric=metric, bags=1)
    together = (outputs.astype(float) * found[:, None]).sum(axis=1)
    assert judge(y, together) >= max(judge(y, outputs[:, j].astype(float)) for j in range(4)) - 1e-12
    assert found.sum() == pytest.approx(1)


def test_it_takes_complements_and_leaves_out_what_does_not_help() -> None:
    outputs, y = pool(3000, 2)
    found = weights(outputs, y, metric="log_loss")
    assert found[:2].min() > 0.25
    assert found[3] < 0.15
    state = fit_greedy(outputs, y, MEMBERS, metric="log_loss")
    Weighted().check(MEMBERS, OutputSpec("scores", classes=("a", "b", "c")), state)
    test, truth = pool(3000, 3)
    answer = Weighted().combine(test, np.zeros(test.shape[:2], np.int8), state)
    alone = max(METRICS["log_loss"](truth, test[:, j].astype(float)) for j in range(4))
    assert METRICS["log_loss"](truth, answer.astype(float)) > alone + 0.05


def test_values_are_averaged_for_the_least_error() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(2000, 1))
    outputs = (y[:, None] + rng.normal(size=(2000, 3, 1)) * np.array([1.0, 1.0, 3.0])[:, None]).astype(np.float32)
    found = weights(outputs, y, metric="rmse", bags=1)
    # independent errors: the best weights are as the inverse variances
    np.testing.assert_allclose(found, np.array([9, 9, 1]) / 19, atol=0.06)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_neither_the_order_of_members_nor_of_rows_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, y = pool(80, seed)
    expected = weights(outputs, y, metric="log_loss", bags=1, steps=12)
    members, rows = rng.permutation(4), rng.permutation(80)
    turned = weights(outputs[rows][:, members], y[rows], metric="log_loss", bags=1, steps=12)
    np.testing.assert_allclose(turned, expected[members], atol=1e-9)


def test_the_same_seed_gives_the_same_weights_and_any_function_will_do() -> None:
    outputs, y = pool(200, 5)
    first, again = (weights(outputs, y, bags=5, share=0.5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    mine = weights(outputs, y, metric=lambda truth, scores: float((scores.argmax(axis=1) == truth).mean()), bags=1)
    np.testing.assert_array_equal(mine, weights(outputs, y, metric="accuracy", bags=1))


def test_the_metrics_are_scikit_learns() -> None:
    outputs, y = pool(300, 6)
    scores = outputs[:, 0].astype(float)
    said = scores.argmax(axis=1)
    assert greedy.accuracy(y, scores) == pytest.approx(metrics.accuracy_score(y, said))
    assert greedy.balanced_accuracy(y, scores) == pytest.approx(metrics.balanced_accuracy_score(y, said))
    assert greedy.macro_f1(y, scores) == pytest.approx(metrics.f1_score(y, said, average="macro"))
    exact = scores / scores.sum(axis=1, keepdims=True)
    assert greedy.log_loss(y, exact) == pytest.approx(-metrics.log_loss(y, exact))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "rmse"}, "expected a metric of accuracy"),
        ({"metric": "luck"}, "got 'luck'"),
        ({"bags": 0}, "bags of 1 or more"),
        ({"steps": 0}, "steps"),
        ({"share": 1.5}, "share in 0..1"),
    ],
)
def test_refuses_settings_out_of_range(settings: Any, message: str) -> None:
    outputs, y = pool(10, 0)
    with pytest.raises(InvalidInput, match=message):
        fit_greedy(outputs, y, MEMBERS, **settings)


def test_refuses_values_of_another_shape() -> None:
    with pytest.raises(InvalidInput, match="finite true values"):
        fit_greedy(np.zeros((5, 2, 1), np.float32), np.zeros((4, 1)), ["a", "b"], metric="rmse")
