"""AdaHedge: exponential weights whose learning rate follows from how hard the losses have been, with nothing to tune.

With prior weights ``p_e`` and cumulative losses ``L_e``: ``w_e ~ p_e exp(-eta L_e)`` and ``eta = c / gap``, where
``c = ln(1 / min p)`` and ``gap`` is the sum of the mixability gaps: of each round's own loss less its mix loss
``-ln(sum_e w_e exp(-eta l_e)) / eta``, where that is positive.

Bounds. Mix losses sum to at most ``L_e + ln(1 / p_e) / eta`` (de Rooij et al., Lemma 2), so that for every expert e,
whatever the losses are, **own loss - L_e <= gap (1 + ln(1 / p_e) / c) <= 2 gap**: the state knows its own bound.

- Own loss ``w . l`` (drawing an expert), losses in [0, 1]:
  ``2 gap <= 2 sqrt(c L (T - L) / T) + 16/3 c + 2`` with L the least loss after T rounds (Theorem 8).
- Own loss of the weighted mean ``(w . x - y)^2``, with ``|x_e - y| <= D``: the gap grows only while
  ``eta > 1 / (2 D^2)``, by at most D^2 at once, so ``2 gap <= 4 D^2 c + 2 D^2``, however many rounds; D need not be
  known (the loss is 1 / (2 D^2)-exp-concave: Kivinen and Warmuth 1999).

References: S. de Rooij, T. van Erven, P. Grunwald, W. Koolen, "Follow the leader if you can, hedge if you must", JMLR
15, 2014; J. Kivinen, M. Warmuth, "Averaging expert predictions", EuroCOLT 1999.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NOISE = 1e-12
"""Of the greatest loss: what differs by less is equal, or rounding would choose among leaders."""


def weights(prior: Floats, losses: Floats, gap: float) -> Floats:
    """Weights float64 ``[n]`` after cumulative ``losses`` ``[n]``; with gap 0 the prior's share of the leaders.

    >>> weights(np.array([0.5, 0.5]), np.array([3.0, 1.0]), 0.0).tolist()
    [0.0, 1.0]
    """
    behind, noise = losses - losses.min(), NOISE * float(losses.max())
    found: Floats = prior * ((behind <= noise) if gap <= noise else np.exp(-rate(prior, gap) * behind))
    found /= np.add.reduce(found)
    return found


def rate(prior: Floats, gap: float) -> float:
    """The learning rate ``ln(1 / min p) / gap``; infinite while the gap is 0."""
    return cost(prior) / gap if gap > 0.0 and len(prior) > 1 else math.inf


def cost(prior: Floats) -> float:
    """``c = ln(1 / min p)``; 0 where there is but one expert."""
    return math.log(1.0 / float(prior.min()))


def after(prior: Floats, before: Floats, losses: Floats, own: float, gap: float) -> float:
    """The gap after a round in which experts with cumulative losses ``before`` ``[n]`` lost ``losses`` ``[n]`` and the
    mixture ``own``."""
    eta, then = rate(prior, gap if gap > NOISE * float(before.max()) else 0.0), before + losses
    mixed = _mixed(prior, then, eta) - _mixed(prior, before, eta)
    return gap + max(own - mixed, 0.0)


def _mixed(prior: Floats, losses: Floats, eta: float) -> float:
    """``-ln(sum p exp(-eta L)) / eta``; for an infinite rate the least L."""
    least = float(losses.min())
    if math.isinf(eta):
        return least
    return least - math.log(float(prior @ np.exp(-eta * (losses - least)))) / eta


def bound(c: float, least: float, rounds: float) -> float:
    """How much more than the best expert's ``least`` losses in [0, 1] drawing by the weights loses at most.

    >>> round(bound(math.log(10), 100, 1000), 1)
    43.1
    """
    return 2.0 * math.sqrt(c * least * max(rounds - least, 0.0) / max(rounds, 1.0)) + 16.0 / 3.0 * c + 2.0


def square_bound(c: float, furthest: float) -> float:
    """The same of the weighted mean's squared errors, where no expert was ever further off than ``furthest``."""
    return (4.0 * c + 2.0) * furthest * furthest
