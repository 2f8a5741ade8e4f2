import numpy as np
import pytest

from quorate.core.cascade.evidence import seen
from quorate.core.cascade.posterior import posterior
from quorate.training.softmax import log_loss
from quorate.training.subsets import fit_subsets, parts_of, subsets_of
from tests.training.cascades import pool


def test_all_sets_of_few_members_the_largest_first() -> None:
    found = subsets_of(3, np.eye(3, dtype=bool), 6)
    assert len(found) == 7
    assert len(np.unique(found, axis=0)) == 7
    assert found[0].all()
    assert (np.diff(found.sum(axis=1)) <= 0).all()


def test_of_many_members_those_alone_and_unions_of_groups() -> None:
    units = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
    found = {tuple(row) for row in subsets_of(4, units, 3).astype(int).tolist()}
    assert (1, 0, 0, 0) in found
    assert (1, 1, 0, 1) in found
    assert (1, 0, 1, 0) not in found
    assert len(found) == 7 + 2


def test_folds_are_of_all_rows_once_with_all_classes_in_each() -> None:
    y = np.repeat([0, 1, 2], [50, 30, 7])
    parts = parts_of(y, 5, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(87))
    for part in parts:
        assert np.bincount(y[part], minlength=3) == pytest.approx([10, 6, 1.4], abs=1)


def test_what_is_said_of_rows_not_fitted_on_is_honest() -> None:
    outputs, y = pool(900, 1)
    outputs[:, 2] = 1 / 3
    outputs[np.arange(900), 2, y] = 0.34  # one that would be right always, had labels not been drawn at random
    y = np.random.default_rng(0).permutation(y)
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    parts = parts_of(y, 5, 0)
    fitted = fit_subsets(given, y, subsets_of(3, np.eye(3, dtype=bool), 6), parts)
    chance = log_loss(np.tile(np.bincount(y) / 900, (900, 1)), y)
    for number, p in enumerate(fitted.held):
        assert np.allclose(p.sum(axis=1), 1.0)
        assert (p.argmax(axis=1) == y).mean() < 0.4, number
        assert log_loss(p, y) < chance + 0.03, "hardly worse than knowing nothing"


def test_the_answer_of_a_set_is_what_its_members_allow_and_beats_them() -> None:
    (outputs, y), (test, truth) = pool(1500, 1), pool(4000, 2)
    sets = subsets_of(3, np.eye(3, dtype=bool), 6)
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    fitted = fit_subsets(given, y, sets, parts_of(y, 5, 0))
    unknown = seen(test, np.ones(test.shape[:2], bool))
    for number, members in enumerate(sets):
        p = posterior(unknown.of(members), number, fitted.arrays)
        alone = [(test[:, j].argmax(axis=1) == truth).mean() for j in np.flatnonzero(members)]
        assert (p.argmax(axis=1) == truth).mean() > max(alone) - 0.01
        raw = min(log_loss(np.maximum(test[:, j], 1e-6).astype(float), truth) for j in np.flatnonzero(members))
        assert log_loss(p, truth) < raw + 0.01
        # cross-fitting tells what rows never seen will say
        assert log_loss(fitted.held[number], y) == pytest.approx(log_loss(p, truth), abs=0.05)


def test_many_classes_are_pooled_without_corrections() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(60, size=300)
    logits = np.eye(60)[y][:, None] * 3 + rng.normal(size=(300, 2, 60))
    scores = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    given = seen(scores.astype(np.float32), np.ones((300, 2), bool))
    fitted = fit_subsets(given, y, subsets_of(2, np.eye(2, dtype=bool), 6), parts_of(y, 5, 0))
    assert fitted.arrays["corrections"].shape == (3, 0, 60)
    assert (fitted.held[0].argmax(axis=1) == y).mean() > 0.6
