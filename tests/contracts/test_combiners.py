"""Every built-in combiner keeps the contract; and the checks find those that do not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.core.combine.base import Combiner
from quorate.core.combine.competence import DynamicParams
from quorate.core.combine.online import Online, OnlineParams
from quorate.core.combine.vote import VoteParams
from quorate.core.combine.weighted import WeightedParams
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError
from quorate.testing import check_combiner
from quorate.testing.combiner import SCORES, VALUES
from quorate.training.cascade import fit_cascade
from quorate.training.dynamic import METHODS, fit_dynamic

MEMBERS = ("m1", "m2", "m3")


def weights(members: Sequence[str], output: OutputSpec) -> State:
    return State("weighted", 1, {"members": list(members)}, {"weights": np.arange(len(members), dtype=float)})


def stack(members: Sequence[str], output: OutputSpec) -> State:
    """The full set and those with one member missing, so that the others take the fallback."""
    m, k = len(members), output.width
    rng = np.random.default_rng(7)
    meta = {"output": output.kind, "members": list(members), "classes": list(output.classes or output.names)}
    arrays = {
        "subsets": np.vstack([np.ones((1, m), bool), ~np.eye(m, dtype=bool)]),
        "coefficients": rng.normal(size=(m + 1, m * k, k)),
        "intercepts": rng.normal(size=(m + 1, k)),
    }
    return State("stack", 1, meta | {"clip": 1e-3} if output.kind == "scores" else meta, arrays)


def dynamic(method: str, **settings: Any) -> Any:
    """Thirty reference rows of three features."""

    def made(members: Sequence[str], output: OutputSpec) -> State:
        rng = np.random.default_rng(5)
        outputs = rng.dirichlet(np.ones(output.width), size=(30, len(members))).astype(np.float32)
        features, y = rng.normal(size=(30, 3)).astype(np.float32), rng.integers(output.width, size=30)
        return fit_dynamic(method, features, outputs, y, members, output.classes, **settings)

    return made


def online(members: Sequence[str], output: OutputSpec) -> State:
    """What is known after thirty outcomes."""
    rng = np.random.default_rng(7)
    shape = (30, len(members), output.width)
    classes = output.kind == "scores"
    outputs = rng.dirichlet(np.ones(output.width), shape[:2]) if classes else rng.normal(size=shape)
    truths = rng.integers(0, output.width, 30).astype(float) if classes else rng.normal(size=30)
    state = Online().learn(None, outputs.astype(np.float32), np.zeros(shape[:2], np.int8), truths, output)
    assert state is not None
    return state


def cascade(members: Sequence[str], output: OutputSpec) -> State:
    """Fitted on two hundred rows of noise."""
    rng = np.random.default_rng(7)
    y = rng.integers(output.width, size=200)
    outputs = rng.dirichlet(np.ones(output.width), size=(200, len(members))).astype(np.float32)
    costs = {name: 1.0 + j for j, name in enumerate(members)}
    return fit_cascade(outputs, y, members, output.classes, costs=costs, within={"cost": 2.0})


# name, arguments of check_combiner
BUILT_IN: list[tuple[str, dict[str, Any]]] = [
    ("single", {"members": ("m1",)}),
    ("single", {"members": ("m1",), "output": VALUES}),
    ("vote", {"symmetric": True}),
    ("vote", {"params": VoteParams("hard"), "symmetric": True}),
    ("vote", {"params": VoteParams("hard"), "members": ("m1", "m2", "m3", "m4", "m5"), "symmetric": True}),
    ("mean", {"symmetric": True}),
    ("mean", {"output": VALUES, "symmetric": True}),
    ("mean", {"members": ("m1", "m2", "m3", "m4", "m5"), "symmetric": True}),
    ("weighted", {"params": WeightedParams((1.0, 0.0, 2.5))}),
    ("weighted", {"params": WeightedParams((1.0, 1.0, 1.0)), "symmetric": True}),
    ("weighted", {"params": WeightedParams((1.0, 0.0, 2.5)), "output": VALUES}),
    ("weighted", {"state_factory": weights}),
    ("stack", {"state_factory": stack}),
    ("stack", {"state_factory": stack, "members": ("m1", "m2", "m3", "m4")}),
    ("stack", {"state_factory": stack, "output": OutputSpec("scores", classes=("no", "yes"))}),
    ("stack", {"state_factory": stack, "output": VALUES}),
    *((method, {"state_factory": dynamic(method)}) for method in METHODS),
    ("knora-u", {"state_factory": dynamic("knora-u"), "params": DynamicParams("soft")}),
    ("meta-des", {"state_factory": dynamic("meta-des"), "output": OutputSpec("scores", classes=("no", "yes"))}),
    ("knora-e", {"state_factory": dynamic("knora-e", space="outputs"), "params": DynamicParams("soft")}),
    ("cascade", {"state_factory": cascade}),
    ("cascade", {"state_factory": cascade, "output": OutputSpec("scores", tuple(f"c{i}" for i in range(40)))}),
    ("online", {"state_factory": online}),
    ("online", {"state_factory": online, "output": OutputSpec("scores", tuple(f"c{i}" for i in range(30)))}),
    ("online", {"params": OnlineParams("vote"), "state_factory": online}),
    ("online", {"params": OnlineParams("weighted", (1.0, 0.0, 2.5)), "state_factory": online}),
    ("online", {"state_factory": online, "output": OutputSpec("values", names=("y",))}),
]


@pytest.mark.parametrize(("name", "arguments"), BUILT_IN)
def test_keeps_the_contract(name: str, arguments: dict[str, Any]) -> None:
    cls = plugins.load("combiners", name)
    assert cls.kind == name
    check_combiner(cls, **arguments)


def test_every_combiner_and_kind_of_output_is_in_the_table() -> None:
    declared = {
        (name, kind) for name in plugins.names("combiners") for kind in plugins.load("combiners", name).output_kinds
    }
    assert {(name, arguments.get("output", SCORES).kind) for name, arguments in BUILT_IN} == declared


class Good(Combiner):
    """A correct mean, spelt plainly; each class below breaks one thing."""

    kind = "good"
    missing = "mean of those that answered"

    def check(self, members: Any, output: Any, state: Any) -> None:
        pass

    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        ok = status == 0
        sums = np.where(ok[..., None], outputs, 0).sum(axis=1)
        answer = np.full(sums.shape, np.nan)
        some = ok.any(axis=1)
        answer[some] = sums[some] / ok.sum(axis=1)[some, None]
        return answer.astype(np.float32)


class NoKind(Good):
    kind = ""


class MutableParams(Good):
    Params = dict


class OtherOutput(Good):
    output_kinds = frozenset({"values"})


class StateNotMissed(Good):
    needs_state = True


class LeaksNan(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        return outputs.mean(axis=1)


class ReadsMissing(Good):
    """Hides NaN but reads what else stands at a missing entry."""

    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        answer = super().combine(np.nan_to_num(outputs, nan=0.0), status)
        seen = np.isfinite(outputs) & (status != 0)[..., None] & (outputs > 0)
        answer[seen.any(axis=(1, 2)) & (status == 0).any(axis=1)] = np.eye(outputs.shape[2], dtype=np.float32)[0]
        return answer


class AllFailedIsUniform(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        return np.nan_to_num(super().combine(outputs, status), nan=np.float32(1 / outputs.shape[2]))


class Double(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        return super().combine(outputs, status).astype(np.float64)


class WrongShape(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        return super().combine(outputs, status)[:, :-1]


class SumOfTwo(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        return 2 * super().combine(outputs, status)


class Negative(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        answer = super().combine(outputs, status)
        answer[:, 0] -= 2
        answer[:, 1] += 2
        return answer


class NeighbourDependent(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        answer = super().combine(outputs, status)
        first = np.flatnonzero(np.isfinite(answer).all(axis=1))[:1]
        answer[first] = np.eye(outputs.shape[2], dtype=np.float32)[0]
        return answer


class ShuffledRows(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        full = (status == 0).all(axis=1)
        answer = super().combine(outputs, status)
        answer[full] = np.roll(answer[full], 1, axis=0)
        return answer


class ChangesOutputs(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        outputs[status != 0] = 0
        return super().combine(outputs, status)


class ChangesStatus(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        answer = super().combine(outputs, status)
        status[status == 2] = 1
        return answer


class FailedIsNotSkipped(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        answer = super().combine(outputs, status)
        answer[(status == 1).any(axis=1) & (status == 0).any(axis=1)] = np.float32(1 / outputs.shape[2])
        return answer


class Remembers(Good):
    calls = 0

    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        Remembers.calls += 1
        answer = super().combine(outputs, status)
        answer[np.isfinite(answer).all(axis=1)] = np.eye(outputs.shape[2], dtype=np.float32)[Remembers.calls % 2]
        return answer


class FirstWins(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        ok = status == 0
        answer = outputs[np.arange(len(ok)), ok.argmax(axis=1)].copy()
        answer[~ok.any(axis=1)] = np.nan
        return answer


def test_the_plain_mean_passes() -> None:
    check_combiner(Good, symmetric=True)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoKind, "kind must say what it is"),
        (MutableParams, "frozen dataclass"),
        (OtherOutput, "does not declare that it combines scores"),
        (LeaksNan, "has ok members but the answer"),
        (ReadsMissing, "at an entry that is not ok changed the answer"),
        (AllFailedIsUniform, "without any ok member must be all NaN"),
        (Double, "must be float32; got float64"),
        (WrongShape, r"shape \[n, k\]"),
        (SumOfTwo, "must sum to 1; got 2"),
        (Negative, "must not be negative"),
        (NeighbourDependent, "do not follow the order of the rows|depends on the other rows"),
        (ShuffledRows, "do not follow the order of the rows|depends on the other rows"),
        (ChangesOutputs, "changed the outputs"),
        (ChangesStatus, "changed the status"),
        (FailedIsNotSkipped, "failed or was skipped"),
        (Remembers, "second time|changed the answer"),
        (FirstWins, "depends on member order"),
    ],
)
def test_a_broken_combiner_is_found(cls: type[Combiner], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_combiner(cls, symmetric=True)


def test_a_combiner_that_does_not_miss_its_state_is_found() -> None:
    with pytest.raises(AssertionError, match="check\\(\\) accepts none"):
        check_combiner(StateNotMissed, state_factory=weights)
    with pytest.raises(AssertionError, match="give check_combiner a state_factory"):
        check_combiner(StateNotMissed)


class ChangesState(Good):
    def combine(self, outputs: Any, status: Any, state: Any = None, features: Any = None) -> Any:
        state.meta["members"].append("m9")
        return super().combine(outputs, status)


def test_a_combiner_that_changes_its_state_is_found() -> None:
    with pytest.raises(AssertionError, match="changed the state"):
        check_combiner(ChangesState, state_factory=weights)


def test_a_combiner_that_refuses_the_members_says_why_itself() -> None:
    with pytest.raises(ConfigError, match="exactly one member"):
        check_combiner(plugins.load("combiners", "single"))
