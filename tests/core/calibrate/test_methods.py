"""What a calibration belongs to, and what is refused where it belongs to something else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.core.calibrate.methods import METHODS, calibrate, check, fit, strategy_of
from quorate.core.combine.mean import Mean
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.combine.weighted import Weighted, WeightedParams
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError

RNG = np.random.default_rng(2)
SCORES = RNG.dirichlet(np.ones(3), size=90).astype(np.float32)
TRUTHS = np.arange(90) % 3
SPEC = OutputSpec("scores", ("a", "b", "c"))
STRATEGY = strategy_of(Mean(), ("x", "y"))


def state(method: str = "temperature") -> State:
    return fit(method, SCORES, TRUTHS, SPEC.classes, STRATEGY)


def test_without_a_state_an_answer_is_what_was_combined() -> None:
    assert calibrate(SCORES, None) is SCORES
    assert not np.array_equal(calibrate(SCORES, state()), SCORES)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_it_fits_the_strategy_it_was_fitted_on(method: str) -> None:
    made = state(method)
    assert (made.kind, made.version, made.meta["rows"]) == (method, 1, 90)
    check(made, SPEC, STRATEGY)


def test_a_strategy_is_its_kind_its_own_settings_and_its_members() -> None:
    assert STRATEGY == {"kind": "mean", "params": {}, "members": ["x", "y"]}
    hard = strategy_of(Vote(VoteParams("hard")), ("x",))
    assert hard["params"] == {"voting": "hard"}
    assert strategy_of(Weighted(WeightedParams((1.0, 2.0))), ("x", "y"))["params"] == {"weights": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("made", "spec", "strategy", "match"),
    [
        (state(), OutputSpec("values", names=("v",)), STRATEGY, "only scores"),
        (State("weighted", 1), SPEC, STRATEGY, "expected a fitted calibration"),
        (replace(state(), version=3), SPEC, STRATEGY, "version 3"),
        (state(), OutputSpec("scores", ("a", "c", "b")), STRATEGY, "for the classes"),
        (state(), SPEC, STRATEGY | {"members": ["y", "x"]}, r"'mean' over \[y, x\]"),
        (state(), SPEC, {"kind": "vote", "params": {"voting": "hard"}, "members": ["x", "y"]}, "voting hard"),
        (replace(state(), meta={**state().meta, "temperature": 0}), SPEC, STRATEGY, "'temperature' is not"),
    ],
)
def test_another_strategy_other_classes_and_broken_states_are_refused(
    made: State, spec: OutputSpec, strategy: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigError, match=match) as refused:
        check(made, spec, strategy)
    assert refused.value.path == "calibrate"
