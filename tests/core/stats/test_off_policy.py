"""IPS, SNIPS, DR and SWITCH-DR: closed forms, unbiasedness over every sequence of actions, coverage, overlap."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from quorate.core.stats.influence import interval
from quorate.core.stats.off_policy import METHODS, NoOverlap, OffPolicy

Array = NDArray[np.float64]
LOGGED = np.array([[0.5, 0.5], [0.25, 0.75], [0.8, 0.2]])
TARGET = np.array([[0.1, 0.9], [0.6, 0.4], [0.0, 1.0]])
Q_HAT = np.array([[0.2, 0.7], [0.5, 0.1], [0.3, 0.3]])


def added(actions: list[int], rewards: list[float], **more: object) -> OffPolicy:
    found = OffPolicy(2, groups=len(actions), folds=3, **{k: v for k, v in more.items() if k == "switch"})  # type: ignore[arg-type]
    given = {k: v for k, v in more.items() if k != "switch"}
    found.add(TARGET, LOGGED, np.array(actions), np.array(rewards), **given)  # type: ignore[arg-type]
    return found


def test_closed_forms() -> None:
    """By hand: w = 0.9/0.5, 0.6/0.25, 1/0.2 and rewards 1, 0.5, 2."""
    w, r = np.array([1.8, 2.4, 5.0]), np.array([1.0, 0.5, 2.0])
    found = added([1, 0, 1], r.tolist(), q_hat=Q_HAT)
    assert found.estimate("ips").value == pytest.approx((1.8 + 1.2 + 10.0) / 3)
    assert found.estimate("snips").value == pytest.approx(13.0 / 9.2)
    expected = [0.1 * 0.2 + 0.9 * 0.7, 0.6 * 0.5 + 0.4 * 0.1, 0.3]
    dr = sum(e + each for e, each in zip(expected, w * (r - [0.7, 0.5, 0.3]), strict=True)) / 3
    assert found.estimate("dr").value == pytest.approx(dr)
    assert found.live().value == pytest.approx(3.5 / 3)
    assert found.difference("ips").value == pytest.approx((13.0 - 3.5) / 3)
    errors = (w * r - 13 / 3) / 3
    assert found.estimate("ips").standard_error == pytest.approx(math.sqrt(1.5 * (errors**2).sum()))
    overlap = found.overlap()
    assert overlap.effective == pytest.approx(9.2**2 / (1.8**2 + 2.4**2 + 5.0**2))
    assert (overlap.decisions, overlap.largest_weight, overlap.smallest_propensity) == (3, 5.0, 0.2)
    assert overlap.mean_weight == pytest.approx(9.2 / 3)
    assert overlap.largest_share == pytest.approx(5 / 9.2)
    assert overlap.few


def test_switch_leaves_heavy_decisions_to_the_model() -> None:
    r = np.array([1.0, 0.5, 2.0])
    found = added([1, 0, 1], r.tolist(), q_hat=Q_HAT, switch=3.0)
    expected = [0.1 * 0.2 + 0.9 * 0.7, 0.6 * 0.5 + 0.4 * 0.1, 0.3]
    kept = sum(expected) + 1.8 * (1.0 - 0.7) + 2.4 * (0.5 - 0.5)
    assert found.estimate("switch-dr").value == pytest.approx(kept / 3)
    whole = added([1, 0, 1], r.tolist(), q_hat=Q_HAT)
    assert whole.estimate("switch-dr") == whole.estimate("dr")


def test_own_model_is_the_mean_of_the_other_folds() -> None:
    """Groups 0, 1 and 2 are in a fold each: q for one is the mean reward of its strategy in the two others."""
    found = OffPolicy(2, groups=4, folds=3)
    logged, target = np.full((4, 2), 0.5), np.tile([0.25, 0.75], (4, 1))
    actions, rewards = [0, 0, 1, 1], [1.0, 3.0, 5.0, 8.0]
    found.add(target, logged, np.array(actions), np.array(rewards))  # folds 0, 1, 2, 0
    q = [[3.0, 5.0], [1.0, 6.5], [2.0, 8.0], [3.0, 5.0]]
    w = [0.5, 0.5, 1.5, 1.5]
    parts = [0.25 * a + 0.75 * b for a, b in q]
    corrections = [w[i] * (rewards[i] - q[i][actions[i]]) for i in range(4)]
    assert found.estimate("dr").value == pytest.approx((sum(parts) + sum(corrections)) / 4)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("method", ["ips", "dr"])
def test_unbiased_over_every_sequence_of_actions(method: str, *, given: bool) -> None:
    """The probability-weighted mean over all 2^3 x 2^3 sequences of actions and rewards is the target's value."""
    chance = np.array([[0.3, 0.6], [0.9, 0.2], [0.5, 0.4]])  # of a reward of 1
    truth = (TARGET * chance).sum() / 3
    mean = total = 0.0
    for actions in product((0, 1), repeat=3):
        for rewards in product((0.0, 1.0), repeat=3):
            p = math.prod(LOGGED[i, a] for i, a in enumerate(actions))
            p *= math.prod(chance[i, actions[i]] if r else 1 - chance[i, actions[i]] for i, r in enumerate(rewards))
            found = added(list(actions), list(rewards), **({"q_hat": Q_HAT} if given else {}))
            mean += p * found.estimate(method).value
            total += p
    assert total == pytest.approx(1.0)
    assert mean == pytest.approx(truth, abs=1e-12)


def test_rows_of_a_decision_count_as_one() -> None:
    """Two rows in one decision: the same estimate as two decisions, and a wider interval."""
    rng = np.random.default_rng(3)
    target, logged, actions = np.array([0.2, 0.8]), np.array([0.5, 0.5]), rng.integers(2, size=400)
    rewards = rng.random(400)
    apart, together = OffPolicy(2, groups=1000), OffPolicy(2, groups=1000)
    apart.add(target, logged, np.repeat(actions, 2), np.repeat(rewards, 2))
    together.add(target, logged, actions, 2 * rewards, rows=np.full(400, 2.0))
    for method in ("ips", "snips"):
        one, other = apart.estimate(method), together.estimate(method)
        assert one.value == pytest.approx(other.value)
        assert other.standard_error == pytest.approx(one.standard_error * math.sqrt(2), rel=0.01)


def test_pieces_and_few_groups_come_to_the_same() -> None:
    rng = np.random.default_rng(4)
    n = 20_000
    target, logged, actions, rewards = (
        rng.dirichlet([1, 1], n),
        np.full((n, 2), 0.5),
        rng.integers(2, size=n),
        rng.random(n),
    )
    whole, pieces, few = OffPolicy(2, groups=n), OffPolicy(2, groups=n), OffPolicy(2, groups=1024)
    whole.add(target, logged, actions, rewards)
    for start in range(0, n, 999):
        part = slice(start, start + 999)
        for sums in (pieces, few):
            sums.add(target[part], logged[part], actions[part], rewards[part])
    for method in METHODS:
        assert pieces.estimate(method).value == pytest.approx(whole.estimate(method).value, rel=1e-12)
        assert pieces.estimate(method).low == pytest.approx(whole.estimate(method).low, rel=1e-9)
        assert few.estimate(method).standard_error == pytest.approx(whole.estimate(method).standard_error, rel=0.08)
    assert few.overlap().effective == pytest.approx(whole.overlap().effective)


def test_sticky_units_are_the_sample() -> None:
    """A thousand decisions of fifty users say as much as fifty, not as a thousand."""
    rng = np.random.default_rng(5)
    users = rng.integers(50, size=1000)
    actions, taste = rng.integers(2, size=50)[users], rng.random(50)[users]
    sticky, alone = OffPolicy(2, groups=4096), OffPolicy(2, groups=4096)
    for sums, unit in ((sticky, users), (alone, None)):
        sums.add(np.array([0.0, 1.0]), np.array([0.5, 0.5]), actions, taste, unit=unit)
    assert sticky.estimate("snips").value == pytest.approx(alone.estimate("snips").value)
    assert sticky.estimate("snips").standard_error > 3 * alone.estimate("snips").standard_error
    assert sticky.overlap().effective < 50 < 400 < alone.overlap().effective
    assert sticky.overlap().few


def test_no_overlap_is_refused() -> None:
    found = OffPolicy(2, groups=8)
    logged = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    fine = found.add(np.array([0.5, 0.5]), logged, np.array([0, 1, 0]), np.ones(3))
    assert fine.tolist() == [False, True, False]
    assert (found.unsupported, found.overlap().decisions) == (2, 1)
    with pytest.raises(NoOverlap, match="2 of 3 decisions could not have been assigned"):
        found.check()
    found = OffPolicy(2)
    found.add(np.array([1.0, 0.0]), logged, np.array([0, 1, 0]), np.ones(3))  # asks for nothing that was impossible
    found.check()
    assert found.overlap().smallest_propensity == 0.5
    assert math.isnan(OffPolicy(2).estimate("ips").value)


def test_wrong_propensities_show_in_the_mean_weight() -> None:
    rng = np.random.default_rng(6)
    actions = (rng.random(4000) < 0.7).astype(int)
    found = OffPolicy(2)
    found.add(np.array([0.0, 1.0]), np.array([0.5, 0.5]), actions, np.ones(4000))
    overlap = found.overlap()
    assert overlap.mean_weight == pytest.approx(1.4, abs=0.05)
    assert overlap.mean_weight - 1 > 4 * overlap.mean_weight_error


def by_context(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    """Logged and target probabilities and the chance of a reward, of three strategies that depend on the context."""
    x = rng.normal(size=(n, 3))
    weights = np.array([[1.2, 0, -1], [0, 1, 0.5], [0.3, -0.8, 1.0]])
    logged = np.exp(x @ weights)
    target = np.exp(-1.5 * x @ weights[:, ::-1])
    logged = 0.9 * logged / logged.sum(axis=1, keepdims=True) + 0.1 / 3
    return logged, target / target.sum(axis=1, keepdims=True), 1 / (1 + np.exp(-0.8 * (x @ weights) - 0.3))


def always(logged: list[float], target: list[float], chance: list[float]) -> Callable[..., tuple[Array, ...]]:
    return lambda _, n: tuple(np.tile(each, (n, 1)) for each in (logged, target, chance))


@pytest.mark.parametrize(
    ("world", "n"),
    [
        (by_context, 1000),  # effective sample size about 260
        (always([0.05, 0.95], [1.0, 0.0], [0.9, 0.6]), 4200),  # about 210
    ],
)
def test_intervals_cover(world: Callable[..., tuple[Array, ...]], n: int) -> None:
    """In 1,000 simulated logs the 95 % intervals of value and difference cover in 93 to 97 %."""
    logged, target, chance = world(np.random.default_rng(0), 200_000)
    truth = (target * chance).sum(axis=1).mean()
    live = (logged * chance).sum(axis=1).mean()
    rng, runs = np.random.default_rng(1), 1000
    hits = dict.fromkeys([(m, what) for m in ("ips", "snips", "dr") for what in ("value", "difference")], 0)
    effective = []
    for _ in range(runs):
        logged, target, chance = world(rng, n)
        actions = (logged.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        found = OffPolicy(logged.shape[1], groups=n)
        found.add(target, logged, actions, (rng.random(n) < chance[np.arange(n), actions]).astype(float))
        effective.append(found.overlap().effective)
        for method, what in hits:
            e, t = (found.estimate(method), truth) if what == "value" else (found.difference(method), truth - live)
            hits[method, what] += e.low <= t <= e.high
    assert np.mean(effective) >= 200
    assert all(0.93 <= count / runs <= 0.97 for count in hits.values()), hits


def test_interval_of_symmetric_contributions_is_students() -> None:
    """Without skewness and with equal contributions it is the t interval, here with 9 degrees of freedom."""
    e = np.array([0.1, -0.1] * 5)
    found = interval(2.0, e)
    assert found.standard_error == pytest.approx(math.sqrt(0.1 * 10 / 9))
    assert found.high - 2.0 == pytest.approx(2.262157 * found.standard_error, rel=1e-3)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)
    skewed = interval(2.0, np.array([-0.1] * 9 + [0.9]))
    assert skewed.high - 2.0 > 2.0 - skewed.low  # rare large contributions: more room above
    assert math.isnan(interval(1.0, np.array([0.3])).low)
    assert interval(1.0, np.zeros(5)).low == 1.0
