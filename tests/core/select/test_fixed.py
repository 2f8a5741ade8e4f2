import pytest

from quorate.core.select.fixed import Fixed, FixedParams
from quorate.errors import ConfigError


def test_the_strategy_gets_everything() -> None:
    assert Fixed(["a", "b", "c"], FixedParams("b")).distribution(None, {}, {}).tolist() == [0.0, 1.0, 0.0]


def test_refuses_an_unknown_strategy() -> None:
    with pytest.raises(ConfigError, match="no strategy 'd'; expected one of a, b, c") as caught:
        Fixed(["a", "b", "c"], FixedParams("d")).check()
    assert caught.value.path == "strategy"
