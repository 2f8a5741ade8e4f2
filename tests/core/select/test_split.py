import math

import pytest

from quorate.core.select.split import Split, SplitParams
from quorate.errors import ConfigError


def test_weights_become_exact_probabilities_in_the_order_of_strategies() -> None:
    policy = Split(["a", "b", "c", "d"], SplitParams({"d": 1, "a": 2, "b": 5}))
    policy.check()
    assert policy.distribution(None, {}, {}).tolist() == pytest.approx([0.25, 0.625, 0.0, 0.125], abs=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e308])
def test_any_scale_of_weights_will_do(scale: float) -> None:
    assert Split(["a", "b"], SplitParams({"a": scale, "b": scale})).distribution(None, {}, {}).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("weights", "message", "path"),
    [
        ({"a": 1, "x": 1}, "no strategy 'x'; expected some of a, b", "weights.x"),
        ({"a": -1, "b": 1}, "finite number >= 0; got -1", "weights.a"),
        ({"a": math.nan}, "finite number >= 0; got nan", "weights.a"),
        ({"a": math.inf}, "finite number >= 0; got inf", "weights.a"),
        ({"a": 0, "b": 0}, "weight above 0", "weights"),
        ({}, "weight above 0", "weights"),
    ],
)
def test_refuses_weights_that_are_none(weights: dict[str, float], message: str, path: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Split(["a", "b"], SplitParams(weights)).check()
    assert caught.value.path == path
