from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from quorate.core.cascade.evidence import knots_of, seen
from quorate.training.routing import fit_router, play, ridge, scene
from quorate.training.subsets import fit_subsets, parts_of, subsets_of
from tests.training.cascades import pool

UNITS = np.eye(3, dtype=bool)
COST = np.array([1.0, 4.0, 10.0])
PRICES = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 12)])


@pytest.fixture(scope="module")
def fitted() -> Any:
    """Sets, combiners, the router at all prices, and what the rows come to."""
    outputs, y = pool(1200, 4)
    sets = subsets_of(3, UNITS, 6)
    parts = parts_of(y, 5, 0)
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    combiners = fit_subsets(given, y, sets, parts)
    where = scene(given, y, combiners.held, sets, UNITS, COST, combiners.arrays["fine"])
    return (sets, combiners, where, parts, *fit_router(where, PRICES, parts))


def test_ridge_is_scikit_learns_and_held_predictions_are_of_other_folds() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)) * [1, 10, 2, 0] + 5.0
    targets = x @ rng.normal(size=(4, 2)) + rng.normal(size=(90, 2))
    parts = [np.arange(start, 90, 3) for start in range(3)]
    coefficients, held = ridge(x, targets, parts, 2.0)
    assert np.allclose(x @ coefficients[:-1] + coefficients[-1], Ridge(2.0).fit(x, targets).predict(x), atol=1e-6)
    rest = np.ones(90, bool)
    rest[parts[1]] = False
    theirs = Ridge(2.0).fit(x[rest], targets[rest]).predict(x[parts[1]])
    assert np.allclose(held[parts[1]], theirs, atol=0.02), (
        "centred on all rows: the same but for rounding of the penalty"
    )


def test_the_dearer_the_less_is_asked_and_the_less_is_right(fitted: Any) -> None:
    *_, played = fitted
    assert played.mean_cost[0] > 3 * played.mean_cost[-1]
    assert (np.diff(played.mean_cost) <= 0.15).all()
    assert played.accuracy[0] > played.accuracy[-1] + 0.05
    assert played.mean_cost[-1] == pytest.approx(1.0), "at a price that nothing is worth the cheapest answers alone"


def test_what_is_paid_is_the_cost_of_what_was_asked(fitted: Any) -> None:
    sets, _, where, _, _, played = fitted
    assert np.allclose(played.cost, (sets @ COST)[played.final])
    right = np.stack(where.right, axis=1)
    assert np.array_equal(played.right, right[np.arange(len(right))[:, None], played.final])


def test_a_routed_mix_beats_the_same_mix_at_random(fitted: Any) -> None:
    """At every cost in between: more right than the line between the first stage and everybody."""
    sets, _, where, _, _, played = fitted
    whole = int(sets.sum(axis=1).argmax())
    cheap = int(np.flatnonzero((sets == [True, False, False]).all(axis=1))[0])
    between = (played.mean_cost > 2) & (played.mean_cost < 10)
    assert between.sum() >= 2
    rate = (played.mean_cost[between] - 1.0) / (COST.sum() - 1.0)
    random = (1 - rate) * where.right[cheap].mean() + rate * where.right[whole].mean()
    assert (played.accuracy[between] > random + 0.01).all()


def test_rows_never_seen_come_to_what_cross_fitting_said(fitted: Any) -> None:
    from quorate.core.cascade.posterior import posterior

    sets, combiners, _, _, router, played = fitted
    outputs, y = pool(6000, 77)
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    p = [posterior(given.of(members), s, combiners.arrays) for s, members in enumerate(sets)]
    found = play(scene(given, y, p, sets, UNITS, COST, combiners.arrays["fine"]), router)
    assert found.mean_cost == pytest.approx(played.mean_cost, abs=0.6)
    assert found.accuracy == pytest.approx(played.accuracy, abs=0.04)


def test_groups_are_asked_whole() -> None:
    outputs, y = pool(300, 1)
    units = np.array([[True, False, True], [False, True, False]])
    sets = subsets_of(3, units, 2)
    routed = sets[[0, *np.flatnonzero((sets[:, None] == units[None]).all(axis=2).any(axis=1)).tolist()]]
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    found = scene(given, y, [outputs[:, 0].astype(float)] * len(routed), routed, units, COST, knots_of(given, 4))
    assert found.asks.sum() == 2, "from each group to both"
    assert sorted(found.cost.tolist()) == [4.0, 11.0, 15.0]
    p = [outputs[:, 0].astype(float)] * len(routed)
    found = scene(given, y, p, routed, units, COST, knots_of(given, 4), stage=0.5)
    assert sorted(found.cost.tolist()) == [4.5, 11.5, 16.0], "stage by stage"
    assert sorted(found.at_once.tolist()) == [4.5, 11.5, 15.5]
