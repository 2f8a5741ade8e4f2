from typing import Any

import pytest

from quorate.codecs.snapshot import MemberRoute, PoolRoute, StrategyRoute
from quorate.control.revisions.looking import looking_problems
from quorate.core.types import OutputSpec, Signature, TensorSpec

SIGNATURE = Signature("array", (TensorSpec("input", "float64", (None, 3)),), OutputSpec("scores", classes=("a", "b")))
FLAT = TensorSpec("x", "float32", (None, 3))


def member(name: str, tensor: TensorSpec = FLAT, mean: float = 0.0) -> MemberRoute:
    steps: list[dict[str, Any]] = [{"kind": "normalise", "mean": mean}]
    return MemberRoute(name, 1, "onnx", name, {}, SIGNATURE, (tensor,), "y", steps)


POOL = PoolRoute(
    "pool",
    "classification",
    SIGNATURE,
    (
        member("one"),
        member("two"),
        member("shifted", mean=1.0),
        member("picture", TensorSpec("x", "float32", (None, 1, 2, 3))),
        member("any", TensorSpec("x", "float32", (None, None))),
        member("words", TensorSpec("x", "str", (None, 3))),
    ),
)


def found(*first: str, width: int = 3) -> list[tuple[str, str]]:
    strategies = [StrategyRoute(f"s{i}", "ola", (name, "two"), 1) for i, name in enumerate(first)]
    return list(looking_problems("e", strategies, {strategy.name: width for strategy in strategies}, POOL))


def test_what_can_be_looked_at_is_no_problem() -> None:
    assert not found("one", "two", "one")
    assert not found("picture", width=6)
    assert not list(looking_problems("e", [StrategyRoute("s", "mean", ("words",), 1)], {"s": 0}, POOL))


@pytest.mark.parametrize(
    ("first", "width", "strategy", "message"),
    [
        (("one",), 4, "s0", r"fitted on 4 features of a row; .* 'one' has 3\. Fit it again"),
        (("any",), 3, "s0", r"not numbers of a fixed length \(x\[N,\?\] float32\)"),
        (("words",), 3, "s0", "space of outputs"),
        (("one", "shifted"), 3, "s1", "'shifted' is preprocessed otherwise than 'one', the first of 's0'"),
    ],
)
def test_what_cannot_be_looked_at_is_told_with_its_strategy(
    first: tuple[str, ...], width: int, strategy: str, message: str
) -> None:
    import re

    ((name, told),) = found(*first, width=width)
    assert name == strategy
    assert told.startswith(f"endpoints.e.strategies.{strategy}: ")
    assert re.search(message, told)
