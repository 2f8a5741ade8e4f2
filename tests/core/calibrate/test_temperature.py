"""Temperature scaling is the minimum of the negative log-likelihood."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from quorate.core.calibrate.temperature import FLOORS, LEAST, Temperature, negative_log_likelihood
from quorate.core.types import State

RNG = np.random.default_rng(3)


def drawn(k: int, n: int, sharpened: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are true, made too sure by an exponent, and labels drawn from the true ones."""
    true = RNG.dirichlet(np.full(k, 0.8), size=n)
    y = (true.cumsum(axis=1) > RNG.random((n, 1))).argmax(axis=1)
    powers = true**sharpened
    return powers / powers.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize("k", [2, 4, 11])
@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_it_is_the_minimum(k: int, sharpened: float) -> None:
    scores, y = drawn(k, 600, sharpened)
    state = Temperature().fit(scores, y, {})
    temperature, floor = state.meta["temperature"], state.meta["floor"]
    least = minimize_scalar(
        lambda log_t: negative_log_likelihood(scores, y, float(np.exp(log_t)), floor),
        bounds=(np.log(0.05), np.log(50)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert temperature == pytest.approx(np.exp(least.x), rel=1e-5)
    found = negative_log_likelihood(scores, y, temperature, floor)
    assert found <= least.fun + 1e-12
    for other in FLOORS:
        if other < 0.5 / k:
            assert found <= negative_log_likelihood(scores, y, temperature, other) + 1e-9


def test_what_was_sharpened_is_found() -> None:
    scores, y = drawn(3, 20_000, 2.5)
    state = Temperature().fit(scores, y, {})
    assert state.meta["temperature"] == pytest.approx(2.5, rel=0.05)
    answer = scores.astype(np.float32)
    true = scores ** (1 / state.meta["temperature"])
    true /= true.sum(axis=1, keepdims=True)
    sure = scores.min(axis=1) > 1e-3  # above every floor
    np.testing.assert_allclose(Temperature().apply(answer, state)[sure], true[sure], atol=1e-5)


def test_where_everything_was_right_it_ends_at_its_limit() -> None:
    scores = np.tile(np.array([[0.9, 0.1]]), (30, 1))
    state = Temperature().fit(scores, np.zeros(30, int), {})
    assert state.meta["temperature"] == pytest.approx(LEAST)
    assert Temperature().wrong(state, 2) is None


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        ({"temperature": 1.0}, "'floor'"),
        ({"temperature": 0.0, "floor": 1e-6}, "'temperature'"),
        ({"temperature": "1", "floor": 1e-6}, "'temperature'"),
        ({"temperature": 1.0, "floor": 0.3}, "'floor'"),
    ],
)
def test_a_state_that_does_not_fit_is_told(meta: dict[str, object], says: str) -> None:
    assert Temperature().wrong(State("temperature", 1, meta), 2) == says
