"""What a plan would have asked, from what is on record."""

import numpy as np
import pytest

from quorate.core.plan.all_at_once import AllAtOnce
from quorate.core.plan.trace import enough, held_back, trace
from quorate.testing import check_plan
from tests.ladder import Stepwise

YES = np.array([[0.9, 0.5, 0.5], [0.6, 0.95, 0.5], [0.6, 0.6, 0.6]])
OUTPUTS = np.stack([1 - YES, YES], axis=2).astype(np.float32)
PLAN = Stepwise([[0], [1], [2]], 0.75)


def test_it_is_the_way_that_the_plan_takes() -> None:
    found = trace(PLAN, OUTPUTS, np.zeros((3, 3), np.int8))
    assert found.known.all()
    assert found.asked.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert found.status(np.zeros((3, 3), np.int8)).tolist() == [[0, 2, 2], [0, 0, 2], [0, 0, 0]]


def test_a_row_is_known_up_to_the_first_member_that_did_not_run() -> None:
    status = np.array([[0, 2, 2], [0, 2, 0], [2, 0, 0]], np.int8)
    found = trace(PLAN, OUTPUTS, status)
    assert found.known.tolist() == [True, False, False]
    assert found.asked.tolist() == [[True, False, False], [True, False, False], [False, False, False]]


def test_what_failed_is_gone_round_as_it_was() -> None:
    status = np.array([[1, 0, 0]] * 3, np.int8)
    found = trace(PLAN, OUTPUTS, status)
    assert found.known.all()
    assert found.asked.tolist() == [[True, True, True], [True, True, False], [True, True, True]]


def test_values_of_what_was_not_asked_are_not_shown() -> None:
    outputs = OUTPUTS.copy()
    outputs[0, 1:] = np.nan
    status = np.array([[0, 2, 2]], np.int8)
    assert trace(PLAN, outputs[:1], status).known.all()


def test_all_at_once_needs_everybody() -> None:
    status = np.array([[0, 0, 1], [0, 2, 0]], np.int8)
    found = trace(AllAtOnce(), OUTPUTS[:2], status)
    assert found.known.tolist() == [True, False]
    assert found.asked.tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("row", "status", "expected"),
    [
        (0, [0, 2, 2], [False, False, False]),  # 0.9 is sure: it had no need of the others
        (1, [0, 2, 2], [False, True, True]),  # 0.6 is not; and without the second it would ask the third
        (1, [0, 0, 2], [False, False, False]),  # (0.6 + 0.95) / 2 is
        (2, [0, 0, 2], [False, False, True]),
        (2, [0, 1, 2], [False, False, True]),  # what failed is no reason to stop
        (2, [0, 0, 0], [False, False, False]),
        (2, [0, 1, 1], [False, False, False]),
    ],
)
def test_what_a_plan_had_no_time_for_it_would_have_asked(row: int, status: list[int], expected: list[bool]) -> None:
    assert held_back(PLAN, OUTPUTS[row : row + 1], np.array([status], np.int8)).tolist() == [expected]


def test_what_is_held_back_is_so_row_by_row() -> None:
    status = np.array([[0, 2, 2]] * 3, np.int8)
    assert held_back(PLAN, OUTPUTS, status).tolist() == [[False] * 3, [False, True, True], [False, True, True]]
    assert not held_back(AllAtOnce(), OUTPUTS, np.zeros((3, 3), np.int8)).any()


@pytest.mark.parametrize(
    ("status", "quorum", "expected"),
    [([0, 2, 2], 1, True), ([0, 2, 2], 2, True), ([0, 1, 2], 2, False), ([0, 0, 1], 2, True), ([1, 1, 1], 1, False),
     ([2, 2, 2], 1, False)],
)  # fmt: skip
def test_a_quorum_is_of_those_that_were_asked(status: list[int], quorum: int, expected: bool) -> None:
    assert enough(np.array([status], np.int8), quorum).tolist() == [expected]


def test_the_plan_of_the_tests_keeps_the_contract() -> None:
    check_plan(Stepwise, make=lambda m: Stepwise([[j] for j in range(m)], 0.75))
