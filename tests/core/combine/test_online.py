"""The online combiner: the prior strategy first, then whom outcomes show to be right; delays, gaps, missing members."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quorate.core.combine.mean import Mean
from quorate.core.combine.online import Online, OnlineParams
from quorate.core.experts import layer
from quorate.core.experts.layer import Layer
from quorate.core.online import dissent
from quorate.core.types import OutputSpec, State, Status
from quorate.errors import ConfigError

K = 3
SPEC = OutputSpec("scores", ("a", "b", "c"))
NUMBER = OutputSpec("values", names=("y",))


def pool(seed: int, n: int, accuracies: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Hard labels as scores ``[n, m, k]`` of members with ``accuracies`` ``[n, m]``, errors independent; and truths."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    m = accuracies.shape[1]
    wrong = (truth[:, None] + rng.integers(1, K, (n, m))) % K
    said = np.where(rng.random((n, m)) < accuracies, truth[:, None], wrong)
    return np.eye(K, dtype=np.float32)[said], truth.astype(float)


def ok(outputs: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.zeros(outputs.shape[:2], np.int8)


def progressive(outputs: NDArray[np.float32], truths: NDArray[np.float64]) -> tuple[NDArray[np.bool_], State]:
    combiner, state = Online(), None
    right = np.zeros(len(truths), bool)
    for i in range(len(truths)):
        row = outputs[i : i + 1]
        right[i] = combiner.combine(row, ok(row), state).argmax() == truths[i]
        state = combiner.learn(state, row, ok(row), truths[i : i + 1], SPEC)
    assert state is not None
    return right, state


def same(one: State, other: State) -> bool:
    return one.meta == other.meta and all(
        np.allclose(array, other.arrays[name], rtol=1e-9, atol=1e-12) for name, array in one.arrays.items()
    )


def test_before_the_first_outcome_the_prior_strategy_answers() -> None:
    outputs = np.random.default_rng(0).dirichlet(np.ones(K), (20, 4)).astype(np.float32)
    assert np.array_equal(Online().combine(outputs, ok(outputs)), Mean().combine(outputs, ok(outputs)))
    weighted = Online(OnlineParams("weighted", (1.0, 0.0, 0.0, 0.0)))
    assert np.allclose(weighted.combine(outputs, ok(outputs)), outputs[:, 0])
    vote = Online(OnlineParams("vote")).combine(outputs, ok(outputs))
    votes = (outputs.argmax(axis=2)[:, :, None] == np.arange(K)).sum(axis=1)
    assert (votes[np.arange(20), vote.argmax(axis=1)] == votes.max(axis=1)).all()


def test_all_at_once_and_one_by_one_come_to_the_same() -> None:
    outputs, truths = pool(1, 60, np.full((60, 4), 0.7))
    status = np.random.default_rng(2).choice([0, 0, 0, 1, 2], (60, 4)).astype(np.int8)
    for given, spec, known in ((outputs, SPEC, truths), (outputs[:, :, :1] * 3, NUMBER, truths)):
        combiner, state = Online(), None
        for i in range(60):
            state = combiner.learn(state, given[i : i + 1], status[i : i + 1], known[i : i + 1], spec)
        once = combiner.learn(None, given, status, known, spec)
        assert state is not None
        assert once is not None
        assert same(state, once)
        assert once.arrays["rows"][0] == ((status == 0).any(axis=1)).sum()


def test_a_wrong_majority_is_unlearned() -> None:
    """Four of five members share one error; the mean follows them for ever."""
    rng = np.random.default_rng(3)
    truths = rng.integers(0, K, 300)
    together = np.where(rng.random(300) < 0.4, truths, (truths + 1) % K)
    said = np.column_stack([np.tile(together[:, None], 4), np.where(rng.random(300) < 0.9, truths, (truths + 1) % K)])
    outputs = np.eye(K, dtype=np.float32)[said]
    right, state = progressive(outputs, truths.astype(float))
    assert (Mean().combine(outputs, ok(outputs)).argmax(axis=1) == truths).mean() < 0.5
    assert right[100:].mean() > 0.85
    told = Online().told(("m1", "m2", "m3", "m4", "good"), state)
    assert told.rows == 300
    assert sum(told.trust.values()) == pytest.approx(1)
    assert max(told.trust[f"m{i}"] for i in range(1, 5)) < 0.05


@pytest.mark.parametrize("seed", range(12))
def test_never_below_the_best_member_by_more_than_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, truths = pool(seed, 250, np.tile(rng.uniform(0.3, 0.95, 4), (250, 1)))
    right, state = progressive(outputs, truths)
    least = (outputs.argmax(axis=2) != truths[:, None]).sum(axis=0).min()
    now = Layer.of(state.arrays)
    assert (~right).sum() - least <= layer.bound(now, float(least))
    assert now.losses[:4] == pytest.approx((outputs.argmax(axis=2) != truths[:, None]).sum(axis=0))


def test_it_follows_a_best_member_that_changes() -> None:
    n, m = 1200, 3
    accuracies = np.full((n, m), 0.4)
    best = np.arange(n) // 400
    accuracies[np.arange(n), best] = 0.92
    outputs, truths = pool(4, n, accuracies)
    right, _ = progressive(outputs, truths)
    clairvoyant = (outputs[np.arange(n), best].argmax(axis=1) == truths).mean()
    assert right.mean() >= 0.95 * clairvoyant


def test_outcomes_may_come_late_in_any_order_or_never() -> None:
    outputs, truths = pool(5, 400, np.tile([0.9, 0.4, 0.4], (400, 1)))
    order = np.random.default_rng(0).permutation(400)[:150]
    state = Online().learn(None, outputs[order], ok(outputs[order]), truths[order], SPEC)
    assert state is not None
    assert state.arrays["rows"][0] == 150
    assert state.arrays["counts"][0].sum() == 3 * 150
    answers = Online().combine(outputs, ok(outputs), state).argmax(axis=1)
    assert (answers == truths).mean() > 0.85


def test_decisions_without_an_outcome_change_nothing_but_who_is_apart() -> None:
    outputs, truths = pool(12, 50, np.full((50, 4), 0.7))
    combiner, at = Online(), np.arange(50.0)
    assert combiner.watch(None, outputs, ok(outputs), SPEC, at) is None  # the prior strategy still answers
    state = combiner.learn(None, outputs, ok(outputs), truths, SPEC)
    assert state is not None
    seen = combiner.watch(state, outputs, ok(outputs), SPEC, at + 100)
    assert seen is not None
    changed = {name for name, array in state.arrays.items() if not np.array_equal(array, seen.arrays[name])}
    assert "apart" in changed <= {"apart", "apart_since", "apart_who"}
    nobody = np.full((50, 4), int(Status.FAILED), np.int8)
    assert combiner.watch(state, outputs, nobody, SPEC, at) is state
    numbers = combiner.learn(None, outputs[:, :, :1], ok(outputs), truths, NUMBER)
    assert combiner.watch(numbers, outputs[:, :, :1], ok(outputs), NUMBER, at) is numbers


def test_a_state_of_the_version_before_goes_on() -> None:
    outputs, truths = pool(13, 120, np.tile([0.9, 0.5, 0.5], (120, 1)))
    state = Online().learn(None, outputs, ok(outputs), truths, SPEC)
    assert state is not None
    views = dissent.views()
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith(("apart", "cells"))}
    for name in ("expert_prior", "expert_losses", "expert_shares", "runs", "weights"):
        arrays[name] = np.delete(arrays[name], np.s_[-1 - views : -1], axis=-1)
        if name != "expert_losses":
            arrays[name] = arrays[name] / arrays[name].sum(axis=-1, keepdims=True)
    old = State(state.kind, 1, state.meta, arrays)
    answers = Online().combine(outputs, ok(outputs), old)
    assert (answers.argmax(axis=1) == truths).mean() > 0.85
    told = Online().told(("a", "b", "c"), old)
    assert (told.rows, len(told.trust)) == (120, len(state.arrays["weights"]))
    assert told.certificate <= layer.certificate(Layer.of(state.arrays)) + 1e-9
    assert sum(told.trust.values()) == pytest.approx(1)
    after = Online().learn(old, outputs, ok(outputs), truths, SPEC)
    assert after is not None
    assert after.version == state.version
    assert {name: array.shape for name, array in after.arrays.items()} == {
        name: array.shape for name, array in state.arrays.items()
    }
    assert after.arrays["rows"][0] == 240
    assert Online().watch(old, outputs, ok(outputs), SPEC, np.arange(120.0)) is not None


def test_a_member_that_is_missing_is_as_if_it_were_not_there() -> None:
    outputs, truths = pool(6, 200, np.tile([0.9, 0.5, 0.5, 0.5], (200, 1)))
    status = ok(outputs)
    status[:, 0] = Status.FAILED
    without = outputs.copy()
    without[:, 0] = np.nan
    state = Online().learn(None, without, status, truths, SPEC)
    assert state is not None
    assert state.arrays["seen"][0].tolist() == [0, 200, 200, 200]
    found = Online().combine(without, status, state)
    assert np.isfinite(found).all()
    alone = Online().learn(None, without[:, 1:], status[:, 1:], truths, SPEC)
    assert alone is not None
    others = Online().combine(without[:, 1:], status[:, 1:], alone)
    assert (found.argmax(axis=1) == others.argmax(axis=1)).mean() > 0.97


def test_scores_come_out_as_probabilities_that_mean_what_they_say() -> None:
    """Over-confident members: their mean says 0.97 where 0.8 are right."""
    rng = np.random.default_rng(7)
    truths = rng.integers(0, K, 800)
    said = np.where(rng.random(800) < 0.8, truths, (truths + 1) % K)
    outputs = np.repeat((0.955 * np.eye(K)[said] + 0.015)[:, None], 3, axis=1).astype(np.float32)
    combiner, state, confident = Online(), None, []
    for i in range(800):
        row = outputs[i : i + 1]
        confident.append(float(combiner.combine(row, ok(row), state).max()))
        state = combiner.learn(state, row, ok(row), truths[i : i + 1].astype(float), SPEC)
    assert Mean().combine(outputs, ok(outputs)).max() > 0.96
    assert np.mean(confident[200:]) == pytest.approx(0.8, abs=0.05)


def test_numbers_are_combined_by_bias_and_variance() -> None:
    rng = np.random.default_rng(8)
    truths = rng.normal(0, 5, 300)
    said = truths[:, None] + rng.normal([0.0, 2.0, 0.0], [1.0, 0.5, 3.0], (300, 3))
    outputs = said[:, :, None].astype(np.float32)
    combiner, state = Online(), None
    answers = np.empty(300)
    for i in range(300):
        row = outputs[i : i + 1]
        answers[i] = combiner.combine(row, ok(row), state)[0, 0]
        state = combiner.learn(state, row, ok(row), truths[i : i + 1], NUMBER)
    error = ((answers - truths) ** 2)[50:].mean()
    assert error < 0.4 < ((said - truths[:, None]) ** 2)[50:].mean(axis=0).min()
    assert state is not None
    now = Layer.of(state.arrays)
    total = ((answers - truths) ** 2).sum() - ((said - truths[:, None]) ** 2).sum(axis=0).min()
    assert total <= layer.certificate(now)


def test_nothing_known_teaches_nothing() -> None:
    outputs, _ = pool(9, 3, np.full((3, 2), 0.5))
    missing = np.full((3, 2), int(Status.FAILED), np.int8)
    assert Online().learn(None, outputs, missing, np.zeros(3), SPEC) is None
    assert Online().learn(None, outputs, ok(outputs), np.full(3, np.nan), SPEC) is None
    assert Online().told(("a", "b"), None).trust == {}


@pytest.mark.parametrize(
    ("params", "spec", "path"),
    [
        (OnlineParams("median"), SPEC, "prior"),  # type: ignore[arg-type]
        (OnlineParams("vote"), NUMBER, "prior"),
        (OnlineParams("mean"), OutputSpec("values", names=("x", "y")), "kind"),
        (OnlineParams("weighted"), SPEC, "weights"),
        (OnlineParams("mean", (1.0, 1.0)), SPEC, "weights"),
        (OnlineParams("weighted", (1.0,)), SPEC, "weights"),
    ],
)
def test_settings_that_do_not_fit_are_refused(params: OnlineParams, spec: OutputSpec, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Online(params).check(("m1", "m2"), spec, None)
    assert refused.value.path == path
