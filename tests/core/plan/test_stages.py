import numpy as np

from quorate.core.plan.stages import reached, stages_of
from quorate.core.types import State

MEMBERS = ("a", "b", "c", "d")


def of(*stages: list[str]) -> object:
    return stages_of(MEMBERS, State("any", 1, {"stages": list(stages)}))


def test_places_by_stage() -> None:
    assert of(["b"], ["a", "d"], ["c"]) == ((1,), (0, 3), (2,))


def test_a_member_is_of_its_first_stage_and_those_of_none_come_last() -> None:
    assert of(["b"], ["b", "a"], ["b", "a"]) == ((1,), (0,), (2, 3))
    assert of(["b", "gone"]) == ((1,), (0, 2, 3))


def test_where_nothing_is_told_there_is_one_stage() -> None:
    assert stages_of(MEMBERS, None) == stages_of(MEMBERS, State("any", 1)) == ((0, 1, 2, 3),)


def test_rows_that_reached_a_stage() -> None:
    asked = np.array([[True, False, False], [True, False, True], [False, False, False]])
    assert reached(((0,), (1, 2)), asked) == [2, 1]
    assert [reached(((0,), (1, 2)), row[None]) for row in asked] == [[1, 0], [1, 1], [0, 0]]
