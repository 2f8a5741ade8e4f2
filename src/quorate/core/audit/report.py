"""An audit from rows to figures: worth of members, pairs, headroom, what can go, and the check of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quorate.core.audit import metrics
from quorate.core.audit.elimination import Outcome, check, halves, least, search
from quorate.core.audit.game import Game, Rows, bits
from quorate.core.audit.headroom import Headroom, headroom
from quorate.core.audit.redundancy import Pair, pairs
from quorate.core.audit.shapley import shapley
from quorate.core.audit.together import together
from quorate.core.combine.base import Combiner
from quorate.core.stats.influence import Estimate
from quorate.core.types import State
from quorate.errors import InvalidInput

Verdict = Literal["harmful", "redundant", "useful", "unclear"]
FEWEST = 40
"""Independent groups of rows, for halves that say anything."""
_FINE = 0.1
"""Of the margin: the error from drawing orders at which no more are drawn."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member: the metric ``alone`` (higher is better), its Shapley value and what the whole pool gains by it.

    ``harmful``: it should go, and the pool becomes better by that. ``redundant``: it should go, nothing beyond the
    margin is lost. ``useful``: it stays, and ``kept`` (what the recommended pool gains by it, on the rows of the check)
    is above 0. ``unclear``: it stays, because the rows do not show that it could go.
    """

    alone: Estimate
    shapley: Estimate
    leave_one_out: Estimate
    verdict: Verdict
    kept: Estimate | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of an audit; values are oriented so that higher is better.

    ``nothing`` is the value without any member, ``sampling`` the largest standard error from drawing ``orders`` (pairs
    of them; None where all pools were looked at). ``keep`` is the mask of the recommended pool.
    """

    margin: float
    rows: int
    groups: int
    searched: int
    checked: int
    nothing: float
    whole: Estimate
    members: tuple[Member, ...]
    pairs: tuple[Pair, ...]
    headroom: Headroom
    outcome: Outcome
    keep: int
    orders: int | None
    sampling: float


def audit(
    rows: Rows,
    combiner: Combiner,
    state: State | None,
    metric: str,
    *,
    margin: float | None = None,
    costs: Sequence[float] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Audit:
    """Audit the pool whose outputs ``rows`` hold; ``margin`` is what may be lost of the metric, in its own unit.

    ``costs`` are the members', in any one unit. :class:`InvalidInput` where there is too little, or a setting is wrong.
    """
    groups = _checked(rows, metric, margin, costs)
    rng = np.random.default_rng(seed)
    game = Game(rows, combiner, state, metric)
    searched = halves(rows.group, rng)
    first = Game(rows.take(np.flatnonzero(searched)), combiner, state, metric)
    second = Game(rows.take(np.flatnonzero(~searched)), combiner, state, metric)
    if margin is None:
        margin = metrics.MARGINS.get(metric, -metrics.SHARE * first.value(first.whole))
    steps = search(first, margin, costs)
    outcome = check(second, steps, margin, rng, level=level)
    keep = steps[outcome.dropped - 1].pool if outcome.dropped else game.whole
    values = shapley(game.worth, game.members, rng, tolerance=_FINE * margin)
    left = [game.worth(game.whole) - game.worth(game.whole & ~(1 << j)) for j in range(game.members)]
    unseen = least(metric, left)
    worths = together(values.contributions, rows.group, rng, level=level, least=unseen, more=values.error)
    gains = together(np.stack(left, axis=1), rows.group, rng, level=level, least=unseen)
    whole, *alone = together(
        np.stack([game.worth(pool) for pool in (game.whole, *(1 << j for j in range(game.members)))], axis=1),
        rows.group,
        rng,
        level=level,
    )
    kept = _kept(second, keep, rng, level)
    verdicts = _verdicts(outcome, kept)
    return Audit(
        margin=margin,
        rows=len(rows),
        groups=groups,
        searched=len(first.rows),
        checked=len(second.rows),
        nothing=game.value(0),
        whole=whole,
        members=tuple(Member(alone[j], worths[j], gains[j], verdicts[j], kept.get(j)) for j in range(game.members)),
        pairs=tuple(pairs(rows, classes=metric in metrics.OF_CLASSES)),
        headroom=headroom(first, second, rng, level=level),
        outcome=outcome,
        keep=keep,
        orders=values.pairs,
        sampling=float(values.error.max()),
    )


def _kept(game: Game, keep: int, rng: np.random.Generator, level: float) -> dict[int, Estimate]:
    """What the recommended pool gains by each of its members."""
    members = bits(keep)
    left = [game.worth(keep) - game.worth(keep & ~(1 << j)) for j in members]
    found = together(np.stack(left, axis=1), game.rows.group, rng, level=level, least=least(game.metric, left))
    return dict(zip(members, found, strict=True))


def _verdicts(outcome: Outcome, kept: dict[int, Estimate]) -> dict[int, Verdict]:
    found: dict[int, Verdict] = {j: "useful" if gain.low > 0 else "unclear" for j, gain in kept.items()}
    for each in outcome.steps[: outcome.dropped]:
        found[each.step.member] = "harmful" if each.by_step.low > 0 else "redundant"
    return found


def _checked(rows: Rows, metric: str, margin: float | None, costs: Sequence[float] | None) -> int:
    """The number of independent groups."""
    m = rows.outputs.shape[1]
    known = metrics.OF_VALUES if rows.truth.dtype.kind == "f" else metrics.OF_CLASSES
    if metric not in known:
        raise InvalidInput(f"metric is one of {', '.join(known)} here; got '{metric}'.", path="metric")
    if margin is not None and not (np.isfinite(margin) and margin >= 0):
        raise InvalidInput(f"margin is a number from 0 on, in the metric's unit; got {margin}.", path="margin")
    if m < 2:
        raise InvalidInput(f"An audit is of two members or more; this strategy has {m}.", path="strategy")
    if costs is not None and (len(costs) != m or not all(np.isfinite(c) and c >= 0 for c in costs)):
        raise InvalidInput(f"costs are {m} numbers from 0 on, one for each member; got {list(costs)}.", path="costs")
    groups = len(np.unique(rows.group))
    if groups < FEWEST:
        raise InvalidInput(
            f"An audit needs {FEWEST} independent decisions with a truth or more, half to search and half to check; "
            f"got {groups}. Widen the time, or wait for outcomes.",
            path="since",
        )
    return groups
