"""A strategy of a recipe as it will serve: what it answers to members' outputs on rows that nobody was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.core.calibrate.methods import calibrate
from quorate.core.combine.base import Combiner
from quorate.core.conformal.calibrated import CALIBRATE
from quorate.core.plan.trace import trace
from quorate.core.types import FloatArray, State
from quorate.errors import ConfigError
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.calibrate import Of
from quorate.training.recipe import OUT_OF_FOLD, Recipe

ON_VALIDATION = frozenset({"log-odds"})
"""Fitters that look at the validation part: what is calibrated there would be calibrated on what it was fitted on."""


@dataclass(frozen=True)
class Strategy:
    """A combiner with its state over some members; ``described`` is how a state fitted on its answers names it."""

    combiner: Combiner
    state: State | None
    described: dict[str, Any]
    calibration: State | None = None

    def answers(self, outputs: FloatArray, features: FloatArray | None) -> FloatArray:
        """Its answers ``[n, k]`` to outputs ``[n, m, k]`` of members that would all answer; those that its plan does
        not ask are not looked at."""
        looks = self.combiner.feature_width(self.state) > 0
        status = np.zeros(outputs.shape[:2], np.int8)
        status = trace(self.combiner.plan(self.described["members"], self.state), outputs, status).status(status)
        answer = self.combiner.combine(outputs, status, self.state, features if looks else None)
        return calibrate(answer, self.calibration, status)


def strategy_of(
    of: Of, members: Sequence[str], manifest: Manifest | None, registry: Registry, calibration: Manifest | None = None
) -> Strategy:
    """The strategy ``of`` over ``members``; the manifests are those of its own state and its calibration, if it has
    them."""
    combiner = _combiner(of)
    described = {
        "kind": of.kind,
        "members": list(members),
        "params": msgspec.to_builtins(combiner.params),
        "state": None if manifest is None else manifest.digest,
    }
    if calibration is not None:
        described[CALIBRATE] = calibration.digest
    return Strategy(combiner, _read(manifest, registry), described, _read(calibration, registry))


def _read(manifest: Manifest | None, registry: Registry) -> State | None:
    if manifest is None:
        return None
    return state_codec.decode({name: registry.read_blob(blob) for name, blob in manifest.files.items()})


def check_about(recipe: Recipe) -> None:
    """:class:`ConfigError` for a fit on the validation part about a strategy that has seen it already, or cannot be,
    and for one on truths of another kind."""
    recipe.check_kind()
    for name in recipe.states:
        of = recipe.about(name)
        if of is None or recipe.states[name].by in OUT_OF_FOLD:
            continue
        path = f"states.{name}.of"
        if of.state is not None:
            if recipe.states[of.state].by in ON_VALIDATION:
                raise ConfigError(
                    f"State '{name}' is about '{of.state}', whose weights come from the validation part, so that "
                    "nothing is left that it has not seen. Fit its weights otherwise (greedy, stack).",
                    path=path,
                )
            continue
        if plugins.load("combiners", of.kind).needs_state:
            raise ConfigError(
                f"State '{name}' is about '{of.kind}', which has a state of its own; name that state instead.",
                path=path,
            )
        try:
            _combiner(of).check(recipe.of(name), recipe.signature.output, None)
        except msgspec.ValidationError as error:
            raise ConfigError(f"'{of.kind}' cannot be made from these params: {error}.", path=path) from None


def _combiner(of: Of) -> Combiner:
    plugin = plugins.load("combiners", of.kind)
    found: Combiner = plugin(msgspec.convert(dict(of.params), plugin.Params))
    return found
