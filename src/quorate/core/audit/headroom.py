"""How much a perfect choice among the members would be worth: an oracle that always takes the member that is best.

Of accuracy it is right wherever any member is. The best single member is the best of the searched rows, so that on the
rows of the check nothing favours it. No combination need reach the oracle: it is a bound for choosing, not for mixing.

Reference: L. Kuncheva, "A theoretical study on six classifier fusion strategies", IEEE TPAMI 24(2), 2002 (oracle).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quorate.core.audit.game import Game
from quorate.core.audit.metrics import ACCURACY, MACRO_F1, Array, contributions
from quorate.core.audit.together import together
from quorate.core.stats.influence import Estimate


@dataclass(frozen=True, slots=True)
class Headroom:
    """Values (higher is better) of the oracle, the ``best`` single member (its place) and the whole pool, and what the
    oracle is ahead of them; all intervals hold together."""

    best_member: int
    oracle: Estimate
    best: Estimate
    ensemble: Estimate
    over_best: Estimate
    over_ensemble: Estimate


def headroom(searched: Game, checked: Game, rng: np.random.Generator, *, level: float = 0.95) -> Headroom:
    """On the rows of ``checked``; the best member is that of ``searched``."""
    best = max(range(searched.members), key=lambda j: (searched.value(1 << j), -j))
    oracle, alone, whole = _oracle(checked), checked.worth(1 << best), checked.worth(checked.whole)
    columns = np.stack([oracle, alone, whole, oracle - alone, oracle - whole], axis=1)
    return Headroom(best, *together(columns, checked.rows.group, rng, level=level))


def _oracle(game: Game) -> Array:
    if game.metric not in (ACCURACY, MACRO_F1):
        best: Array = np.max([game.worth(1 << j) for j in range(game.members)], axis=0)
        return best
    answers = [game.answers(1 << j) for j in range(game.members)]
    found = answers[0].copy()
    for each in answers:
        right = each.argmax(axis=1) == game.rows.truth
        found[right] = each[right]
    return contributions(game.metric, found, game.rows.truth)
