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

    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return tuple(np.flatnonzero((status == 2).any(axis=0)).tolist()[:1])


class NoKind(OneByOne):
    kind = ""


class NeverStops(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return (0,)


class NeverStarts(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return ()


class NamesStrangers(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return (status.shape[1],)


class NamesTwice(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return super().next(outputs, status, budget_ms) * 2


class NumpyInts(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        return tuple(np.flatnonzero((status == 2).any(axis=0)))


class Lists(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> Any:
        return list(super().next(outputs, status, budget_ms))


class ChangesStatus(OneByOne):
    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        members = super().next(outputs, status, budget_ms)
        status[:, list(members)] = 0
        return members


class Moody(OneByOne):
    calls = 0

    def next(self, outputs: Any, status: Any, budget_ms: float) -> tuple[int, ...]:
        Moody.calls += 1
        todo = np.flatnonzero((status == 2).any(axis=0)).tolist()
        return tuple(todo[:1] if Moody.calls % 2 else todo)


def test_one_by_one_passes() -> None:
    check_plan(OneByOne)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoKind, "subclass of Plan with a kind"),
        (NeverStops, "asks for member 0, which has run already"),
        (NeverStarts, "runs no member"),
        (NamesStrangers, r"name members in 0\.\.0"),
        (NamesTwice, "each once"),
        (NumpyInts, "tuple of ints"),
        (Lists, "tuple of ints"),
        (ChangesStatus, "changed the arrays"),
        (Moody, "another answer for the same arguments"),
    ],
)
def test_a_broken_plan_is_found(cls: type[Plan], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_plan(cls)
