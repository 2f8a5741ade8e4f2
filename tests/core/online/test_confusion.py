"""Counts after outcomes, and what follows from them, against closed forms."""

import numpy as np
import pytest

from quorate.core.online import confusion, exponents


def test_counts_after_outcomes() -> None:
    arrays = confusion.start(2, 3)
    ok = np.ones(2, bool)
    for said, truth in [((0, 1), 0), ((0, 0), 0), ((2, 1), 1)]:
        confusion.count(arrays, np.array(said), ok, truth)
    confusion.count(arrays, np.array([2, 0]), np.array([True, False]), 2)
    for i, rate in enumerate(confusion.RATES):
        assert arrays["counts"][i, 0] == pytest.approx(np.array([[rate**3 + rate**2, 0, 0], [0, 0, rate], [0, 0, 1.0]]))
        assert arrays["counts"][i, 1] == pytest.approx(np.array([[rate**2, rate**3, 0], [0, rate, 0], [0, 0, 0]]))
        assert arrays["right"][i] == pytest.approx([rate**3 + rate**2 + 1, rate**2 + rate])
        assert arrays["seen"][i] == pytest.approx([rate**3 + rate**2 + rate + 1, rate**3 + rate**2 + rate])
        assert arrays["classes"][i] == pytest.approx([rate**3 + rate**2, rate, 1])


def test_the_evidence_is_of_dirichlet_counts_around_one_accuracy() -> None:
    arrays = confusion.start(1, 3)
    for said, truth in [(0, 0)] * 6 + [(1, 0)] * 2 + [(2, 2)] * 2:
        confusion.count(arrays, np.array([said]), np.ones(1, bool), truth)
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
    arrays = confusion.start(4, 5)
    for _ in range(30):
        confusion.count(arrays, rng.integers(0, 5, 4), rng.random(4) < 0.8, int(rng.integers(5)))
    labels = rng.integers(0, 5, (7, 4))
    assert np.array_equal(confusion.tables(arrays)[labels, np.arange(4)], confusion.evidence(arrays, labels))


def test_without_tempering_independent_members_are_combined_as_bayes_says() -> None:
    arrays = confusion.start(3, 2)
    labels = np.array([[0, 0, 1]])
    found = confusion.evidence(arrays, labels)
    grid = confusion.grid(confusion.priors(arrays), found, np.zeros((1, 3, 2)))
    # Source "accuracies alone", t = 1, b = 1: odds of two against one, each right 8 times in 10.
    at = (confusion.sources(2) - 2) * len(confusion.TEMPERS) * len(confusion.SHARPNESS)
    assert grid[0, 0, 0, at] == pytest.approx(0.8 * 0.8 * 0.2 / (0.8 * 0.8 * 0.2 + 0.2 * 0.2 * 0.8))
    half = 2.0**2 / (2.0**2 + 1)  # t = 1/2: the square root of odds of 4, four times
    assert grid[0, 0, 0, at + len(confusion.SHARPNESS)] == pytest.approx(2.0 / (2.0 + 1))
    assert half == 0.8


def test_above_many_classes_only_accuracies_are_counted() -> None:
    arrays = confusion.start(2, confusion.FULL + 1)
    confusion.count(arrays, np.array([3, 4]), np.ones(2, bool), 3)
    assert arrays["counts"].size == 0
    assert confusion.evidence(arrays, np.array([[3, 4]])).shape == (1, 2, len(confusion.RATES), 1, confusion.FULL + 1)


def test_a_member_that_copies_another_gets_its_share_and_no_more() -> None:
    """Members 0 to 3 are one; 4 is as good and on its own: in the end it counts as much as they do together."""
    rng = np.random.default_rng(0)
    arrays = confusion.start(5, 2) | exponents.start(5)
    scores = np.zeros((1, 5, 2))
    for _ in range(1500):
        truth = int(rng.integers(2))
        one, other = (truth if rng.random() < 0.8 else 1 - truth for _ in range(2))
        labels = np.array([[one, one, one, one, other]])
        made = exponents.features(confusion.priors(arrays), confusion.evidence(arrays, labels), scores)
        exponents.learn(arrays, made[0], exponents.pooled(arrays, made)[0], truth)
        confusion.count(arrays, labels[0], np.ones(5, bool), truth)
    learned = arrays["exponents"][0, 1:6]
    assert learned[:4].sum() == pytest.approx(1, abs=0.25)
    assert learned[4] == pytest.approx(1, abs=0.25)


def test_the_exponents_take_one_newton_step() -> None:
    arrays = exponents.start(1)
    made = np.tile(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), (len(exponents.KEEPS), 1, 1))
    predicted = np.tile([0.5, 0.5], (len(exponents.KEEPS), 1))
    exponents.learn(arrays, made, predicted, 0)
    precision = 1 / exponents.SPREAD**2 + 0.25
    assert arrays["precision"][:, 1, 1] == pytest.approx(precision)
    assert arrays["exponents"][:, 1] == pytest.approx(1.0 + 0.5 / precision)
