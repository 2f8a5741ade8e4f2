"""The methods of calibration by name, and what uses a fitted state of any of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from quorate.core.calibrate import by_set
from quorate.core.calibrate.base import VERSION, Calibration
from quorate.core.calibrate.isotonic import Isotonic
from quorate.core.calibrate.temperature import Temperature
from quorate.core.calibrate.venn_abers import VennAbers
from quorate.core.combine.base import Combiner
from quorate.core.types import BoolArray, FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

METHODS: Mapping[str, Calibration] = {each.kind: each for each in (Temperature(), Isotonic(), VennAbers())}


def strategy_of(combiner: Combiner, members: Sequence[str]) -> dict[str, Any]:
    """What a calibration belongs to, as it is kept in its state: ``kind``, ``params`` and ``members`` of a strategy."""
    params: dict[str, Any] = dataclasses.asdict(combiner.params)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in params.items()}
    return {"kind": combiner.kind, "params": plain, "members": list(members)}


def fit(
    method: str,
    answers: NDArray[Any],
    y: NDArray[Any],
    classes: Sequence[str],
    strategy: Mapping[str, Any],
    status: StatusArray | None = None,
) -> State:
    """A state of ``method`` from answers ``[n, k]`` of a strategy (:func:`strategy_of`) to rows that it was not fitted
    on, and their true class indices ``[n]``.

    ``status`` ``[n, m]`` of its members is given where a row asks no more of them than it needs: then it may matter
    who answered (:mod:`quorate.core.calibrate.by_set`).
    """
    return refit(method, answers, y, {"classes": list(classes), "strategy": dict(strategy)}, status)


def refit(
    method: str,
    answers: NDArray[Any],
    y: NDArray[Any],
    meta: Mapping[str, Any],
    status: StatusArray | None = None,
    sets: BoolArray | None = None,
) -> State:
    """The same with metadata as they are; ``sets`` are those of members that have maps of their own, if known."""
    if status is None:
        return METHODS[method].fit(answers, y, meta)
    return by_set.fit(METHODS[method], answers, y, status, meta, sets)


def calibrate(answer: FloatArray, state: State | None, status: StatusArray | None = None) -> FloatArray:
    """The answer float32 ``[n, k]`` calibrated by a fitted state; as it is without one. Labels never move.

    ``status`` ``[n, m]`` is that of the strategy's members, as they were combined; :class:`InvalidInput` where the
    state depends on it and there is none.
    """
    if state is None:
        return answer
    method = METHODS[state.kind]
    return (
        by_set.apply(method, answer, state, status) if state.version == by_set.VERSION else method.apply(answer, state)
    )


def check(state: State, output: OutputSpec, strategy: Mapping[str, Any]) -> None:
    """:class:`ConfigError` unless ``state`` calibrates that ``strategy`` (:func:`strategy_of`), with that output."""
    if output.kind != "scores":
        raise ConfigError("only scores are calibrated; the pool's models answer values. Remove it.", path="calibrate")
    method = METHODS.get(state.kind)
    if method is None or state.version not in (VERSION, by_set.VERSION):
        raise ConfigError(
            f"expected a fitted calibration ({', '.join(METHODS)}), version {by_set.VERSION}; got a state of kind "
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
    if state.meta.get("strategy") != strategy:
        raise ConfigError(
            f"the calibration was fitted on answers of {_told(state.meta.get('strategy'))}; this strategy is "
            f"{_told(strategy)}. What makes one true makes another false: fit it on this one.",
            path="calibrate",
        )
    k = len(output.classes)
    if state.version == VERSION:
        wrong = method.wrong(state, k)
    else:
        wrong = by_set.wrong(method, state, k, len(strategy["members"]))
    if wrong is not None:
        raise ConfigError(f"the calibration's {wrong} is not what it should be; fit it again.", path="calibrate")


def _told(strategy: Any) -> str:
    if not isinstance(strategy, Mapping):
        return "an unknown strategy"
    params = ", ".join(f"{name} {value}" for name, value in sorted(strategy.get("params", {}).items()))
    return f"'{strategy.get('kind')}'{f' ({params})' if params else ''} over [{', '.join(strategy.get('members', ()))}]"
