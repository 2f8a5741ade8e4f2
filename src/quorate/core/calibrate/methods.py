"""The methods of calibration by name, and what uses a fitted state of any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from quorate.core.calibrate.base import VERSION, Calibration
from quorate.core.calibrate.isotonic import Isotonic
from quorate.core.calibrate.temperature import Temperature
from quorate.core.calibrate.venn_abers import VennAbers
from quorate.core.types import FloatArray, OutputSpec, State
from quorate.errors import ConfigError

METHODS: Mapping[str, Calibration] = {each.kind: each for each in (Temperature(), Isotonic(), VennAbers())}


def fit(
    method: str,
    answers: NDArray[Any],
    y: NDArray[Any],
    classes: Sequence[str],
    *,
    kind: str,
    members: Sequence[str],
) -> State:
    """A state of ``method`` from answers ``[n, k]`` of a strategy of that ``kind`` and ``members``, and true class
    indices ``[n]``, on rows that the strategy was not fitted on."""
    meta = {"classes": list(classes), "strategy": {"kind": kind, "members": list(members)}}
    return METHODS[method].fit(answers, y, meta)


def calibrate(answer: FloatArray, state: State | None) -> FloatArray:
    """The answer float32 ``[n, k]`` calibrated by a fitted state; as it is without one. Labels never move."""
    return answer if state is None else METHODS[state.kind].apply(answer, state)


def check(state: State, output: OutputSpec, kind: str, members: Sequence[str]) -> None:
    """:class:`ConfigError` unless ``state`` calibrates a strategy of that ``kind`` and ``members`` with that output."""
    if output.kind != "scores":
        raise ConfigError("only scores are calibrated; the pool's models answer values. Remove it.", path="calibrate")
    method = METHODS.get(state.kind)
    if method is None or state.version != VERSION:
        raise ConfigError(
            f"expected a fitted calibration ({', '.join(METHODS)}), version {VERSION}; got a state of kind "
            f"'{state.kind}' version {state.version}.",
            path="calibrate",
        )
    fitted = tuple(state.meta.get("classes", ()))
    if fitted != output.classes:
        raise ConfigError(
            f"the calibration was fitted for the classes [{', '.join(fitted)}]; the pool's models answer "
            f"[{', '.join(output.classes)}]. Fit it again on this pool.",
            path="calibrate",
        )
    of = state.meta.get("strategy")
    wanted = {"kind": kind, "members": list(members)}
    if of != wanted:
        raise ConfigError(
            f"the calibration was fitted on answers of {_told(of)}; the strategy is {_told(wanted)}. What makes one "
            "strategy true makes another false: fit it on this one.",
            path="calibrate",
        )
    wrong = method.wrong(state, len(output.classes))
    if wrong is not None:
        raise ConfigError(f"the calibration's {wrong} is not what it should be; fit it again.", path="calibrate")


def _told(strategy: Any) -> str:
    if not isinstance(strategy, Mapping):
        return "an unknown strategy"
    return f"'{strategy.get('kind')}' over [{', '.join(strategy.get('members', ()))}]"
