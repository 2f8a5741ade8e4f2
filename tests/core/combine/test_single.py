import numpy as np
import pytest

from quorate.core.combine.single import Single
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError

SCORES = OutputSpec("scores", classes=("a", "b"))


def test_gives_the_members_own_output() -> None:
    outputs = np.array([[[0.25, 0.75]], [[0.5, 0.5]]], np.float32)
    answer = Single().combine(outputs, np.array([[0], [1]], np.int8))
    np.testing.assert_array_equal(answer, np.array([[0.25, 0.75], [np.nan, np.nan]], np.float32))


@pytest.mark.parametrize("members", [[], ["a", "b"]])
def test_takes_exactly_one_member(members: list[str]) -> None:
    with pytest.raises(ConfigError, match="exactly one member") as caught:
        Single().check(members, SCORES, None)
    assert caught.value.path == "members"


def test_refuses_a_state_it_would_ignore() -> None:
    with pytest.raises(ConfigError, match="takes no fitted state") as caught:
        Single().check(["a"], SCORES, State("single", 1))
    assert caught.value.path == "state"
