"""Every built-in policy keeps the contract; and the checks find those that do not."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.backends.vw import VwParams
from quorate.core.select.base import Policy
from quorate.core.select.best import BestParams
from quorate.core.select.exp3 import Exp3Params
from quorate.core.select.fixed import FixedParams
from quorate.core.select.lin_thompson import LinThompsonParams
from quorate.core.select.lin_ucb import LinUcbParams
from quorate.core.select.rules import Rule, RulesParams
from quorate.core.select.split import SplitParams
from quorate.core.select.thompson import ThompsonParams
from quorate.core.select.ucb import UcbParams
from quorate.core.types import State
from quorate.errors import FormatRefused
from quorate.testing import check_policy

LINEAR: dict[str, Any] = {
    "features": ("context.age", "context.score", "context.city", "input.rows", "context.user_id"),
    "ranges": {"input.rows": (0.0, 10.0)},
    "values": {"context.city": ("rome", "oslo")},
    "buckets": {"context.user_id": 4},
}
FACTS: dict[str, Any] = {"facts": ({}, {"input.rows": 3})}
QUICK: dict[str, Any] = {"window_rows": 20, "min_evidence": 2, "check_rows": 2, "checks": 1}
NEEDS = {"vw": "vowpal_wabbit_next"}
"""Policies that learn with a package of an extra."""

# name, arguments of check_policy
BUILT_IN: list[tuple[str, dict[str, Any]]] = [
    ("fixed", {"params": FixedParams("b")}),
    ("fixed", {"params": FixedParams("only"), "strategies": ("only",)}),
    ("split", {"params": SplitParams({"a": 1, "b": 1, "c": 1})}),
    ("split", {"params": SplitParams({"c": 0.1})}),
    ("split", {"params": SplitParams({"a": 1e-9, "b": 7, "c": 1e9})}),
    ("thompson", {}),
    ("thompson", {"strategies": ("only",)}),
    ("thompson", {"params": ThompsonParams(discount=0.9, floor=0.1, baseline="b")}),
    ("thompson", {"params": ThompsonParams(model="gaussian", half_life_s=3.0)}),
    ("ucb", {}),
    ("ucb", {"params": UcbParams(discount=0.9, floor=0.05, baseline="a")}),
    ("exp3", {}),
    ("exp3", {"params": Exp3Params(half_life_s=3.0, floor=0.05)}),
    ("lin_ucb", {"params": LinUcbParams(**LINEAR), **FACTS}),
    ("lin_ucb", {"params": LinUcbParams(**LINEAR, discount=0.9, baseline="c"), **FACTS}),
    ("lin_thompson", {"params": LinThompsonParams(**LINEAR), **FACTS}),
    ("lin_thompson", {"params": LinThompsonParams(**LINEAR, half_life_s=5.0, floor=0.0), **FACTS}),
    ("best", {"params": BestParams(**QUICK)}),
    ("best", {"params": BestParams(**QUICK, window_s=3.0, floor=0.1, baseline="c", bound=0.4)}),
    ("best", {"params": BestParams(**QUICK, metric="latency", floor=0.1)}),
    ("best", {"params": BestParams(**QUICK, metric="error_rate", bound=0.1)}),
    ("vw", {"params": VwParams(**LINEAR), **FACTS}),
    ("vw", {"params": VwParams(**LINEAR, floor=0.1, baseline="a"), **FACTS}),
    ("rules", {"params": RulesParams((Rule("context.age > 30", "b"),), {"a": 1, "c": 3})}),
    (
        "rules",
        {
            "params": RulesParams((Rule("input.rows > 3 and not context.new", {"a": 1, "b": 2}),), "c"),
            "facts": ({"input.rows": 5}, {"input.rows": None}, {}),
        },
    ),
]


@pytest.mark.parametrize(("name", "arguments"), BUILT_IN)
def test_keeps_the_contract(name: str, arguments: dict[str, Any]) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"the extra '{name}' is not installed")
    cls = plugins.load("policies", name)
    assert cls.kind == name
    check_policy(cls, **arguments)


def test_every_policy_is_in_the_table() -> None:
    assert {name for name, _ in BUILT_IN} == set(plugins.names("policies"))


class Learner(Policy):
    """A correct learning policy: probability by mean reward; each class below breaks one thing."""

    kind = "learner"
    learns = True

    def check(self) -> None:
        pass

    def initial(self) -> State | None:
        return State("learner", 1, {"updates": 0}, {"rewards": np.ones(len(self.strategies))})

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return state.arrays["rewards"] / state.arrays["rewards"].sum()

    def learn(self, state: Any, feedback: Any) -> Any:
        rewards = state.arrays["rewards"].copy()
        for each in feedback:
            rewards += np.nan_to_num(each.rewards)
        updates = state.meta["updates"] + len(feedback)
        return dataclasses.replace(state, meta={"updates": updates}, arrays={"rewards": rewards})


class NoKind(Learner):
    kind = ""


class LearnsNothing(Learner):
    learns = False


class NoInitial(Learner):
    def initial(self) -> State | None:
        return None


class Improper(Learner):
    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return super().distribution(state, context, facts) * 0.999


class Negative(Learner):
    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return np.array([-0.5, 1.0, 0.5])


class Single(Learner):
    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return super().distribution(state, context, facts).astype(np.float32)


class Sampled(Learner):
    rng = np.random.default_rng(0)

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return Sampled.rng.dirichlet(state.arrays["rewards"])


class HandsOutItsOwn(Learner):
    own = np.array([0.25, 0.25, 0.5])

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return self.own


class ChangesContext(Learner):
    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        context.pop("user_id", None)
        return super().distribution(state, context, facts)


class ChangesState(Learner):
    def learn(self, state: Any, feedback: Any) -> Any:
        state.arrays["rewards"][feedback[0].assigned] += 1
        return state


class CountsInPlace(Learner):
    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        state.meta["updates"] += 1
        return super().distribution(state, context, facts)


class Forgets(Learner):
    def learn(self, state: Any, feedback: Any) -> Any:
        return None


class LastCounts(Learner):
    """Of several rows it learns from one."""

    def learn(self, state: Any, feedback: Any) -> Any:
        return super().learn(state, feedback[-1:])


class NotPlain(Learner):
    """What it learned cannot be written down."""

    def learn(self, state: Any, feedback: Any) -> Any:
        return dataclasses.replace(super().learn(state, feedback), meta={"updates": 0, "seen": {1, 2}})


class OnlyWatches(Policy):
    kind = "only-watches"
    watches = True

    def check(self) -> None:
        pass

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return np.full(len(self.strategies), 1 / len(self.strategies))


class MakesState(Policy):
    """Does not learn, yet returns a state."""

    kind = "makes-state"

    def check(self) -> None:
        pass

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return np.full(len(self.strategies), 1 / len(self.strategies))

    def learn(self, state: Any, feedback: Any) -> Any:
        return State("makes-state", 1)


def test_a_plain_learner_passes() -> None:
    check_policy(Learner)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoKind, "subclass of Policy with a kind"),
        (LearnsNothing, "learns is False, but initial"),
        (NoInitial, "learns is True, but initial"),
        (Improper, "sum to 1"),
        (Negative, "non-negative"),
        (Single, r"float64 \[3\]"),
        (Sampled, "another answer for the same state"),
        (HandsOutItsOwn, "another answer for the same state"),
        (ChangesContext, "changed the state, the context"),
        (CountsInPlace, "changed the state, the context"),
        (ChangesState, r"learn\(\) changed the state"),
        (LastCounts, "one by one"),
        (OnlyWatches, "must learn"),
        (Forgets, "must return a State"),
        (MakesState, "return the state unchanged"),
    ],
)
def test_a_broken_policy_is_found(cls: type[Policy], sentence: str) -> None:
    HandsOutItsOwn.own = np.array([0.25, 0.25, 0.5])
    with pytest.raises(AssertionError, match=sentence):
        check_policy(cls)


def test_a_state_that_cannot_be_stored_is_found() -> None:
    with pytest.raises(FormatRefused, match="has no JSON form"):
        check_policy(NotPlain)
