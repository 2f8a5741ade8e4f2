"""Fixed share: exponential weights of which a part is dealt out anew each round, so that a new best expert is found.

``v_e ~ w_e exp(-eta l_e)``, then ``w_e = (1 - alpha) v_e + alpha p_e`` with p the prior.

Bounds, for every sequence of experts that changes S times in T rounds, with a = the sum over its S + 1 stretches of
``ln(1 / p_e)``, plus ``S ln(1 / alpha) + (T - S - 1) ln(1 / (1 - alpha))``:

- losses in [0, 1], own loss ``w . l``: at most ``a / eta + eta T / 8`` more than the sequence;
- squared error of the weighted mean with ``|x_e - y| <= D`` and ``eta = 1 / (2 D^2)``: at most ``2 D^2 a`` more.

The rate of switching need not be known: several shares run beside each other, and AdaHedge chooses among them
(:mod:`quorate.core.experts.layer`).

References: M. Herbster, M. Warmuth, "Tracking the best expert", Machine Learning 32, 1998; N. Cesa-Bianchi, G. Lugosi,
*Prediction, Learning, and Games*, 2006, Theorem 5.2; O. Bousquet, M. Warmuth, "Tracking a small set of experts by
mixing past posteriors", JMLR 3, 2002.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def after(
    shares: Floats, losses: Floats, awake: NDArray[np.bool_], eta: Floats, alpha: Floats, prior: Floats
) -> Floats:
    """Weights float64 ``[j, n]`` of j runs with ``eta`` and ``alpha`` ``[j]``, after a round with ``losses`` ``[n]``.

    Experts that are not awake keep their weight before the share, as if they had lost what the others did together.
    """
    kept = np.where(awake, shares * np.exp(-eta[:, None] * (losses - losses[awake].min())), 0.0)
    total = kept.sum(axis=1, keepdims=True)
    mass = np.where(awake, shares, 0.0).sum(axis=1, keepdims=True)
    kept = np.where(awake, kept * (mass / np.maximum(total, 1e-300)), shares)
    found: Floats = (1.0 - alpha[:, None]) * kept + alpha[:, None] * prior
    found /= found.sum(axis=1, keepdims=True)
    return found


def tuned(horizons: Floats, c: float) -> tuple[Floats, Floats]:
    """Learning rates and shares for losses in [0, 1] whose best expert stays about so many rounds, ``[j]`` each.

    The rate makes the two parts of the bound equal for one stretch: ``sqrt(8 (c + ln h + 1) / h)``.
    """
    return np.sqrt(8.0 * (c + np.log(horizons) + 1.0) / horizons), 1.0 / horizons


def price(stretches: Floats, rounds: int, alpha: float) -> float:
    """The ``a`` above; ``stretches`` are the ``ln(1 / p_e)`` of the sequence's experts, one a stretch.

    >>> round(price(np.log([2.0, 2.0]), 100, 0.01), 3)
    6.976
    """
    switches = len(stretches) - 1
    stay = rounds - switches - 1
    return float(stretches.sum()) + switches * math.log(1.0 / alpha) - stay * math.log1p(-alpha)


def bound(stretches: Floats, rounds: int, eta: float, alpha: float) -> float:
    """How much more drawing by the weights loses at most than a sequence of experts, losses in [0, 1]."""
    return price(stretches, rounds, alpha) / eta + eta * rounds / 8.0
