"""Which members can go: a search by backward elimination on one half of the rows, and its check on the other half.

*Search*: from the whole pool, again and again the member whose leaving costs least goes. Of members that are within one
standard error of that one the costliest goes, then the one that is worst alone: of two near copies it is the dearer.
It goes on until one is left, also past pools that are worse (of several copies the first to leave may unbalance the
others), and what counts is the way up to the last pool that is not worse than the best one before it by more than the
margin and a standard error.

*Check*: on the other half every pool on the way is compared with the whole one, with the one before it, and, once
beyond it, with the pool that was best on the first half: what a harmful member's leaving gains is not to be spent on
losing a useful one. All these intervals hold together, so whichever pool is chosen by them, its own is valid. The
recommended pool is the smallest that loses no more than the margin, against the whole and against the best one, by the
lower limits: the probability of recommending one that loses more is at most half of ``1 - level``, over the search.

References: S. Wellek, "Testing statistical hypotheses of equivalence and noninferiority", 2nd edition, 2010; L.
Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and regression trees", 1984, 3.4.3 (one standard error).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quorate.core.audit.game import Game, bits
from quorate.core.audit.metrics import ACCURACY
from quorate.core.audit.together import Array, standard_error, together
from quorate.core.stats.influence import Estimate

_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Leaving:
    """One step of the search: ``member`` goes and ``pool`` is left; ``gain`` is over the whole pool, searched rows."""

    member: int
    pool: int
    gain: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A step on the rows that the search did not see: the ``value`` of the pool that is left, and what it gains over
    the whole pool, over the pool before, and over the pool that was best in the search (None up to that one).
    ``holds``: it loses no more than the margin."""

    step: Leaving
    value: Estimate
    gain: Estimate
    by_step: Estimate
    over_best: Estimate | None
    holds: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ``whole`` pool's value, every step, and the first ``dropped`` of them, which are recommended."""

    whole: Estimate
    steps: tuple[Checked, ...]
    dropped: int


def halves(group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows ``[n]`` are searched: half of the groups, drawn."""
    _, places = np.unique(group, return_inverse=True)
    places = places.reshape(-1)
    count = int(places.max()) + 1 if len(places) else 0
    chosen = np.zeros(count, bool)
    chosen[rng.permutation(count)[: (count + 1) // 2]] = True
    found: NDArray[np.bool_] = chosen[places]
    return found


def search(game: Game, margin: float, costs: Sequence[float] | None = None) -> list[Leaving]:
    """The order in which members leave, as far as the search goes; at least one member stays."""
    group = game.rows.group
    alone = [game.value(1 << j) for j in range(game.members)]
    pool = best = game.whole
    found: list[Leaving] = []
    reached = 0
    while pool.bit_count() > 1:
        left = {j: pool & ~(1 << j) for j in bits(pool)}
        top = max(left, key=lambda j: game.value(left[j]))
        near = [j for j in left if _near(game, left[top], left[j], group)]
        gone = min(near, key=lambda j: (-(costs[j] if costs else 0.0), alone[j], -j))
        pool = left[gone]
        found.append(Leaving(gone, pool, game.value(pool) - game.value(game.whole)))
        behind = game.worth(best) - game.worth(pool)
        if float(behind.mean()) <= margin + standard_error(behind, group):
            reached = len(found)
        if game.value(pool) > game.value(best):
            best = pool
    return found[:reached]


def _near(game: Game, best: int, other: int, group: NDArray[np.int64]) -> bool:
    behind = game.worth(best) - game.worth(other)
    return bool(behind.mean() <= standard_error(behind, group) + _TIE)


def check(
    game: Game, steps: Sequence[Leaving], margin: float, rng: np.random.Generator, *, level: float = 0.95
) -> Outcome:
    """The steps of a search on rows that it did not see."""
    pools = [game.whole, *(step.pool for step in steps)]
    best = max(range(len(pools)), key=lambda t: (0.0 if t == 0 else steps[t - 1].gain, -t))
    worths = [game.worth(pool) for pool in pools]
    columns = [
        *worths,
        *(each - worths[0] for each in worths[1:]),
        *(after - before for before, after in pairwise(worths)),
        *(each - worths[best] for each in worths[best + 1 :]),
    ]
    found = together(
        np.stack(columns, axis=1), game.rows.group, rng, level=level, least=least(game.metric, columns[len(pools) :])
    )
    r = len(steps)
    values, rest = found[: r + 1], found[r + 1 :]
    gains, by_step = rest[:r], rest[r : 2 * r]
    over: list[Estimate | None] = [None] * best + [*rest[2 * r :]]
    made = tuple(
        Checked(steps[t], values[t + 1], gains[t], by_step[t], over[t], _holds(margin, gains[t], over[t]))
        for t in range(r)
    )
    return Outcome(values[0], made, max((t + 1 for t in range(r) if made[t].holds), default=0))


def _holds(margin: float, *gains: Estimate | None) -> bool:
    return all(gain is None or gain.low >= -margin for gain in gains)


def least(metric: str, columns: Sequence[Array]) -> float:
    """What a row that was not seen could change: 1 of accuracies, else as much as any row did."""
    if metric == ACCURACY:
        return 1.0
    return max((float(np.abs(each).max()) for each in columns if len(each)), default=0.0)
