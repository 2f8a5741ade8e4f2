"""The expert layer's bounds hold on random and adversarial sequences; a round against closed forms."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from quorate.core.experts import adahedge, fixed_share, layer

Floats = NDArray[np.float64]


def drawn(state: layer.Layer, awake: NDArray[np.bool_]) -> Floats:
    return layer.weights(layer.runs(state), layer.top(state), awake[None])[0]


def lost(losses: Floats, prior: Floats) -> tuple[layer.Layer, float, Floats]:
    """The layer after all rounds ``[t, n]``, what it lost, and what its first run lost by round."""
    state, own = layer.start(prior), 0.0
    everyone = np.ones(len(prior), bool)
    for each in losses:
        own += float(drawn(state, everyone) @ each)
        state = layer.learn(state, each, everyone)
    return state, own, state.top_losses


def random_losses(rng: np.random.Generator) -> Floats:
    return (rng.random((600, 5)) < rng.uniform(0.05, 0.6, 5)).astype(float)


def alternating(rng: np.random.Generator) -> Floats:
    """What makes follow-the-leader lose every round: whoever leads loses next."""
    losses = np.zeros((600, 2))
    losses[0, 0] = 0.5
    losses[1::2, 1] = 1.0
    losses[2::2, 0] = 1.0
    return losses


def against_the_weights(rng: np.random.Generator) -> Floats:
    """An adaptive adversary: the heaviest expert always loses."""
    state = layer.start(np.full(4, 0.25))
    everyone, found = np.ones(4, bool), []
    for _ in range(600):
        each = np.zeros(4)
        each[drawn(state, everyone).argmax()] = 1.0
        state = layer.learn(state, each, everyone)
        found.append(each)
    return np.array(found)


@pytest.mark.parametrize("make", [random_losses, alternating, against_the_weights])
@pytest.mark.parametrize("seed", range(4))
def test_never_worse_than_the_best_expert_by_more_than_the_bound(make, seed: int) -> None:  # type: ignore[no-untyped-def]
    losses = make(np.random.default_rng(seed))
    n = losses.shape[1]
    prior = np.r_[0.5, np.full(n - 1, 0.5 / (n - 1))]
    state, own, runs = lost(losses, prior)
    least = losses.sum(axis=0).min()
    c = adahedge.cost(prior)
    assert np.allclose(state.losses, losses.sum(axis=0))
    assert runs[0] - least <= 2 * state.gap + 1e-9
    assert 2 * state.gap <= adahedge.bound(c, least, len(losses)) + 1e-9
    assert own - least <= layer.certificate(state) + 1e-9
    assert layer.certificate(state) <= layer.bound(state, least) + 1e-9


def test_the_bound_has_force() -> None:
    """Following the leader breaks it where the layer keeps it."""
    losses = alternating(np.random.default_rng(0))
    so_far = np.vstack([np.zeros(2), np.cumsum(losses, axis=0)[:-1]])
    follows = losses[np.arange(600), so_far.argmin(axis=1)].sum()
    state, own, _ = lost(losses, np.full(2, 0.5))
    least = losses.sum(axis=0).min()
    assert follows - least > layer.bound(state, least) > own - least


@pytest.mark.parametrize("j", range(len(layer.HORIZONS)))
@pytest.mark.parametrize("stretch", [40, 100, 300])
def test_each_share_keeps_its_bound_when_the_best_changes(j: int, stretch: int) -> None:
    rng = np.random.default_rng(stretch)
    n, t = 6, 1200
    best = np.arange(t) // stretch % n
    losses = (rng.random((t, n)) < 0.5).astype(float)
    losses[np.arange(t), best] = rng.random(t) < 0.05
    prior = np.full(n, 1 / n)
    state, own, runs = lost(losses, prior)
    sequence = losses[np.arange(t), best].sum()
    eta, alpha = fixed_share.tuned(layer.HORIZONS, adahedge.cost(prior))
    stretches = np.full(math.ceil(t / stretch), math.log(n))
    assert runs[1 + j] - sequence <= fixed_share.bound(stretches, t, eta[j], alpha[j])
    assert own - runs[1 + j] <= 2 * state.top_gap + 1e-9


def test_it_finds_the_new_best_expert_where_one_forever_cannot() -> None:
    rng = np.random.default_rng(3)
    losses = (rng.random((2000, 5)) < 0.5).astype(float)
    best = np.arange(2000) // 200 % 5
    losses[np.arange(2000), best] = rng.random(2000) < 0.05
    _, own, runs = lost(losses, np.full(5, 0.2))
    assert own < 0.5 * losses.sum(axis=0).min()
    assert own < 0.6 * runs[0]


def test_squared_errors_cost_a_constant_however_long_it_goes() -> None:
    rng = np.random.default_rng(5)
    everyone, state, own = np.ones(4, bool), layer.start(np.full(4, 0.25)), 0.0
    errors = np.zeros(4)
    for t in range(2000):
        truth = math.sin(t / 7) + (3.0 if t == 500 else 0.0)
        said = truth + rng.normal(0, [0.3, 0.5, 0.7, 1.0])
        own += float(drawn(state, everyone) @ said - truth) ** 2
        errors += (said - truth) ** 2
        state = layer.learn_square(state, said, truth, everyone)
    assert own - errors.min() <= layer.certificate(state) + 1e-9
    furthest = state.scale
    constant = adahedge.square_bound(math.log(4), furthest) + adahedge.square_bound(math.log(5), furthest)
    assert layer.certificate(state) <= constant
    assert own < errors.min()  # errors of means are smaller


def test_squared_errors_against_an_adversary() -> None:
    """The truth is always on the side where the mean is wrong."""
    everyone, state, own = np.ones(2, bool), layer.start(np.full(2, 0.5)), 0.0
    errors, said = np.zeros(2), np.array([0.0, 1.0])
    for _ in range(400):
        mean = float(drawn(state, everyone) @ said)
        truth = 1.0 if mean < 0.5 else 0.0
        own += (mean - truth) ** 2
        errors += (said - truth) ** 2
        state = layer.learn_square(state, said, truth, everyone)
    assert own - errors.min() <= layer.certificate(state)
    assert layer.certificate(state) <= 2 * adahedge.square_bound(math.log(5), 1.0)


def test_one_round_by_hand() -> None:
    prior = np.array([0.5, 0.5])
    state = layer.learn(layer.start(prior), np.array([1.0, 0.0]), np.ones(2, bool))
    assert state.gap == 0.5  # own loss 1/2, and at an infinite rate the mix loses nothing
    w = layer.runs(state)
    eta = math.log(2) / 0.5
    assert w[0] == pytest.approx([math.exp(-eta) / (1 + math.exp(-eta)), 1 / (1 + math.exp(-eta))])
    etas, alphas = fixed_share.tuned(layer.HORIZONS, math.log(2))
    v = np.exp(-etas) / (1 + np.exp(-etas))
    assert w[1:, 0] == pytest.approx((1 - alphas) * v + alphas / 2)


def test_a_sleeping_expert_is_left_out_and_neither_gains_nor_loses() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    state = layer.start(prior)
    awake = np.array([True, True, False])
    for _ in range(20):
        assert drawn(state, awake)[2] == 0.0
        before = layer.runs(state)
        state = layer.learn(state, np.array([0.0, 1.0, np.nan]), awake)
        shares = layer.runs(state)[1:]
        alpha = 1 / layer.HORIZONS
        assert shares[:, 2] == pytest.approx((1 - alpha) * before[1:, 2] + alpha * 0.2)
    assert drawn(state, awake).sum() == pytest.approx(1)
    assert state.losses[2] == state.top_losses[0]


def test_a_state_is_the_same_after_its_arrays() -> None:
    state, *_ = lost(random_losses(np.random.default_rng(1))[:50], np.full(5, 0.2))
    again = layer.Layer.of(state.arrays())
    assert all(np.array_equal(one, other) for one, other in zip(state, again, strict=True))


def test_the_layer_keeps_what_it_lost_itself() -> None:
    losses = random_losses(np.random.default_rng(8))[:200]
    state, own, _ = lost(losses, np.full(5, 0.2))
    assert state.own == pytest.approx(own)
    assert state.own - state.losses.min() <= layer.certificate(state)
    again = layer.Layer.of(state.arrays())
    assert (again.own, again.rounds) == (state.own, 200.0)


def test_the_layer_keeps_its_own_squared_errors() -> None:
    rng = np.random.default_rng(3)
    state, own, everyone = layer.start(np.full(3, 1 / 3)), 0.0, np.ones(3, bool)
    for _ in range(100):
        predictions, truth = rng.normal(size=3), float(rng.normal())
        said = float(layer.weights(layer.runs(state), layer.top(state), everyone[None])[0] @ predictions)
        own += (said - truth) ** 2
        state = layer.learn_square(state, predictions, truth, everyone)
    assert state.own == pytest.approx(own)


def test_what_was_lost_before_it_was_kept_is_not_known() -> None:
    """A state of the release before: its arrays have no such number."""
    state = lost(random_losses(np.random.default_rng(1))[:10], np.full(5, 0.2))[0]
    old = {**state.arrays(), "expert_numbers": state.arrays()["expert_numbers"][:4]}
    found = layer.Layer.of(old)
    assert math.isnan(found.own)
    assert found._replace(own=state.own) == state
    later = layer.learn(found, np.zeros(5), np.ones(5, bool))
    assert math.isnan(later.own)
    assert later.rounds == 11.0
