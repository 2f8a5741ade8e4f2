"""What can go: what was planted is found, nothing else is, and not more often by mistake than stated."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.audit.elimination import check, halves, search
from quorate.core.audit.game import Game, Rows
from quorate.core.combine.mean import Mean

from .conftest import scores


def found(rows: Rows, margin: float, seed: int = 0, costs: list[float] | None = None):
    rng = np.random.default_rng(seed)
    first = halves(rows.group, rng)
    games = [Game(rows.take(np.flatnonzero(part)), Mean(), None, "accuracy") for part in (first, ~first)]
    return check(games[1], search(games[0], margin, costs), margin, rng)


def dropped(outcome) -> list[int]:
    return [each.step.member for each in outcome.steps[: outcome.dropped]]


def test_halves_are_of_groups() -> None:
    group = np.repeat(np.arange(31), 3)
    first = halves(group, np.random.default_rng(0))
    assert first.sum() == 48
    assert all(len(set(first[group == g].tolist())) == 1 for g in range(31))


def test_a_harmful_member_goes_first_and_the_dearer_of_two_copies() -> None:
    rows = scores(6000, [1.2, 1.1, 1.0, 1.2, -3.0], seed=1, copies={3: 0})
    outcome = found(rows, 0.01, costs=[1.0, 1.0, 1.0, 2.0, 1.0])
    assert dropped(outcome) == [4, 3]
    first, second = outcome.steps[:2]
    assert first.by_step.low > 0
    assert second.by_step.low > -0.01
    assert second.gain.value == pytest.approx(second.value.value - outcome.whole.value)
    cheaper = found(rows, 0.01, costs=[2.0, 1.0, 1.0, 1.0, 1.0])
    assert dropped(cheaper) == [4, 0]


def test_what_a_harmful_one_gains_is_not_spent_on_a_useful_one() -> None:
    """Dropping the harmful one gains far more than dropping a useful one loses; the useful ones stay all the same."""
    rows = scores(6000, [1.2, 1.1, 1.0, -4.0], seed=2)
    outcome = found(rows, 0.01)
    assert dropped(outcome) == [3]
    assert outcome.steps[0].gain.value > 0.05
    assert all(each.over_best is not None for each in outcome.steps[1:])


def test_few_rows_show_nothing() -> None:
    outcome = found(scores(100, [1.2, 1.1, 1.0]), 0.005)
    assert outcome.dropped == 0


def test_one_member_always_stays() -> None:
    rows = scores(4000, [3.0, 0.0])
    twins = Rows(rows.outputs[:, [0, 0, 0]], rows.status[:, [0, 0, 0]], rows.truth, rows.group)
    outcome = found(twins, 0.005)
    assert outcome.dropped == 2
    assert outcome.steps[-1].step.pool.bit_count() == 1


def test_mistakes_are_not_more_often_than_stated() -> None:
    """Three members of which leaving out the least useful loses exactly the margin: named in 2.5 % of pools at most."""
    skills = [1.0, 0.9, 0.75]
    truth = Game(scores(200_000, skills, seed=99), Mean(), None, "accuracy")
    margin = min(truth.value(7) - truth.value(7 & ~(1 << j)) for j in range(3))
    assert margin > 0.005
    runs = 100
    named = sum(found(scores(600, skills, seed=seed), margin, seed).dropped > 0 for seed in range(runs))
    assert named / runs <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / runs)


def test_the_search_goes_on_past_a_pool_that_is_worse() -> None:
    """Copies of the two better of four members: with one of them the mean leans to one side, with none it is best."""
    rows = scores(20_000, [1.2, 1.2, 0.9, 0.9, 0.0, 0.0], seed=6, copies={4: 0, 5: 1})
    game = Game(rows, Mean(), None, "accuracy")
    steps = search(game, 0.002, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    assert {step.member for step in steps[:2]} == {4, 5}
    assert steps[0].gain < -0.005
    assert steps[1].gain > 0
