"""Counts after outcomes, and what follows from them, against closed forms."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quorate.core.online import confusion, dissent, exponents, scores, teaching


def after(k: int, rows: list[tuple[tuple[int, ...], int]], ok: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """What is known after members said labels and truths came, each by itself."""
    arrays = scores.start(len(rows[0][0]), k)
    for i, (said, truth) in enumerate(rows):
        outputs = np.eye(k)[None, list(said)]
        present = np.ones((1, len(said)), bool) if ok is None else ok[i : i + 1]
        teaching.learn(arrays, outputs, present, np.full((1, k), 1.0 / k), np.array([truth]), None)
    return arrays


def test_counts_after_outcomes() -> None:
    ok = np.array([[True, True]] * 3 + [[True, False]])
    arrays = after(3, [((0, 1), 0), ((0, 0), 0), ((2, 1), 1), ((2, 0), 2)], ok)
    for i, rate in enumerate(confusion.RATES):
        assert arrays["counts"][i, 0] == pytest.approx(np.array([[rate**3 + rate**2, 0, 0], [0, 0, rate], [0, 0, 1.0]]))
        assert arrays["counts"][i, 1] == pytest.approx(np.array([[rate**2, rate**3, 0], [0, rate, 0], [0, 0, 0]]))
        assert arrays["right"][i] == pytest.approx([rate**3 + rate**2 + 1, rate**2 + rate])
        assert arrays["seen"][i] == pytest.approx([rate**3 + rate**2 + rate + 1, rate**3 + rate**2 + rate])
        assert arrays["classes"][i] == pytest.approx([rate**3 + rate**2, rate, 1])


def test_the_evidence_is_of_dirichlet_counts_around_one_accuracy() -> None:
    arrays = after(3, [((0,), 0)] * 6 + [((1,), 0)] * 2 + [((2,), 2)] * 2)
    found = np.exp(confusion.evidence(arrays, np.array([[1]]))[0, 0, 0])
    a = (8 + 8) / (10 + 10)
    wrong = (1 - a) / 2
    for i, s in enumerate(confusion.STRENGTHS):
        assert found[i] == pytest.approx([(2 + s * wrong) / (8 + s), a, (s * wrong) / (2 + s)])
    assert found[-1] == pytest.approx([wrong, a, wrong])
    every = np.exp([confusion.evidence(arrays, np.array([[x]]))[0, 0, 0] for x in range(3)])
    assert every.sum(axis=0) == pytest.approx(1)


def test_tables_are_the_evidence_of_everything_that_can_be_said() -> None:
    rng = np.random.default_rng(1)
    rows = [(tuple(rng.integers(0, 5, 4).tolist()), int(rng.integers(5))) for _ in range(30)]
    ok = rng.random((30, 4)) < 0.8
    ok[:, 0] = True
    arrays, labels = after(5, rows, ok), rng.integers(0, 5, (7, 4))
    found = confusion.evidence(arrays, labels).transpose(0, 1, 4, 2, 3)
    assert np.array_equal(confusion.tables(arrays)[np.arange(4), labels], found)


def test_without_tempering_independent_members_are_combined_as_bayes_says() -> None:
    arrays = confusion.start(3, 2)
    labels = np.array([[0, 0, 1]])
    found = confusion.evidence(arrays, labels).sum(axis=1).transpose(0, 3, 1, 2)
    grid = confusion.grid(confusion.priors(arrays["classes"]), found, np.zeros((1, 3, 2)))
    # Source "accuracies alone", t = 1, b = 1: odds of two against one, each right 8 times in 10.
    at = (confusion.sources(2) - 2) * len(confusion.TEMPERS) * len(confusion.SHARPNESS)
    assert grid[0, 0, 0, at] == pytest.approx(0.8 * 0.8 * 0.2 / (0.8 * 0.8 * 0.2 + 0.2 * 0.2 * 0.8))
    half = 2.0**2 / (2.0**2 + 1)  # t = 1/2: the square root of odds of 4, four times
    assert grid[0, 0, 0, at + len(confusion.SHARPNESS)] == pytest.approx(2.0 / (2.0 + 1))
    assert half == 0.8


def test_above_many_classes_only_accuracies_are_counted() -> None:
    arrays = after(confusion.FULL + 1, [((3, 4), 3)])
    assert arrays["counts"].size == 0
    assert confusion.evidence(arrays, np.array([[3, 4]])).shape == (1, 2, len(confusion.RATES), 1, confusion.FULL + 1)


def test_a_member_that_copies_another_gets_its_share_and_no_more() -> None:
    """Members 0 to 3 are one; 4 is as good and on its own: in the end it counts as much as they do together."""
    rng = np.random.default_rng(0)
    truths = rng.integers(0, 2, 1500)
    one, other = (np.where(rng.random(1500) < 0.8, truths, 1 - truths) for _ in range(2))
    labels = np.column_stack([one, one, one, one, other])
    arrays, even = scores.start(5, 2), np.full((1500, 2), 0.5)
    outputs = 0.5 + 0.0 * np.eye(2)[labels]  # the labels speak, the scores do not
    outputs[np.arange(1500)[:, None], np.arange(5), labels] += 1e-12
    teaching.learn(arrays, outputs, np.ones((1500, 5), bool), even, truths, None)
    learned = arrays["exponents"][0, 1:6]
    assert learned[:4].sum() == pytest.approx(1, abs=0.25)
    assert learned[4] == pytest.approx(1, abs=0.25)


def test_the_exponents_take_one_newton_step() -> None:
    arrays = exponents.start(1)
    made = np.tile(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), (1, len(exponents.KEEPS), 1, 1))
    predicted = exponents.learn(arrays, made, np.array([0]))
    q = 1 / (1 + np.exp(-1))
    assert predicted[0] == pytest.approx(np.tile([q, 1 - q], (len(exponents.KEEPS), 1)))
    precision = 1 / exponents.SPREAD**2 + q * (1 - q)
    assert arrays["precision"][:, 1, 1] == pytest.approx(precision)
    assert arrays["exponents"][:, 1] == pytest.approx(1.0 + (1 - q) / precision)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_what_is_predicted_in_a_block_is_what_is_answered_before_each_outcome(missing: float) -> None:
    """The two ways to an answer, by tables and by what was known before each row of a block, agree."""
    rng = np.random.default_rng(3)
    n, m, k = 90, 4, 3
    outputs = rng.dirichlet(np.ones(k), (n, m))
    ok = rng.random((n, m)) >= missing
    ok[:, 0] = True
    prior, truths, at = rng.dirichlet(np.ones(k), n), rng.integers(0, k, n), np.arange(n, dtype=float)
    arrays, trusts = scores.start(m, k), []
    for i in range(n):
        row = slice(i, i + 1)
        told = scores.said(arrays, scores.Tables.of(arrays), outputs[row], ok[row], prior[row])
        trusts.append(confusion.MEMORY * arrays["trust"] + np.log(np.maximum(told.parts[0, :, truths[i]], 1e-9)))
        labels, _ = teaching.said(outputs[row], ok[row])
        dissent.watch(arrays, labels, ok[row], at[row])
        teaching.learn(arrays, outputs[row], ok[row], prior[row], truths[row], at[row])
        assert arrays["trust"] == pytest.approx(trusts[-1], rel=1e-9)
    once = scores.start(m, k)
    labels, _ = teaching.said(outputs, ok)
    dissent.watch(once, labels, ok, at)
    teaching.learn(once, outputs, ok, prior, truths, at)
    assert once["trust"] == pytest.approx(trusts[-1], rel=1e-9)
