"""Fit dynamic selection: the reference rows, what every member got right on them, and META-DES's meta-model.

The outputs must be of members that have not seen the rows (out-of-fold, or a held-out part): on their own training rows
all members look competent, the more so the more they overfit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import INPUT, OUTPUTS, VERSION, Region, profiles_of, standardised
from quorate.core.combine.meta_des import binned, evidence
from quorate.core.combine.neighbours import Matrix, nearest, squared_norms
from quorate.core.types import FloatArray, State
from quorate.errors import InvalidInput
from quorate.training.fitters import check_classes

METHODS = ("knora-e", "knora-u", "des-p", "ola", "meta-des")
NEIGHBOURS, SIMILAR = 7, 5
"""The defaults of k and k_p, which are those of DESlib."""

_ROWS = 1024


def fit_dynamic(
    method: str,
    features: FloatArray | None,
    outputs: FloatArray,
    y: NDArray[np.integer[Any]],
    members: Sequence[str],
    classes: Sequence[str],
    *,
    k: int = NEIGHBOURS,
    kp: int = SIMILAR,
    space: Literal["input", "outputs"] = "input",
    scale: bool = True,
) -> State:
    """The state of one of :data:`METHODS` from reference rows.

    ``features`` ``[n, d]`` are the rows as the members get them (None in the space of outputs), ``outputs`` float32
    ``[n, m, K]`` the members' scores there, ``y`` true class indices ``[n]``. ``k`` is the size of a region, ``kp`` the
    number of rows with similar outputs (``meta-des``). ``scale`` gives every feature a standard deviation of 1 on the
    reference and keeps it in single precision; without, features are taken as they are, in double precision.
    :class:`InvalidInput` if the shapes do not fit, an output is not finite, or there are too few rows for k.
    """
    if method not in METHODS:
        raise InvalidInput(f"There is no method '{method}'; expected one of {', '.join(METHODS)}.", path="method")
    check_classes(outputs, y, members, len(classes))
    least = max(k, kp) + 1 if method == "meta-des" else k
    if k < 1 or kp < 1 or len(outputs) < least:
        raise InvalidInput(
            f"k and kp must be at least 1 and leave {least} reference rows; got k {k}, kp {kp}, {len(outputs)} rows.",
            path="k",
        )
    meta: dict[str, Any] = {"members": list(members), "classes": list(classes), "k": k, "space": space, "features": 0}
    arrays: dict[str, NDArray[Any]] = {"hits": (outputs.argmax(axis=2) == y[:, None]).astype(np.uint8)}
    if space == INPUT:
        arrays |= _reference(features, len(outputs), scale=scale)
        meta["features"] = arrays["reference"].shape[1]
    if space == OUTPUTS or method == "meta-des":
        arrays["profiles"] = profiles_of(outputs)
        arrays["profile_norms"] = squared_norms(arrays["profiles"])
    if method == "meta-des":
        meta["kp"] = kp
        arrays["supports"] = binned(outputs[np.arange(len(y)), :, y])
        arrays |= _meta_model(outputs, arrays, k, kp, space)
    return State(method, VERSION, meta, arrays)


def _reference(features: FloatArray | None, rows: int, *, scale: bool) -> dict[str, NDArray[Any]]:
    if features is None or features.ndim != 2 or len(features) != rows or not features.shape[1]:
        got = "none" if features is None else str(list(features.shape))
        raise InvalidInput(
            f"expected features [{rows}, d], one row for each of the outputs; got {got}.", path="features"
        )
    values = features.astype(np.float64)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    arrays: dict[str, NDArray[Any]] = {
        "centre": mean if scale else np.zeros_like(mean),
        "scale": np.where(spread > 0, spread, 1.0) if scale else np.ones_like(mean),
        "fill": np.zeros_like(mean) if scale else mean,
        "reference": np.empty(0, np.float32 if scale else np.float64),
    }
    arrays["reference"] = np.ascontiguousarray(standardised(values, arrays))
    arrays["norms"] = squared_norms(arrays["reference"])
    return arrays


def _meta_model(
    outputs: FloatArray, arrays: dict[str, NDArray[Any]], k: int, kp: int, space: str
) -> dict[str, NDArray[np.float64]]:
    """Multinomial naive Bayes with add-one smoothing, as log-odds: one example for every row and member."""
    hits = arrays["hits"]
    counts = np.zeros((2, 2 * k + kp + 2))
    regions = _others(arrays["reference"], arrays["norms"], k) if space == INPUT else None
    similar = _others(arrays["profiles"], arrays["profile_norms"], max(k, kp))
    for rows in _parts(len(outputs)):
        near = similar[rows, :k] if regions is None else regions[rows]
        region = Region(hits[near], near, outputs[rows], np.ones((len(near), hits.shape[1]), bool))
        bins = evidence(region, arrays["supports"][near], hits[similar[rows, :kp]]).astype(np.float64)
        for right in (0, 1):
            counts[right] += np.einsum("nfm,nm->f", bins, hits[rows] == right)
    prior = np.bincount(hits.reshape(-1), minlength=2).astype(np.float64)
    if not prior.all():  # nothing to tell apart: nobody is more competent than others
        return {"coefficients": np.zeros(counts.shape[1]), "intercept": np.zeros(1)}
    logs = np.log(counts + 1.0) - np.log((counts + 1.0).sum(axis=1, keepdims=True))
    return {"coefficients": logs[1] - logs[0], "intercept": np.log(prior[1:] / prior[:1])}


def _others(points: Matrix, norms: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """The ``k`` nearest of every row among the others, int ``[r, k]``."""
    found, _ = nearest(points, points, norms, k + 1)
    itself = found == np.arange(len(points))[:, None]
    itself[:, -1] |= ~itself.any(axis=1)  # one with k equals before it: the last goes
    others: NDArray[np.intp] = found[~itself].reshape(len(points), k)
    return others


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))
