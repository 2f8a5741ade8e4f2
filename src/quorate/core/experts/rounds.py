"""Many rounds of the expert layer at a time, where every expert has something to say and is right or wrong.

The same as one round after the other by :mod:`.adahedge` and :mod:`.fixed_share`, with fewer numpy calls each: with
losses 0 and 1 the mix loss of weights w is ``-ln(1 - (w . l) (1 - exp(-eta))) / eta``, and a share only scales those
that were wrong.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import adahedge

Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """What of a layer changes with a round, see :class:`~quorate.core.experts.layer.Layer`."""

    losses: Floats
    gap: float
    shares: Floats
    top_losses: Floats
    top_gap: float
    own: float


def learn(prior: Floats, before: Sums, losses: Floats, eta: Floats, alpha: Floats) -> Sums:
    """After rounds with ``losses`` ``[t, n]``, 0 or 1; ``eta`` and ``alpha`` ``[j]`` are the shares' own."""
    cost, top_cost = adahedge.cost(prior), math.log(len(before.top_losses))
    total, gap, shares, top_gap = before.losses.copy(), before.gap, before.shares, before.top_gap
    above, drawn = before.top_losses.tolist(), before.own
    decay, stay = np.exp(-eta)[:, None], (1.0 - alpha)[:, None]
    dealt, wrong = alpha[:, None] * prior, losses > 0.0
    for i, lost in enumerate(losses):
        own, gap = _hedged(prior, total, lost, gap, cost)
        each = [own, *(shares @ lost).tolist()]
        total += lost
        mine, top_gap = _above(above, each, top_gap, top_cost)
        drawn += mine
        above = [x + y for x, y in zip(above, each, strict=True)]
        shares = np.where(wrong[i], shares * decay, shares)
        shares *= stay / np.add.reduce(shares, axis=1, keepdims=True)
        shares += dealt
        shares /= np.add.reduce(shares, axis=1, keepdims=True)
    return Sums(total, gap, shares, np.array(above), top_gap, drawn)


def _hedged(prior: Floats, total: Floats, lost: Floats, gap: float, cost: float) -> tuple[float, float]:
    """What AdaHedge lost in a round, and its gap after it."""
    behind, noise = total - np.minimum.reduce(total), adahedge.NOISE * float(np.maximum.reduce(total))
    if gap <= noise:
        weights = prior * (behind <= noise)
        own = float(weights @ lost) / float(np.add.reduce(weights))
        return own, gap + max(own - float(np.minimum.reduce(behind + lost)), 0.0)
    eta = cost / gap
    behind *= -eta
    weights = prior * np.exp(behind, out=behind)
    own = float(weights @ lost) / float(np.add.reduce(weights))
    if own >= 1.0:  # all were wrong, and nothing is mixed
        return own, gap
    return own, gap + max(own + math.log1p(own * math.expm1(-eta)) / eta, 0.0)


def _above(total: list[float], lost: list[float], gap: float, cost: float) -> tuple[float, float]:
    """What the AdaHedge over equally likely runs lost in a round, and its gap after it."""
    least, noise = min(total), adahedge.NOISE * max(total)
    if gap <= noise:
        some = [y for x, y in zip(total, lost, strict=True) if x - least <= noise]
        after = min(x + y for x, y in zip(total, lost, strict=True))
        own = sum(some) / len(some)
        return own, gap + max(own - (after - least), 0.0)
    eta = cost / gap
    weights = [math.exp(eta * (least - x)) for x in total]
    whole = sum(weights)
    own = sum(w * y for w, y in zip(weights, lost, strict=True)) / whole
    then = [x + y for x, y in zip(total, lost, strict=True)]
    furthest = min(then)
    after = sum(math.exp(eta * (furthest - x)) for x in then)
    return own, gap + max(own - (furthest - least) + math.log(after / whole) / eta, 0.0)
