import numpy as np
import pytest

from quorate.core.combine.mean import Mean
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError


def test_averages_values_over_the_members_that_answered() -> None:
    outputs = np.array([[[1.0], [3.0], [np.nan]], [[1.0], [3.0], [8.0]]], np.float32)
    answer = Mean().combine(outputs, np.array([[0, 0, 1], [0, 0, 0]], np.int8))
    assert answer.tolist() == [[2.0], [4.0]]


def test_refuses_a_state_it_would_ignore() -> None:
    with pytest.raises(ConfigError, match="takes no fitted state"):
        Mean().check(["a", "b"], OutputSpec("values", names=("y",)), State("mean", 1))
