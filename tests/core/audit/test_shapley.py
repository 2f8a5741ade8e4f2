"""Shapley values against closed forms, exact and drawn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from quorate.core.audit.game import Game, bits
from quorate.core.audit.shapley import exact, sampled, shapley
from quorate.core.combine.mean import Mean

from .conftest import scores


def additive(weights: list[float]):
    return lambda pool: np.array([sum(weights[j] for j in bits(pool))])


def test_an_additive_game_has_its_weights() -> None:
    weights = [0.5, -0.25, 0.0, 1.0, 0.125]
    assert exact(additive(weights), 5).contributions[0] == pytest.approx(weights, abs=1e-12)
    drawn = sampled(additive(weights), 5, np.random.default_rng(0), pairs=(3, 3))
    assert drawn.contributions[0] == pytest.approx(weights, abs=1e-12)
    assert drawn.error == pytest.approx(np.zeros(5), abs=1e-12)


def test_the_glove_game() -> None:
    """One left glove, two right ones: a pair is worth 1. The values are 2/3, 1/6, 1/6."""

    def pair(pool: int) -> np.ndarray:
        return np.array([float(pool & 1 and pool & 6 != 0)])

    assert exact(pair, 3).contributions[0] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_unanimity_and_a_dummy() -> None:
    """All of the first three are needed; the fourth changes nothing."""
    values = exact(lambda pool: np.array([float(pool & 7 == 7)]), 4).contributions[0]
    assert values == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


def test_all_orders_give_the_same_as_all_pools_and_rows_add_up() -> None:
    rows = scores(120, [1.2, 0.6, 0.0, 0.9], seed=3)
    game = Game(rows, Mean(), None, "accuracy")
    found = exact(game.worth, 4).contributions
    by_orders = np.zeros_like(found)
    for order in permutations(range(4)):
        pool = 0
        for j in order:
            by_orders[:, j] += (game.worth(pool | 1 << j) - game.worth(pool)) / 24
            pool |= 1 << j
    assert found == pytest.approx(by_orders, abs=1e-12)
    assert found.sum(axis=1) == pytest.approx(game.worth(game.whole) - game.worth(0), abs=1e-12)


def test_drawn_values_are_within_their_stated_error() -> None:
    rows = scores(150, [1.2, 0.6, 0.0, 0.9, 0.4, 0.4, 1.0], seed=4)
    game = Game(rows, Mean(), None, "accuracy")
    whole = exact(game.worth, 7).contributions.mean(axis=0)
    off = []
    for seed in range(60):
        drawn = sampled(game.worth, 7, np.random.default_rng(seed), pairs=(30, 30))
        assert drawn.contributions.sum() == pytest.approx((game.worth(game.whole) - game.worth(0)).sum())
        off.append((drawn.contributions.mean(axis=0) - whole) / drawn.error)
    share = np.mean(np.abs(off) < 2.045)  # of Student's t with 29 degrees of freedom
    assert 0.91 <= share <= 0.985
    assert drawn.pairs == 30


def test_drawing_stops_where_it_is_fine_enough() -> None:
    assert shapley(additive([1.0] * 12), 12, np.random.default_rng(0), tolerance=1e-9).pairs == 24
    assert shapley(additive([1.0] * 10), 10, np.random.default_rng(0)).pairs is None
