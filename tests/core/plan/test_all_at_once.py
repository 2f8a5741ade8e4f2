import numpy as np

from quorate.core.plan.all_at_once import AllAtOnce


def ask(*status: list[int]) -> list[list[bool]]:
    given = np.array(status, np.int8)
    found: list[list[bool]] = AllAtOnce().next(np.zeros((*given.shape, 2), np.float32), given, 10.0).tolist()
    return found


def test_runs_what_has_not_run_and_stops() -> None:
    assert ask([2, 2, 2]) == [[True, True, True]]
    assert ask([2, 0, 1]) == [[True, False, False]]
    assert ask([0, 1, 0]) == [[False, False, False]]


def test_a_member_that_one_row_has_not_asked_runs_for_that_row() -> None:
    assert ask([0, 0], [0, 2]) == [[False, False], [False, True]]
