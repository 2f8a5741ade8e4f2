"""Bootstrap samples: with replacement, seeded, no class lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from quorate.errors import InvalidInput
from quorate.training.bagging import Bootstrap, draw
from quorate.training.estimator import Estimator
from quorate.training.trainer import Rows

X, Y = load_iris(return_X_y=True)
ROWS = Rows({"input": X.astype(np.float32)}, Y.astype(np.int64), ("0", "1", "2"))


def test_a_sample_has_as_many_rows_of_each_class_with_replacement() -> None:
    truth = np.repeat([2, 0, 1], [500, 300, 1])
    drawn = draw(truth, np.random.default_rng(1))
    assert np.bincount(truth[drawn]).tolist() == [300, 1, 500]
    # Of n rows, 1 - 1/e = 63 % occur, give or take 1.5 points at this size.
    assert len(set(drawn.tolist())) / len(truth) == pytest.approx(1 - np.exp(-1), abs=0.05)


def test_every_row_is_drawn_equally_often() -> None:
    truth = np.repeat([0, 1], [5, 15])
    rng = np.random.default_rng(2)
    counts = np.bincount(np.concatenate([draw(truth, rng) for _ in range(4000)]), minlength=20)
    assert counts == pytest.approx(np.full(20, 4000), rel=0.08)  # five standard deviations of a binomial


def test_members_differ_by_seed_and_only_by_seed() -> None:
    tree = Estimator("tree", DecisionTreeClassifier(random_state=0))

    def answers(seed: int) -> list[list[float]]:
        (fitted,) = Bootstrap(tree, seed).fit(ROWS)
        return fitted.answers({"input": X[::3].astype(np.float32) + 0.15}).tolist()

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    assert Bootstrap(tree, 1).names == ("tree",)


def test_weights_are_not_ignored() -> None:
    weighted = replace(ROWS, weights=np.full(len(ROWS), 1 / len(ROWS)))
    with pytest.raises(InvalidInput, match="cannot be boosted"):
        Bootstrap(Estimator("tree", DecisionTreeClassifier()), 1).fit(weighted)
