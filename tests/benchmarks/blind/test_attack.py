"""The attack finds what is planted, finds nothing where there is nothing, and says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.blind import attack
from benchmarks.blind.features import Sight

ARMS = np.array(["a", "b", "c"])


def _sight(n: int, seed: int, **columns: np.ndarray) -> Sight:
    rng = np.random.default_rng(seed)
    noise = {f"noise {i}": rng.normal(size=n) for i in range(3)}
    connections = np.repeat([1.0, 8.0], [n // 2, n - n // 2])
    return Sight(
        {"connections": connections, "constant": np.ones(n), **noise, **columns},
        rng.choice(["0", "1"], n),
        np.zeros(n, int),
        rng.integers(0, 4, n),
        np.full(n, -1),
        tuple(map(str, range(n))),
    )


@pytest.fixture(scope="module")
def arms() -> np.ndarray:
    return np.random.default_rng(1).choice(ARMS, 800)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack, "PERMUTATIONS", 1000)


def test_a_planted_leak_is_found_by_every_classifier_and_by_name(arms: np.ndarray) -> None:
    leak = np.random.default_rng(2).normal(size=len(arms)) + 2.0 * (arms == "c") - 2.0 * (arms == "a")
    sight = _sight(len(arms), 3, leak=leak)
    for name, found in attack.attack(sight.matrix, arms, *attack.by_time(sight), 5).items():
        assert found.accuracy.low > 0.5, name
        assert found.p == pytest.approx(1 / (1 + attack.PERMUTATIONS))
    first = next(iter(attack.leaks(sight.columns, arms).items()))
    assert first[0] == "leak"
    assert first[1] < 1e-9


def test_without_a_leak_nothing_is_found(arms: np.ndarray) -> None:
    sight = _sight(len(arms), 3)
    (found,) = attack.attack(sight.matrix, arms, *attack.by_time(sight), 5, only=attack.LOGISTIC).values()
    assert found.accuracy.low <= found.chance
    assert found.p > 0.01
    assert min(attack.leaks(sight.columns, arms).values()) > 0.01
    assert "constant" not in attack.leaks(sight.columns, arms)


def test_a_leak_in_the_spread_alone_is_found(arms: np.ndarray) -> None:
    spread = np.random.default_rng(4).normal(size=len(arms)) * np.where(arms == "b", 3, 1)
    assert attack.dependence(spread, arms) < 1e-9


def test_training_and_test_rows_never_meet(arms: np.ndarray) -> None:
    sight = _sight(len(arms), 3)
    for train, test in (attack.by_time(sight), attack.by_group(sight.picture, 1)):
        assert sorted([*train, *test]) == list(range(len(arms)))
    train, test = attack.by_time(sight)
    for connections in (1.0, 8.0):
        inside = sight.columns["connections"] == connections
        assert max(train[inside[train]]) < min(test[inside[test]])
    train, test = attack.by_group(sight.picture, 1)
    assert not set(sight.picture[train]) & set(sight.picture[test])


def test_users_count_once() -> None:
    users = np.repeat(np.arange(100), 4)
    arms = ARMS[np.random.default_rng(1).integers(0, 3, 100)][users]
    found = attack.judged(arms, arms, 1, groups=users)
    assert (len(found.right), found.accuracy.estimate) == (100, 1.0)
    assert attack.judged(np.full(400, "a"), arms, 1, groups=users).p == 1.0


def test_chance_is_the_most_frequent_arm() -> None:
    arms = np.array(["a"] * 60 + ["b"] * 40)
    found = attack.judged(np.full(100, "a"), arms, 1)
    assert found.accuracy.estimate == found.chance == 0.6
    assert found.p == 1.0


def test_labels_tell_what_bayes_makes_of_them() -> None:
    """Picture 0: all arms say 7. Picture 1: arm a says 1, the others 7."""
    arms = np.tile(np.repeat(ARMS, 2), 100)
    picture = np.tile([0, 1], 300)
    label = np.where((picture == 1) & (arms == "a"), "1", "7")
    connections = {"connections": np.ones(600)}
    sight = Sight(connections, label, np.zeros(600, int), picture, np.full(600, -1), ("",) * 600)
    posteriors = attack.label_posteriors(sight, arms, np.arange(300))
    assert posteriors[0] == pytest.approx([1 / 3] * 3)
    assert posteriors[1] == pytest.approx([1, 0, 0])
    assert posteriors[3] == pytest.approx([0, 1 / 2, 1 / 2])
    label_of = dict(zip(zip(picture.tolist(), arms.tolist(), strict=True), label, strict=True))
    assert attack.ceiling(label_of, picture, arms) == pytest.approx((1 / 3 + 2 / 3) / 2)
    alone, both = attack.with_labels(sight, arms, np.zeros(600, bool), 1)
    assert alone.accuracy.estimate == pytest.approx(1 / 2)
    assert both.accuracy.estimate <= 1 / 2 + 1e-9
    assert both.excess.low <= 0


def test_what_is_beyond_the_label_is_found_and_the_label_itself_is_not(arms: np.ndarray) -> None:
    alike = np.random.default_rng(8).integers(0, 6, len(arms))
    by_group = np.array(["a", "b", "c", "a", "b", "c"])[alike]
    nothing = attack.beyond(by_group, arms, alike, 1)
    assert nothing.excess.estimate == pytest.approx(0)  # the group says all that this guess knows
    assert nothing.p == 1.0
    half = np.where(np.arange(len(arms)) % 2 == 0, arms, by_group)
    found = attack.beyond(half, arms, alike, 1)
    assert found.excess.low > 0.2
    assert found.p < 0.01


def test_a_label_of_an_unknown_picture_tells_the_shares() -> None:
    sight = Sight({}, np.array(["1", "1"]), np.zeros(2, int), np.array([0, 9]), np.full(2, -1), ("", ""))
    posteriors = attack.label_posteriors(sight, np.array(["a", "b"]), np.array([0]))
    assert posteriors[1].tolist() == [1.0, 0.0]


def test_latencies_are_compared_within_their_form(arms: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    forms = rng.integers(0, 2, len(arms))
    milliseconds = rng.normal(2, 0.02, len(arms)) + 5 * forms
    slower = milliseconds + 0.05 * (arms == "c")
    gap = attack.latency_gap(slower, forms, arms, ("c", "a"), 1)
    assert gap.low < 50 < gap.high
    assert gap.high - gap.low < 10
    fair = attack.latency_gap(milliseconds, forms, arms, ("c", "a"), 1)
    assert fair.low < 0 < fair.high
    assert 1 < attack.least_delay(milliseconds, forms, arms) < 50
