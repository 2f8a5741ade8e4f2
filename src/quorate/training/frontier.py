"""What a cascade comes to at every price, beside what there would be without one, on the same rows.

- ``cheapest`` and ``best``: one member alone, as it answers itself;
- ``all``: every member asked for every row, combined by the fitted model;
- ``random``: the first stage, and all the rest for rows drawn at random, as many as cost what the chosen cascade costs;
- ``threshold``: the first stage, and all the rest for rows of which it is less sure than a threshold;
- ``oracle``: knows the truth; asks the cheapest set that is right, and no more than the cheapest where none is.

Intervals of accuracies are Wilson's, 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quorate.core.cascade.evidence import Bools, Floats
from quorate.core.stats.intervals import wilson
from quorate.training.routing import Played, Scene

THRESHOLDS = 12


def frontier(
    where: Scene, played: Played, prices: Floats, chosen: int, alone: Bools, members: Sequence[str], costs: Floats
) -> list[dict[str, Any]]:
    """Points, cheapest first within each kind; ``alone`` bool ``[n, m]`` says what each member gets right itself."""
    n, whole = len(alone), int(where.sets.sum(axis=1).argmax())
    first = _first(where, played, chosen)
    found = _cascade(played, prices, chosen)
    for kind, j in (("cheapest", int(costs.argmin())), ("best", int(alone.mean(axis=0).argmax()))):
        found.append(point(members[j], kind, float(costs[j]) + where.stage, float(alone[:, j].mean()), n))
    every = where.right[whole]
    found.append(point("all", "all", float(where.at_once[whole]), float(every.mean()), n))
    start, base = where.right[first], float(where.at_once[first])
    more = float(where.at_once[whole]) - base + where.stage if first != whole else 0.0
    spent = float(played.mean_cost[chosen])
    share = min(max((spent - base) / more, 0.0), 1.0) if more > 0 else 0.0
    mixed = (1.0 - share) * float(start.mean()) + share * float(every.mean())
    found.append(point(f"{share:.0%} at random", "random", base + share * more, mixed, n))
    if more > 0:
        sure = where.stop[first]
        for level in np.quantile(sure, np.linspace(0.0, 1.0, THRESHOLDS + 2)[1:-1]).tolist():
            asked = sure < level
            right = np.where(asked, every, start).mean()
            cost = base + more * float(asked.mean())
            found.append(point(f"below {level:.3f}", "threshold", cost, float(right), n))
    found.append(_oracle(where, n))
    return found


def point(name: str, kind: str, cost: float, accuracy: float, n: int, *, chosen: bool = False) -> dict[str, Any]:
    """One point of the frontier, with Wilson's interval for ``n`` rows."""
    _, low, high = wilson(round(accuracy * n), n)
    return {
        "name": name, "kind": kind, "cost": cost, "accuracy": accuracy, "low": low, "high": high, "chosen": chosen,
    }  # fmt: skip


def _first(where: Scene, played: Played, chosen: int) -> int:
    """The set that every row begins with at the chosen price: the largest that is in all that were asked."""
    common = where.sets[np.unique(played.final[:, chosen])].all(axis=0)
    inside = np.flatnonzero(~(where.sets & ~common).any(axis=1))
    return int(inside[where.sets[inside].sum(axis=1).argmax()])


def _cascade(played: Played, prices: Floats, chosen: int) -> list[dict[str, Any]]:
    n, found = len(played.right), []
    order = sorted(range(len(prices)), key=lambda at: (played.mean_cost[at], at != chosen))
    last = None
    for at in order:
        here = (round(float(played.mean_cost[at]), 12), float(played.accuracy[at]))
        if here == last and at != chosen:
            continue
        last = here
        name = f"price {prices[at]:.3g}"
        found.append(point(name, "cascade", float(played.mean_cost[at]), here[1], n, chosen=at == chosen))
    return found


def _oracle(where: Scene, n: int) -> dict[str, Any]:
    order = np.argsort(where.at_once, kind="stable")
    right = np.stack([where.right[s] for s in order.tolist()], axis=1)
    ever = right.any(axis=1)
    cost = where.at_once[order[np.where(ever, right.argmax(axis=1), 0)]]
    return point("oracle", "oracle", float(cost.mean()), float(ever.mean()), n)
