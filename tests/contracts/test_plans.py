"""Every built-in plan keeps the contract; and the checks find those that do not."""

from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.core.plan.base import Plan
from quorate.testing import check_plan

# name, arguments of check_plan
BUILT_IN: list[tuple[str, dict[str, Any]]] = [("all", {})]


@pytest.mark.parametrize(("name", "arguments"), BUILT_IN)
def test_keeps_the_contract(name: str, arguments: dict[str, Any]) -> None:
    cls = plugins.load("plans", name)
    assert cls.kind == name
    check_plan(cls, **arguments)


def test_every_plan_is_in_the_table() -> None:
    assert {name for name, _ in BUILT_IN} == set(plugins.names("plans"))


class OneByOne(Plan):
    """A correct plan in as many stages as there are members; each class below breaks one thing."""

    kind = "one-by-one"

    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        todo = status == 2
        return todo & (np.cumsum(todo, axis=1) == 1)


class NoKind(OneByOne):
    kind = ""


class NeverStops(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return np.arange(status.shape[1]) == np.zeros((len(status), 1))


class NeverStarts(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return np.zeros(status.shape, bool)


class Positions(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return np.flatnonzero(status[0] == 2)[:1]


class Numbers(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return super().next(outputs, status, budget_ms).astype(np.int8)


class Tuples(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return (0,)


class WayOfItsOwn(OneByOne):
    def begin(self) -> Any:
        return NeverStarts().begin()


class ChangesStatus(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        wanted = super().next(outputs, status, budget_ms)
        status[wanted] = 0
        return wanted


class Moody(OneByOne):
    calls = 0

    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        Moody.calls += 1
        return super().next(outputs, status, budget_ms) if Moody.calls % 2 else status == 2


class LooksAround(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return status == 2 if len(status) > 1 else super().next(outputs, status, budget_ms)


def test_one_by_one_passes() -> None:
    check_plan(OneByOne)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoKind, "subclass of Plan with a kind"),
        (NeverStops, "asks for member 0 in row 0, which has run already"),
        (NeverStarts, "runs no member"),
        (Positions, r"must return bool \[1, 1\]; got int64 \[1\]"),
        (Numbers, r"must return bool \[1, 1\]; got int8"),
        (Tuples, r"must return bool \[1, 1\]; got \(0,\)"),
        (ChangesStatus, "changed the arrays"),
        (Moody, "another answer for the same arguments"),
        (LooksAround, "depends on the other rows"),
        (WayOfItsOwn, r"what begin\(\) gives asks otherwise"),
    ],
)
def test_a_broken_plan_is_found(cls: type[Plan], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_plan(cls)
