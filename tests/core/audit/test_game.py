"""What pools earn: by the combiner's own rule for members that are not in."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.audit.game import Game, Rows, bits
from quorate.core.combine.mean import Mean
from quorate.core.combine.stack import Stack
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.combine.weighted import Weighted, WeightedParams
from quorate.training.fitters import fit_stack

from .conftest import numbers, scores


@pytest.mark.parametrize(
    ("combiner", "less"),
    [
        (Mean(), Mean()),
        (Vote(VoteParams("hard")), Vote(VoteParams("hard"))),
        (Weighted(WeightedParams((3.0, 1.0, 2.0, 0.5))), Weighted(WeightedParams((3.0, 2.0)))),
    ],
)
def test_a_pool_answers_as_the_strategy_of_its_members(combiner: object, less: object) -> None:
    rows = scores(200, [1.0, 0.5, 0.8, 0.1])
    game = Game(rows, combiner, None, "accuracy")  # type: ignore[arg-type]
    alone = less.combine(rows.outputs[:, [0, 2]], rows.status[:, [0, 2]])  # type: ignore[attr-defined]
    assert game.answers(0b101) == pytest.approx(alone, abs=1e-6)
    assert game.value(0b101) == np.mean(alone.argmax(axis=1) == rows.truth)


def test_a_fitted_stack_uses_what_it_fitted_for_those_that_are_left() -> None:
    rows = scores(300, [1.0, 0.5, 0.8])
    state = fit_stack(rows.outputs, rows.truth, ["a", "b", "c"], ["x", "y", "z"])
    game = Game(rows, Stack(), state, "log_loss")
    status = np.where([[False, True, False]], np.int8(2), rows.status)
    assert game.answers(0b101) == pytest.approx(Stack().combine(rows.outputs, status, state))


def test_failed_members_stay_failed_and_nobody_is_the_class_frequencies() -> None:
    rows = scores(50, [1.0, 1.0])
    status = rows.status.copy()
    status[:10, 0] = 1
    rows = Rows(rows.outputs, status, rows.truth, rows.group)
    game = Game(rows, Mean(), None, "accuracy")
    prior = np.bincount(rows.truth, minlength=3) / 50
    assert game.answers(0b01)[:10] == pytest.approx(np.tile(prior, (10, 1)))
    assert game.answers(0b11)[:10] == pytest.approx(rows.outputs[:10, 1])
    assert game.answers(0)[0] == pytest.approx(prior)
    assert game.value(0) == np.mean(rows.truth == prior.argmax())


def test_numbers_and_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = numbers(500, [1.0, 2.0])
    whole = Game(rows, Mean(), None, "mse").value(0b11)
    assert whole == pytest.approx(-np.mean((rows.outputs[:, :, 0].mean(axis=1) - rows.truth) ** 2), rel=1e-5)
    monkeypatch.setattr("quorate.core.audit.game.AT_ONCE", 64)
    assert Game(rows, Mean(), None, "mse").value(0b11) == pytest.approx(whole)
    assert len(rows.take(np.arange(7))) == 7
    assert bits(0b1010) == [1, 3]
