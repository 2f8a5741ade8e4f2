"""Sample ratio mismatch: do the arms have the shares of units that they were meant to have? Sequential.

The evidence is the ratio of two probabilities of the counts: under shares drawn from a Dirichlet around the meant
ones, and under the meant ones. It is a martingale if the shares are as meant, so it reaches ``1 / alpha`` at some time
with probability at most alpha, however often one looks. The Dirichlet's strength says how small a fault is looked for.
Nine tenths of the evidence look for a share that is off by about one part in a hundred; the last tenth is that of a
weak Dirichlet, which sees an arm that gets no units after a few.

Reference: M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ALPHA = 0.001
STRENGTH = 3000.0
GROSS = 20.0
FINE_SHARE = 0.9


class SampleRatio(NamedTuple):
    """``shares``: as seen ``[k]``. ``p_value`` is valid at every look. ``mismatch``: ``p_value <= alpha``."""

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    shares: tuple[float, ...]
    e_value: float
    p_value: float
    mismatch: bool


def sample_ratio(
    counts: ArrayLike, weights: ArrayLike, *, alpha: float = ALPHA, strength: float = STRENGTH
) -> SampleRatio:
    """Of the counts ``[k]`` of units *assigned* to each arm, and the weights ``[k]`` by which they were to be assigned.

    A mismatch once seen stays one: the caller keeps it, since later units can thin it out. Without units the shares are
    NaN and nothing is claimed. An arm of weight 0 that has a unit is a mismatch with p 0. :class:`ValueError` for
    fewer than two arms, negative or fractional counts, weights that are negative, not finite or all 0.
    """
    counted, weighted = np.asarray(counts, np.float64), np.asarray(weights, np.float64)
    if counted.ndim != 1 or len(counted) < 2 or counted.shape != weighted.shape:
        raise ValueError(
            f"expected one count and one weight per arm, two arms at least; got {counted.shape} and {weighted.shape}."
        )
    if not (np.isfinite(counted) & (counted >= 0) & (counted == np.floor(counted))).all():
        raise ValueError("counts of units are whole numbers >= 0.")
    if not (np.isfinite(weighted) & (weighted >= 0)).all() or weighted.sum() == 0:
        raise ValueError("weights are finite numbers >= 0, and not all 0.")
    if not 0.0 < alpha < 1.0 or not strength > 0:
        raise ValueError(f"alpha lies between 0 and 1 and strength above 0; got {alpha} and {strength}.")
    expected = weighted / weighted.sum()
    total = counted.sum()
    shares = counted / total if total else np.full(len(counted), np.nan)
    used = expected > 0
    strays = (counted[~used] > 0).any()
    log_e = np.inf if strays else float(log_evidence(counted[used], expected[used], strength))
    with np.errstate(over="ignore"):
        e, p = float(np.exp(log_e)), float(min(1.0, np.exp(-log_e)))
    return SampleRatio(
        tuple(int(count) for count in counted), tuple(expected.tolist()), tuple(shares.tolist()), e, p, p <= alpha
    )


def log_evidence(counts: ArrayLike, expected: ArrayLike, strength: float = STRENGTH) -> Floats:
    """Log of the e-value of counts ``[…, k]`` against the shares ``expected [k]``, all above 0, as ``[…]``."""
    fine, gross = dirichlet(counts, expected, strength), dirichlet(counts, expected, GROSS)
    return np.asarray(np.logaddexp(fine + math.log(FINE_SHARE), gross + math.log(1 - FINE_SHARE)))


def dirichlet(counts: ArrayLike, expected: ArrayLike, strength: float) -> Floats:
    """Log of the ratio of both probabilities of counts ``[…, k]``, for one strength, as ``[…]``."""
    from scipy.special import gammaln

    counts, prior = np.asarray(counts, np.float64), strength * np.asarray(expected, np.float64)
    moved = (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1)
    total = gammaln(strength + counts.sum(axis=-1)) - gammaln(strength)
    return np.asarray(moved - total - counts @ np.log(np.asarray(expected, np.float64)))
