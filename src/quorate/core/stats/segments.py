"""The comparison within segments of the units, with their number accounted for.

p-values of all segments are adjusted together (Holm: no false claim; Benjamini-Yekutieli: few among the claims), and a
segment's verdict follows the adjusted one. Its interval is its own, at alpha: it is for looking, the verdict is for
claiming. Segments that were not named before the experiment are for ideas, not for claims.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quorate.core.stats.compare import Comparison, Method, Metric, Sample, compare
from quorate.core.stats.multiplicity import benjamini_yekutieli, holm

Correction = Literal["holm", "benjamini_yekutieli"]


class Segment(NamedTuple):
    """One segment; ``adjusted``: its p-value, accounting for all segments; None where the method has none."""

    name: str
    comparison: Comparison
    adjusted: float | None


def compare_segments(
    metric: Metric,
    control: Sample,
    treatment: Sample,
    control_segments: ArrayLike,
    treatment_segments: ArrayLike,
    *,
    alpha: float = 0.05,
    method: Method = "tuned",
    effect: float | None = None,
    fixed_n: int | None = None,
    correction: Correction = "holm",
) -> list[Segment]:
    """By segment, in order of name; ``*_segments [n]`` name the segment of each unit.

    ``better`` and ``worse`` become ``none_yet`` where the adjusted p-value is above alpha; ``equivalent`` is each
    segment's own. ``fixed_n`` tunes; no segment is called ``futile``. :class:`ValueError` for a method without p-values
    that hold at every look, or names of another number than units.
    """
    if method in ("fixed", "group_sequential"):
        raise ValueError(f"segments need p-values that hold at every look; {method!r} has none: take tuned.")
    sides = [(control, np.asarray(control_segments, str)), (treatment, np.asarray(treatment_segments, str))]
    for sample, names in sides:
        if names.shape != (len(sample),):
            raise ValueError(f"expected the name of a segment per unit, {len(sample)}; got shape {names.shape}.")
    found = []
    for name in sorted({str(name) for _, names in sides for name in names}):
        first, second = (_where(sample, names == name) for sample, names in sides)
        found.append((name, compare(metric, first, second, alpha=alpha, method=method, effect=effect, fixed_n=fixed_n)))
    adjust = {"holm": holm, "benjamini_yekutieli": benjamini_yekutieli}[correction]
    # A segment that is too small to say anything has nothing to claim, and counts all the same.
    adjusted = adjust([1.0 if one.p_value is None else one.p_value for _, one in found]).tolist()
    return [Segment(name, _judged(one, p, alpha), p) for (name, one), p in zip(found, adjusted, strict=True)]


def _judged(comparison: Comparison, adjusted: float, alpha: float) -> Comparison:
    claims = comparison.verdict in ("better", "worse")
    if comparison.verdict == "futile" or (claims and adjusted > alpha):
        return replace(comparison, verdict="none_yet")
    return comparison


def _where(sample: Sample, chosen: NDArray[Any]) -> Sample:
    columns = (sample.denominators, sample.covariates, sample.times)
    return Sample(
        np.asarray(sample.values, np.float64)[chosen], *(None if x is None else np.asarray(x)[chosen] for x in columns)
    )
