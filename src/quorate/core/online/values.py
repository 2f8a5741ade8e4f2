"""Numbers: the experts of the online combiner, their answers to a row, and what an outcome teaches.

Experts, in order: the members; the prior strategy; the median; and for every forgetting rate the combinations of least
variance, from members as if independent to as dependent as they have been. Losses are squared errors. Outcomes teach
in the order in which they are given; each is predicted by what was known before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import layer
from quorate.core.online import gaussian
from quorate.core.online.confusion import RATES, Arrays, Bools, Floats

PRIOR, MEMBERS = 0.5, 0.25
"""Prior weight of the prior strategy, and of all members together; the others have the rest."""
_ROWS, _NUMBERS = 64, 1 << 16
"""Outcomes that are learned from at once at most, and numbers in a covariance of each of them."""


def names(members: tuple[str, ...]) -> tuple[str, ...]:
    """The experts, as reports call them."""
    least = tuple(f"variance {rate:g} {p:g}" for rate in RATES for p in gaussian.INDEPENDENCE)
    return (*members, "prior", "median", *least)


def start(m: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members."""
    others = 1 + len(RATES) * len(gaussian.INDEPENDENCE)
    prior = np.r_[np.full(m, MEMBERS / m), PRIOR, np.full(others, (1.0 - PRIOR - MEMBERS) / others)]
    return gaussian.start(m) | layer.start(prior / prior.sum()).arrays() | {"rows": np.zeros(1)}


def said(arrays: Arrays, values: Floats, ok: Bools, prior: Floats) -> Floats:
    """What the experts answer to ``values`` ``[n, m]`` of members ``ok`` ``[n, m]``, float64 ``[n, e]``; ``prior``
    ``[n]`` is the prior strategy's answer. ``arrays`` may be those before each row, with n in front."""
    whole = ok.all()
    median = np.median(values, axis=1) if whole else np.nanmedian(np.where(ok, values, np.nan), axis=1)
    if whole and "shares" in arrays:
        least = ((values[:, None, :] - arrays["bias"])[:, :, None, :] * arrays["shares"]).sum(axis=3)
        least = least.reshape(len(values), -1)
    else:
        least = gaussian.combined(*gaussian.moments(arrays), values, ok)
    return np.concatenate([np.where(ok, values, 0.0), prior[:, None], median[:, None], least], axis=1)


def awake(ok: Bools, experts: int) -> Bools:
    """Which experts have something to say, ``[n, e]``: the members that answered, and all others."""
    found = np.ones((len(ok), experts), bool)
    found[:, : ok.shape[1]] = ok
    return found


def answer(arrays: Arrays, values: Floats, ok: Bools, prior: Floats) -> Floats:
    """The experts' weighted mean, float64 ``[n]``."""
    told = said(arrays, values, ok, prior)
    if ok.all():
        return told @ arrays["weights"]
    weights = layer.weights(arrays["runs"], arrays["top"], awake(ok, told.shape[1]))
    found: Floats = (told * weights).sum(axis=1)
    return found


def learn(arrays: dict[str, NDArray[Any]], values: Floats, ok: Bools, prior: Floats, truths: Floats) -> None:
    """Put what outcomes teach in the place of what is in ``arrays``: rows ``[n, m]`` and their numbers ``[n]``."""
    arrays.pop("shares", None)  # of what was known before
    m = values.shape[1]
    step = max(1, min(_ROWS, _NUMBERS // (m * m)))
    for first in range(0, len(values), step):
        rows = slice(first, first + step)
        before = gaussian.count(arrays, values[rows], ok[rows], truths[rows])
        told = said(before, values[rows], ok[rows], prior[rows])
        who, now = awake(ok[rows], told.shape[1]), layer.Layer.of(arrays)
        for each, truth, some in zip(told, truths[rows].tolist(), who, strict=True):
            now = layer.learn_square(now, each, truth, some)
        arrays |= now.arrays()
    arrays["rows"] = arrays["rows"] + len(values)


def publish(arrays: dict[str, NDArray[Any]]) -> None:
    """What :func:`answer` would else compute for every request."""
    bias, covariances = gaussian.moments(arrays)
    arrays["bias"], arrays["shares"] = bias, gaussian.shares(covariances)
