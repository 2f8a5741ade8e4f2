"""The checks that combiners share when a spec is applied; each raises one clear :class:`ConfigError`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.base import Combiner
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError


def check_output(combiner: Combiner, output: OutputSpec) -> None:
    """The members' kind of output is one the combiner declares."""
    if output.kind not in combiner.output_kinds:
        allowed = " or ".join(sorted(combiner.output_kinds))
        raise ConfigError(
            f"'{combiner.kind}' combines {allowed}; the pool's models answer {output.kind}. Choose another kind.",
            path="kind",
        )


def check_no_state(combiner: Combiner, state: State | None) -> None:
    """No fitted state is given to a combiner that would ignore it."""
    if state is not None:
        raise ConfigError(f"'{combiner.kind}' takes no fitted state; remove 'state'.", path="state")


def check_state(combiner: Combiner, state: State, version: int, members: Sequence[str]) -> None:
    """The state was fitted for this combiner, in a format it reads, on these members in this order."""
    if state.kind != combiner.kind or state.version != version:
        raise ConfigError(
            f"'{combiner.kind}' reads states of kind '{combiner.kind}' version {version}; "
            f"got kind '{state.kind}' version {state.version}. Fit it again with this release.",
            path="state",
        )
    fitted = tuple(state.meta.get("members", ()))
    if fitted != tuple(members):
        raise ConfigError(
            f"the state was fitted on the members [{', '.join(fitted)}]; the strategy has [{', '.join(members)}]. "
            "List the same members in the same order, or fit it again.",
            path="state",
        )


def check_weights(weights: NDArray[np.float64], members: Sequence[str], path: str) -> None:
    """One finite weight >= 0 per member, at least one above 0."""
    if weights.shape != (len(members),):
        raise ConfigError(
            f"expected one weight for each of the {len(members)} members [{', '.join(members)}]; got {weights.size}.",
            path=path,
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ConfigError(
            f"weights must be finite and not negative, with at least one above 0; got {weights.tolist()}. "
            "Leave out a member that is worse than chance rather than give it a negative weight.",
            path=path,
        )
