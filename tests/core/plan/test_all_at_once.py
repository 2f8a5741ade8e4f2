import numpy as np

from quorate.core.plan.all_at_once import AllAtOnce


def ask(*status: list[int]) -> tuple[int, ...]:
    given = np.array(status, np.int8)
    return AllAtOnce().next(np.zeros((*given.shape, 2), np.float32), given, 10.0)


def test_runs_what_has_not_run_and_stops() -> None:
    assert ask([2, 2, 2]) == (0, 1, 2)
    assert ask([2, 0, 1]) == (0,)
    assert ask([0, 1, 0]) == ()


def test_a_member_that_one_row_has_not_asked_runs() -> None:
    assert ask([0, 0], [0, 2]) == (1,)
