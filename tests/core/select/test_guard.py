import math

import numpy as np
import pytest

from quorate.core.select import guard
from quorate.core.select.evidence import gather
from quorate.core.select.learner import Learner
from quorate.core.select.lin_ucb import LinUcb, LinUcbParams
from quorate.core.select.thompson import Thompson, ThompsonParams

NAMES = ["base", "b", "c"]


def shortfalls(policy: Learner, means, seed: int, told, *, full: bool = False, lots: int = 100, lot: int = 20):
    """By lot: how much less reward than the baseline's the traffic got so far, a row; and the last probabilities."""
    rng, state, lost, rows, course = np.random.default_rng(seed), policy.initial(), 0.0, 0, []
    for _ in range(lots):
        p = policy.distribution(state, {}, {})
        arms, rewards = rng.choice(len(means), lot, p=p), rng.random((lot, len(means))) < means
        told_rows = [
            told([float(r) if full or i == arm else None for i, r in enumerate(row)], int(arm), p.tolist())
            for arm, row in zip(arms, rewards, strict=True)
        ]
        lost += lot * float(p @ (means[0] - np.array(means)))
        rows += lot
        course.append(lost / rows)
        state = policy.learn(state, told_rows)
    return np.array(course), policy.distribution(state, {}, {})


def test_the_bound_by_hand(told) -> None:
    rows = [told([1, None], 0, [0.8, 0.2]), told([None, 0.5], 1, [0.8, 0.2]), told([0.25, 1.0], 1, [0.5, 0.5])]
    sums = guard.add(guard.start(), gather(rows, 2), 1.0, np.ones(3), 0)
    # d: 1 (1 - 1/0.8) = -0.25, 0.5 (1 - 0) = 0.5, and (0.125 + 0.5) - 0.25 = 0.375; 1 - z: -0.25, 1, and 0.
    assert sums == pytest.approx([3, 3, 0.625, 0.75, 0.453125, 0.5625, 1.0625])
    x, y = np.array([-0.25, 0.5, 0.375]), np.array([-0.25, 1.0, 0.0])
    c = np.cov(x, y, ddof=0)[0, 1] / y.var()
    d = x - c * y
    variance = (3 * d.var() + 1) / 4
    half = math.sqrt(variance * 2 * 1.03 / (9 * 0.01) * math.log(math.sqrt(1.03) / 0.05))
    assert guard.lower_bound(sums) == pytest.approx(d.mean() - half)


def test_nothing_is_known_at_first_and_the_baseline_answers(told) -> None:
    assert guard.lower_bound(guard.start()) == -math.inf
    policy = Thompson(NAMES, ThompsonParams(baseline="base", floor=0.05))
    assert policy.distribution(policy.initial(), {}, {}) == pytest.approx([0.9, 0.05, 0.05])


def test_the_bound_is_rarely_wrong_at_any_look(told) -> None:
    """Uniform draws of two equal strategies: the lower bound exceeds 0 at some look in at most 5 % of the runs."""
    rng, wrong, runs, n = np.random.default_rng(5), 0, 300, 400
    for _ in range(runs):
        arms, rewards = rng.integers(0, 2, n), (rng.random(n) < 0.5).astype(float)
        z = np.where(arms == 0, 2.0, 0.0)
        x, y = rewards * (1 - z), 1 - z
        sums = np.cumsum([np.ones(n), np.ones(n), x, y, x * x, x * y, y * y], axis=1)
        wrong += any(guard.lower_bound(sums[:, i]) > 0 for i in range(0, n, 7))
    assert wrong <= 0.05 * runs + 3 * math.sqrt(0.05 * 0.95 * runs)


@pytest.mark.parametrize("full", [False, True])
def test_never_below_the_baseline_by_more_than_the_tolerance(told, full: bool) -> None:
    means = [0.7, 0.2, 0.1]
    params = {"floor": 0.02, "prior": 20.0}
    guarded = Thompson(NAMES, ThompsonParams(baseline="base", tolerance=0.05, **params))
    free = Thompson(NAMES, ThompsonParams(**params))
    for seed in range(4):
        course, p = shortfalls(guarded, means, seed, told, full=full)
        assert course.max() <= 0.05
        assert p[0] > 0.9
    assert shortfalls(free, means, 0, told, full=full)[0].max() > 0.2


def test_a_better_strategy_still_gets_the_traffic(told) -> None:
    policy = Thompson(NAMES, ThompsonParams(baseline="base", tolerance=0.05, floor=0.1))
    course, p = shortfalls(policy, [0.5, 0.8, 0.3], 1, told, lots=150)
    assert course.max() <= 0.05
    assert p == pytest.approx([0.1, 0.8, 0.1], abs=0.02)


def test_a_contextual_learner_is_guarded_alike(told) -> None:
    params = LinUcbParams(features=("context.x",), baseline="base", floor=0.02, exploration=1.0)
    course, p = shortfalls(LinUcb(NAMES, params), [0.7, 0.2, 0.1], 2, told)
    assert course.max() <= 0.05
    assert p[0] > 0.9


def test_shares_are_exact() -> None:
    q = np.array([0.25, 0.75, 0.0])
    assert guard.share(q, 0.1).tolist() == pytest.approx([0.275, 0.625, 0.1])
    assert guard.share(q, 0.1, 2, guarded=True).tolist() == pytest.approx([0.1, 0.1, 0.8])
    assert guard.share(q, 0.0, 2).tolist() == q.tolist()
