"""A strategy of a recipe as it will serve: what it answers to members' outputs on rows that nobody was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.core.combine.base import Combiner
from quorate.core.types import FloatArray, OutputSpec, State
from quorate.errors import ConfigError
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.recipe import Fit, Recipe

ON_VALIDATION = frozenset({"log-odds"})
"""Fitters that look at the validation part: what is calibrated there would be calibrated on what it was fitted on."""


@dataclass(frozen=True)
class Strategy:
    """A combiner with its state over some members; ``described`` is how a state fitted on its answers names it."""

    combiner: Combiner
    state: State | None
    described: dict[str, Any]

    def answers(self, outputs: FloatArray, features: FloatArray | None) -> FloatArray:
        """Its answers ``[n, k]`` to outputs ``[n, m, k]`` of members that all answered."""
        looks = self.combiner.feature_width(self.state) > 0
        status = np.zeros(outputs.shape[:2], np.int8)
        return self.combiner.combine(outputs, status, self.state, features if looks else None)


def strategy_of(fit: Fit, members: Sequence[str], manifest: Manifest | None, registry: Registry) -> Strategy:
    """The strategy that ``fit`` is about; ``manifest`` is that of its own state, if it has one."""
    state = None
    if manifest is not None:
        state = state_codec.decode({name: registry.read_blob(blob) for name, blob in manifest.files.items()})
    kind = fit.of if state is None else state.kind
    plugin = plugins.load("combiners", kind or "")
    combiner: Combiner = plugin(msgspec.convert(dict(fit.settings.get("params", {})), plugin.Params))
    described = {
        "kind": kind,
        "members": list(members),
        "params": msgspec.to_builtins(combiner.params),
        "state": None if manifest is None else manifest.digest,
    }
    return Strategy(combiner, state, described)


def check_about(recipe: Recipe) -> None:
    """:class:`ConfigError` for a fit about a strategy that there is not, or that validation rows have seen already."""
    for name, fit in recipe.states.items():
        if fit.of is None:
            continue
        about = recipe.states.get(fit.of)
        path = f"states.{name}.of"
        if about is None and fit.of not in plugins.names("combiners"):
            known = ", ".join([*recipe.states, *plugins.names("combiners")])
            raise ConfigError(f"State '{name}' is about '{fit.of}'; expected one of {known}.", path=path)
        if about is None:
            plugin = plugins.load("combiners", fit.of)
            if plugin.needs_state:
                raise ConfigError(
                    f"State '{name}' is about '{fit.of}', which has a state of its own; name that state instead.",
                    path=path,
                )
            _check(plugin, fit, recipe.of(name), recipe.signature.output, path)
        elif about.of is not None:
            raise ConfigError(f"State '{name}' is about '{fit.of}', which is no strategy's.", path=path)
        elif about.by in ON_VALIDATION:
            raise ConfigError(
                f"State '{name}' is about '{fit.of}', whose weights come from the validation part, so that nothing is "
                "left that it has not seen. Fit its weights otherwise (greedy, stack).",
                path=path,
            )


def _check(plugin: Any, fit: Fit, members: Sequence[str], output: OutputSpec, path: str) -> None:
    try:
        plugin(msgspec.convert(dict(fit.settings.get("params", {})), plugin.Params)).check(members, output, None)
    except msgspec.ValidationError as error:
        raise ConfigError(f"'{fit.of}' cannot be made from these params: {error}.", path=path) from None
