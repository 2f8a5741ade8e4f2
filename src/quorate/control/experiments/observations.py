"""What was gathered, per unit: numbers in arrays, ready to be compared between arms.

A unit is a request, or with sticky assignment everything of one value of the context key. Its value is the mean over
its decisions for which the metric is known, so that every unit counts once; a ratio has the sums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.control.experiments import metrics
from quorate.control.experiments.metrics import Quantile, Ratio, Weighted
from quorate.control.experiments.registration import GuardRail, Registration
from quorate.core.stats.metric import Metric, Sample
from quorate.store import experiments as store
from quorate.store.experiments import Exposure, Value

Floats = NDArray[np.float64]
CALLER, NO_UNIT, SEVERAL_ARMS = "chosen by the caller", "without a unit", "units in several arms"


@dataclass(slots=True)
class Observed:
    """What is known of one number of each unit: NaN where it is not; ``at`` is since when (Unix seconds)."""

    values: Floats
    at: Floats
    denominators: Floats | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Of which units."""
        return ~np.isnan(self.values)


@dataclass(slots=True)
class Units:
    """The units of an experiment, in the order in which they came: arrays ``[n]``.

    ``names`` are the units' own (a request's is its decision), ``arm`` is an index into ``arms``; ``shares`` of its
    requests had an error, were degraded or fell back; ``keys`` are the context values that were registered (of the
    unit's first request), ``covariate`` NaN where unknown. ``excluded`` counts requests that are no part of this.
    """

    arms: tuple[str, ...]
    names: Sequence[str]
    arm: NDArray[np.int64]
    first: Floats
    requests: Floats
    shares: Mapping[str, Floats]
    latency: Floats
    components: Mapping[str, tuple[Floats, Floats, Floats, Floats]]
    keys: Sequence[tuple[Any, ...]]
    covariate: Floats | None
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arm)

    def counts(self, which: NDArray[np.bool_] | None = None) -> list[int]:
        """How many units each arm has."""
        chosen = self.arm if which is None else self.arm[which]
        return [int(n) for n in np.bincount(chosen, minlength=len(self.arms))]

    def binary(self, observed: Observed) -> bool:
        """Whether all that is known is 0 or 1."""
        values = observed.values[observed.known]
        return bool(((values == 0) | (values == 1)).all())

    def sample(self, observed: Observed, arm: int, which: NDArray[np.bool_], *, covariate: bool = False) -> Sample:
        """The units of one arm among ``which`` whose value is known, in the order in which it became known."""
        at = np.flatnonzero(which & (self.arm == arm) & observed.known)
        at = at[np.argsort(observed.at[at], kind="stable")]
        more = None if not covariate or self.covariate is None else self.covariate[at]
        below = None if observed.denominators is None else observed.denominators[at]
        return Sample(observed.values[at], below, more, observed.at[at])


def load(connection: sa.Connection, experiment_id: str, registration: Registration, until: float) -> Units:
    """The units of an experiment as they were known at ``until`` (Unix seconds)."""
    exposures = store.exposures(connection, experiment_id, until)
    values = store.values(connection, experiment_id, until)
    before = store.covariates(connection, experiment_id) if registration.covariate is not None else {}
    return group(registration, exposures, values, before)


def group(
    registration: Registration,
    exposures: Sequence[Exposure],
    values: Sequence[Value],
    covariates: Mapping[str, float] | None = None,
) -> Units:
    """Exposures (in the order they arrived) and values, by unit."""
    arms, sticky = registration.arms, registration.sticky is not None
    excluded = {CALLER: 0, NO_UNIT: 0, SEVERAL_ARMS: 0}
    numbers: dict[str, int] = {}
    place: list[int] = []
    kept: list[Exposure] = []
    for e in exposures:
        if e.source == "caller" or e.arm not in arms:
            excluded[CALLER] += 1
        elif sticky and e.unit is None:
            excluded[NO_UNIT] += 1
        else:
            name = e.unit if sticky and e.unit is not None else e.decision
            place.append(numbers.setdefault(name, len(numbers)))
            kept.append(e)
    n, at = len(numbers), np.array(place, np.int64)
    arm_of = np.array([arms.index(e.arm) for e in kept], np.int64)
    arm = np.zeros(n, np.int64)
    arm[at[::-1]] = arm_of[::-1]  # of several, the first counts
    torn = np.zeros(n, bool)
    torn[at[arm[at] != arm_of]] = True
    excluded[SEVERAL_ARMS] = int(torn.sum())
    firsts = np.full(n, -1, np.int64)
    firsts[at[::-1]] = np.arange(len(kept))[::-1]
    requests = np.bincount(at, minlength=n).astype(np.float64)
    flags = {name: np.array([getattr(e, name) for e in kept], np.float64) for name in ("error", "degraded", "fallback")}
    latency = np.array([np.nan if e.latency_ms is None else e.latency_ms for e in kept], np.float64)
    units = Units(
        arms=arms,
        names=list(numbers),
        arm=arm,
        first=np.array([kept[i].arrived for i in firsts], np.float64),
        requests=requests,
        shares={name: np.bincount(at, flag, minlength=n) / np.maximum(requests, 1) for name, flag in flags.items()},
        latency=_mean(at, latency, n),
        components=_components(registration, [e.decision for e in kept], at, values, n),
        keys=[tuple(json.loads(kept[i].keys or "null") or ()) for i in firsts],
        covariate=None,
        excluded={reason: count for reason, count in excluded.items() if count},
    )
    units.covariate = _covariate(registration, units, covariates or {})
    return _without(units, torn) if torn.any() else units


def _mean(at: NDArray[np.int64], values: Floats, n: int) -> Floats:
    present = ~np.isnan(values)
    total = np.bincount(at[present], values[present], minlength=n)
    number = np.bincount(at[present], minlength=n)
    with np.errstate(invalid="ignore"):
        mean: Floats = total / np.where(number, number, np.nan)
    return mean


def _components(
    registration: Registration, decisions: Sequence[str], at: NDArray[np.int64], values: Sequence[Value], n: int
) -> dict[str, tuple[Floats, Floats, Floats, Floats]]:
    """By component: how many of the unit's decisions have it, the sum of their means, of their totals, since when."""
    index = {decision: int(unit) for decision, unit in zip(decisions, at, strict=True)}
    found = {}
    for name in registration.components:
        mine = [
            (index[v.decision], v.number, v.total, v.at) for v in values if v.metric == name and v.decision in index
        ]
        table = np.array(mine, np.float64).reshape(-1, 4)
        unit, number, total, since = table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3]
        known = np.full(n, np.inf)
        np.minimum.at(known, unit, since)
        means = np.bincount(unit, total / number, minlength=n).astype(np.float64)
        found[name] = (
            np.bincount(unit, minlength=n).astype(np.float64),
            means,
            np.bincount(unit, total, minlength=n).astype(np.float64),
            known,
        )
    return found


def _covariate(registration: Registration, units: Units, before: Mapping[str, float]) -> Floats | None:
    if registration.covariate is None:
        return None
    if not isinstance(registration.covariate, str):
        return np.array([before.get(name, np.nan) for name in units.names], np.float64)
    place = len(registration.keys) - 1
    return np.array([_number(keys[place]) if keys else np.nan for keys in units.keys], np.float64)


def _number(value: Any) -> float:
    usable = isinstance(value, int | float) and np.isfinite(value)
    return float(value) if usable else np.nan


def _without(units: Units, torn: NDArray[np.bool_]) -> Units:
    stay = ~torn
    return Units(
        arms=units.arms,
        names=[name for name, good in zip(units.names, stay, strict=True) if good],
        arm=units.arm[stay],
        first=units.first[stay],
        requests=units.requests[stay],
        shares={name: share[stay] for name, share in units.shares.items()},
        latency=units.latency[stay],
        components={
            name: (parts[0][stay], parts[1][stay], parts[2][stay], parts[3][stay])
            for name, parts in units.components.items()
        },
        keys=[keys for keys, good in zip(units.keys, stay, strict=True) if good],
        covariate=None if units.covariate is None else units.covariate[stay],
        excluded=units.excluded,
    )


def observe(metric: Any, units: Units) -> Observed:
    """The registered metric of every unit."""
    if isinstance(metric, Ratio):
        above, below = (units.components[metrics.reward(name)] for name in (metric.numerator, metric.denominator))
        known = (above[0] > 0) & (below[0] > 0)
        at = np.maximum(above[3], below[3])
        return Observed(np.where(known, above[2], np.nan), at, np.where(known, below[2], np.nan))
    if isinstance(metric, Weighted):
        parts = [(part.weight, observe(part.metric, units)) for part in metric.parts]
        at = np.max([part.at for _, part in parts], axis=0)
        return Observed(np.sum([weight * part.values for weight, part in parts], axis=0), at)
    if isinstance(metric, Quantile):
        return _latency(units) if metric.of == metrics.LATENCY else _single(metrics.reward(metric.of), units)
    return _single(metrics.component(metric), units)


def _single(component: str, units: Units) -> Observed:
    decisions, means, totals, at = units.components[component]
    sums = totals if component == metrics.VALUE else means  # the value of a request is that of all its rows
    with np.errstate(invalid="ignore"):
        return Observed(sums / np.where(decisions > 0, decisions, np.nan), at)


def _latency(units: Units) -> Observed:
    return Observed(units.latency, units.first)


def guarded(rail: GuardRail, units: Units) -> tuple[Metric, Observed]:
    """A guard rail's number of every unit, and what kind of metric it is."""
    if rail.metric == "reward":
        observed = _single(metrics.reward(rail.reward or ""), units)
    elif rail.metric == "latency":
        observed = _latency(units)
    else:
        name = "error" if rail.metric == "error_rate" else rail.metric
        observed = Observed(units.shares[name], units.first)
    higher = rail.higher_is_better
    if rail.q is not None:
        return Metric("quantile", rail.title, higher, q=rail.q), observed
    share = rail.metric in ("error_rate", "degraded", "fallback")
    if share and units.binary(observed):
        return Metric("binary", rail.title, higher), observed
    return Metric("mean", rail.title, higher, *((0.0, 1.0) if share else ())), observed
