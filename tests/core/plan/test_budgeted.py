"""Which members fit into the time, worked out by hand."""

import numpy as np
import pytest

from quorate.core.plan.budgeted import Budgeted, BudgetedParams, together_ms
from quorate.testing import check_plan


def chosen(budget_ms: float, worth: tuple[float, ...] = (1, 1, 1), **more: object) -> list[int]:
    settings = {"costs_ms": (10.0, 20.0, 40.0), "shared": (True, True, True)} | more
    return Budgeted(BudgetedParams(worth=worth, **settings)).chosen(budget_ms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget_ms", "expected"), [(70.0, [0, 1, 2]), (69.9, [0, 1]), (30.0, [0, 1]), (29.0, [0]), (9.0, [0]), (0.0, [0])]
)
def test_members_of_one_lane_run_one_after_the_other(budget_ms: float, expected: list[int]) -> None:
    assert chosen(budget_ms) == expected


def test_the_most_valuable_first_and_what_fits_beside_it() -> None:
    assert chosen(50.0, (1, 2, 3)) == [0, 2]
    assert chosen(39.0, (1, 2, 3)) == [0, 1]
    assert chosen(40.0, (1, 2, 3)) == [2]


def test_lanes_and_processes_of_their_own() -> None:
    assert chosen(40.0, width=2) == [0, 1, 2]
    assert chosen(39.0, width=2) == [0, 1]
    assert chosen(40.0, shared=(False, False, False)) == [0, 1, 2]
    assert chosen(30.0, shared=(False, True, True)) == [0, 1]


def test_the_quorum_runs_whatever_it_takes() -> None:
    assert chosen(5.0, least=2) == [0, 1]
    assert chosen(5.0, (1, 2, 3), least=2) == [0, 1], "the quickest, where nobody fits"


def test_rows_that_have_asked_somebody_ask_nobody_else() -> None:
    plan = Budgeted(BudgetedParams((10.0, 20.0), (1.0, 1.0), (True, True)))
    status = np.array([[2, 2], [0, 2], [1, 2]], np.int8)
    wanted = plan.next(np.zeros((3, 2, 2), np.float32), status, 100.0)
    assert wanted.tolist() == [[True, True], [False, False], [False, False]]


def test_it_keeps_the_contract() -> None:
    def make(m: int) -> Budgeted:
        return Budgeted(BudgetedParams(tuple(float(j + 1) for j in range(m)), (1.0,) * m, (True,) * m))

    check_plan(Budgeted, make=make)


def test_nothing_takes_no_time() -> None:
    assert together_ms([], []) == 0.0
