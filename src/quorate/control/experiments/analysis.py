"""One look at an experiment: everything that can be said of it at a time, as JSON values. Pure.

The treatments share alpha evenly (Bonferroni), and so do the guard rails, which have an alpha of their own: a false
alarm of a guard rail ends an experiment, and promotes nothing. All intervals hold at every look, unless the method is a
fixed one; see the page on statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.control.experiments import metrics, observations
from quorate.control.experiments.metrics import LATENCY, Quantile
from quorate.control.experiments.observations import Observed, Units
from quorate.control.experiments.registration import Registration
from quorate.core.stats.compare import Comparison, compare
from quorate.core.stats.guard import guard
from quorate.core.stats.missing import ALPHA as MISSING_ALPHA
from quorate.core.stats.missing import missingness
from quorate.core.stats.multiplicity import holm
from quorate.core.stats.sample_ratio import sample_ratio

_STATUS = {"safe": "within", "unacceptable": "harmed", "harmed": "unknown", "open": "unknown"}
_LATER = ("fixed", "group_sequential")
"""Methods that say nothing of a part of the units; segments are compared by ``tuned`` then."""
SEGMENT_LEAST = 20
SEGMENTS_MOST = 50
_NAMES = {"control": "control_value", "treatment": "treatment_value"}


def look(registration: Registration, units: Units, *, at: float, started: float) -> dict[str, Any]:
    """What a look at ``at`` (Unix seconds) sees: counts, the comparisons, what could be wrong, and the verdict."""
    r = registration
    observed = observations.observe(r.metric, units)
    everyone = np.ones(len(units), bool)
    known = observed.known
    body: dict[str, Any] = {
        "arms": list(r.arms),
        "units": dict(zip(r.arms, units.counts(), strict=True)),
        "known": dict(zip(r.arms, units.counts(known), strict=True)),
        "requests": _sums(units, units.requests),
        "mature": dict(zip(r.arms, units.counts(units.first + r.outcome_window_s <= at), strict=True)),
        "costs": _costs(units),
        "excluded": dict(units.excluded),
        "sample_ratio": _plain(sample_ratio(units.counts(), list(r.shares.values()))._asdict()),
        "comparisons": compared(r, units, observed, everyone, alpha=r.stop.alpha / len(r.treatments)),
        "guard_rails": _guard_rails(r, units),
        "missing": _missing(r, units, observed),
        "final": int(known.sum()) >= r.stop.max_units or at >= started + r.stop.max_days * 86_400,
    }
    return body


def _costs(units: Units) -> dict[str, Any]:
    """What an arm's requests took and how they went, by arm: means over its requests, None where there are none."""
    requests = np.bincount(units.arm, units.requests, minlength=len(units.arms))
    numbers = {"latency_ms": units.latency, **{f"{name}_share": share for name, share in units.shares.items()}}
    found: dict[str, Any] = {arm: {} for arm in units.arms}
    for name, values in numbers.items():
        known = ~np.isnan(values)
        total = np.bincount(units.arm[known], (values * units.requests)[known], minlength=len(units.arms))
        for arm, above, below in zip(units.arms, total, requests, strict=True):
            found[arm][name] = float(above / below) if below else None
    return found


def compared(
    r: Registration, units: Units, observed: Observed, which: NDArray[np.bool_], *, alpha: float, part: bool = False
) -> list[dict[str, Any]]:
    """Every treatment against control, among some units; ``part`` says that these are a segment."""
    metric = metrics.statistical(r.metric, binary=units.binary(observed))
    control = units.sample(observed, 0, which, covariate=True)
    found = []
    for i, treatment in enumerate(r.treatments, 1):
        share = r.shares[r.control] + r.shares[treatment]
        result = compare(
            metric,
            control,
            units.sample(observed, i, which, covariate=True),
            alpha=alpha,
            method="tuned" if part and r.stop.method in _LATER else r.stop.method,
            effect=r.minimum_effect,
            fixed_n=max(4, math.ceil(r.stop.max_units * share)),
            looks=r.stop.looks,
        )
        found.append({"treatment": treatment, "alpha": alpha, **comparison(result)})
    return found


def comparison(result: Comparison) -> dict[str, Any]:
    """A comparison as JSON values: what is infinite or not a number is None; the arms' own values are so called."""
    return _named({f.name: getattr(result, f.name) for f in fields(result)})


def _named(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _plain({_NAMES.get(name, name): value for name, value in values.items()})
    return found


def _guard_rails(r: Registration, units: Units) -> list[dict[str, Any]]:
    """Whether a treatment harms what must not get worse: beyond the margin, within it, or not known yet."""
    found = []
    alpha = r.stop.alpha / max(1, len(r.guard_rails) * len(r.treatments))
    everyone = np.ones(len(units), bool)
    for rail in r.guard_rails:
        metric, observed = observations.guarded(rail, units)
        for i, treatment in enumerate(r.treatments, 1):
            control, treated = (units.sample(observed, arm, everyone) for arm in (0, i))
            result = compare(metric, control, treated, alpha=alpha, method="tuned", effect=rail.margin)
            status = _STATUS[guard(result.low, result.high, rail.margin, higher_is_better=rail.higher_is_better)]
            named = {"metric": rail.metric, "title": rail.title, "margin": rail.margin, "treatment": treatment}
            better = "higher" if rail.higher_is_better else "lower"
            found.append({**named, "better": better, "status": status, "alpha": alpha, **comparison(result)})
    return found


def _missing(r: Registration, units: Units, observed: Observed) -> list[dict[str, Any]]:
    """Whether outcomes are missing in one arm more than in the other, which would make what is left no fair sample."""
    if isinstance(r.metric, Quantile) and r.metric.of == LATENCY:
        return []
    assigned, known = units.counts(), units.counts(observed.known)
    found = []
    for i, treatment in enumerate(r.treatments, 1):
        alpha = MISSING_ALPHA / len(r.treatments)
        result = missingness(assigned[0], known[0], assigned[i], known[i], alpha=alpha)
        found.append({"treatment": treatment, "alpha": alpha, **_named(result._asdict())})
    return found


def segments(registration: Registration, units: Units) -> list[dict[str, Any]]:
    """Every treatment against control in every segment; taken once, with the verdict.

    The p-values are adjusted by Holm's method over all segments and treatments, the intervals have alpha over their
    number: what is claimed of any of them is false with probability alpha at most.
    """
    r = registration
    observed = observations.observe(r.metric, units)
    groups = [(key, value, which) for key, value, which in _groups(r, units) if _enough(units, observed, which)]
    number = max(1, len(groups) * len(r.treatments))
    found: list[dict[str, Any]] = []
    for key, value, which in groups:
        for each in compared(r, units, observed, which, alpha=r.stop.alpha / number, part=True):
            found.append({"segment": f"context.{key}", "value": value, **each})
    p_values = [1.0 if each["p_value"] is None else each["p_value"] for each in found]
    for each, adjusted in zip(found, holm(p_values).tolist() if found else [], strict=True):
        each["p_adjusted"] = None if each["p_value"] is None else adjusted
    return found


def _groups(r: Registration, units: Units) -> list[tuple[str, Any, NDArray[np.bool_]]]:
    """The most frequent values of every segment's key, and the units that have them."""
    found = []
    for place, name in enumerate(r.segments):
        values = [json_text(keys[place]) if keys else "null" for keys in units.keys]
        names, counts = np.unique(np.array(values, object).astype(str), return_counts=True)
        column = np.array(values, object).astype(str)
        for value in names[np.argsort(-counts, kind="stable")][:SEGMENTS_MOST]:
            found.append((name.removeprefix("context."), str(value), column == value))
    return found


def json_text(value: Any) -> str:
    """A context value as a segment's name."""
    return "none" if value is None else str(value)


def _enough(units: Units, observed: Observed, which: NDArray[np.bool_]) -> bool:
    return min(units.counts(which & observed.known)) >= SEGMENT_LEAST


def _sums(units: Units, numbers: NDArray[np.float64]) -> dict[str, int]:
    sums = np.bincount(units.arm, numbers, minlength=len(units.arms))
    return {arm: int(total) for arm, total in zip(units.arms, sums, strict=True)}


def _plain(value: Any) -> Any:
    """JSON values: numbers that are infinite or NaN become None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
