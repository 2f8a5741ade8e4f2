"""How large an experiment must be and how long it takes, from the endpoint's own traffic; and whether its method would
find differences there where none are (A/A)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from quorate.codecs.lookup import JournalReader
from quorate.control.experiments import metrics
from quorate.control.experiments.gathering import Running
from quorate.control.experiments.history import observed, recent
from quorate.control.experiments.metrics import LATENCY, Quantile
from quorate.control.experiments.observations import Observed, Units, group, observe
from quorate.control.experiments.registration import DAY, Registration, parse
from quorate.core.select.assign import draw, unit_uniform
from quorate.core.stats.compare import path
from quorate.core.stats.intervals import wilson
from quorate.core.stats.metric import Metric, Sample
from quorate.core.stats.power import baseline, plan
from quorate.core.stats.sample_ratio import sample_ratio
from quorate.errors import Conflict, InvalidInput
from quorate.store.database import Database
from quorate.store.experiments import Experiment

MOST = 200_000
"""Past decisions that are looked at, the newest."""
OTHER_EFFECTS = (0.5, 2.0)
"""Multiples of the minimum effect for which a plan also says what they would take."""
LEAST = 30
"""Units with an outcome below which a history says nothing."""


@dataclass(frozen=True, slots=True)
class History:
    """Past units of an endpoint with the registered metric; ``days`` from the first to the last of them."""

    units: Units
    known: Observed
    metric: Metric
    days: float

    @property
    def sample(self) -> Sample:
        """All units whose value is known."""
        return self.units.sample(self.known, 0, np.ones(len(self.units), bool), covariate=True)


def parse_plan(data: Any) -> Registration:
    """A registration that may leave ``stop.max_units`` and ``stop.max_days`` open, since a plan is to say them."""
    if isinstance(data, Mapping) and isinstance(data.get("stop", {}), Mapping):
        data = {**data, "stop": {"max_units": 100_000_000, "max_days": 366.0, **data.get("stop", {})}}
    return parse(data)


def history(
    reader: JournalReader, database: Database, registration: Registration, now: float, *, days: float
) -> History:
    """What the endpoint's last ``days`` would have been under the registration, in one arm."""
    none = Experiment("", registration.name, registration.endpoint, {}, "", "registered", 0, now)
    with database.read() as connection:
        decisions = recent(reader, registration.endpoint, now - days * DAY, now, MOST)
        seen = list(observed(connection, Running(none, registration), decisions))
    seen.sort(key=lambda each: (each[0].arrived, each[0].decision))
    exposures = [exposure for exposure, _ in seen]
    units = group(registration, exposures, [value for _, values in seen for value in values])
    known = observe(registration.metric, units)
    span = (exposures[-1].arrived - exposures[0].arrived) / DAY if exposures else 0.0
    return History(units, known, metrics.statistical(registration.metric, binary=units.binary(known)), span)


def plan_from(
    found: History, registration: Registration, *, daily_units: float | None = None, presence: float | None = None
) -> dict[str, Any]:
    """The plan of an experiment, with what it rests on; :class:`Conflict` where too little is known of the endpoint.

    ``daily_units`` and ``presence`` (the share of units whose outcome becomes known) take the place of what was seen.
    """
    r, units = registration, len(found.units)
    known = int(found.known.known.sum())
    _enough(r, known)
    seen = baseline(found.metric, found.sample)
    rate = daily_units if daily_units is not None else units / found.days if found.days > 0 else None
    share = presence if presence is not None else _presence(r, found, known / units)

    def of(effect: float) -> list[dict[str, Any]]:
        return [_arm_plan(r, found.metric, seen.value, seen.sd, arm, rate, share, effect) for arm in r.treatments]

    arms = of(r.minimum_effect)
    whole = {name: _whole(arms, name) for name in ("maximum", "assigned", "fixed", "expected", "maximum_days")}
    return {
        "endpoint": r.endpoint,
        "metric": metrics.title(r.metric),
        "minimum_effect": r.minimum_effect,
        "history": {
            "units": units,
            "known": known,
            "days": found.days,
            "baseline": seen.value,
            "standard_deviation": seen.sd,
            "daily_units": rate,
            "presence": share,
        },
        "treatments": arms,
        **whole,
        "alternatives": [each for times in OTHER_EFFECTS for each in _alternative(of, r.minimum_effect * times)],
        "suggested": {"max_units": whole["maximum"], "max_days": whole["maximum_days"]},
    }


def _alternative(of: Callable[[float], list[dict[str, Any]]], effect: float) -> list[dict[str, Any]]:
    """What another minimum effect would take; nothing where the metric cannot have it."""
    try:
        arms = of(effect)
    except ValueError:
        return []
    sizes = {name: _whole(arms, name) for name in ("maximum", "assigned", "expected", "maximum_days")}
    return [{"minimum_effect": effect, **sizes}]


def _enough(r: Registration, known: int) -> None:
    if known < LEAST:
        raise Conflict(
            f"Of endpoint '{r.endpoint}' {known} past units have the metric '{metrics.title(r.metric)}'; at least "
            f"{LEAST} are needed. Serve it for a while, report outcomes, and plan again.",
            path="endpoint",
        )


def _presence(r: Registration, found: History, share: float) -> float:
    """Of units whose window is over, if there are enough of them: others may still get an outcome."""
    if isinstance(r.metric, Quantile) and r.metric.of == LATENCY:
        return 1.0
    old = found.units.first + r.outcome_window_s <= found.units.first[-1]
    return float(found.known.known[old].mean()) if int(old.sum()) >= LEAST else share


def _arm_plan(
    r: Registration,
    metric: Metric,
    value: float,
    sd: float,
    treatment: str,
    rate: float | None,
    presence: float,
    effect: float,
) -> dict[str, Any]:
    pair = r.shares[r.control] + r.shares[treatment]
    made = plan(
        metric,
        baseline=value,
        sd=None if metric.kind == "binary" else sd,
        effect=effect,
        alpha=r.stop.alpha / len(r.treatments),
        power=r.stop.power,
        allocation=r.shares[treatment] / pair,
        daily_units=None if rate is None else rate * pair,
        presence=max(presence, 1e-6),
        method=r.stop.method,
        looks=r.stop.looks,
    )
    found: dict[str, Any] = msgspec.to_builtins(made)
    return {"treatment": treatment, "share": pair, **found}


def _whole(arms: list[dict[str, Any]], name: str) -> Any:
    """Over all arms: sizes of a pair are a share of the experiment's, durations are equal."""
    values = [arm[name] for arm in arms]
    if any(value is None for value in values):
        return None
    if name.endswith("_days"):
        return max(values)
    return max(math.ceil(value / arm["share"]) for value, arm in zip(values, arms, strict=True))


def self_test(
    found: History, registration: Registration, *, runs: int = 500, looks: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Split the endpoint's own units at random, again and again, into two arms that do not differ.

    The share of runs in which the method claims a difference at any of its looks is its false-positive rate here, with
    a 99 % interval; ``ok`` says that it is not above alpha beyond chance. The units are also assigned as serving would
    assign them, and the sample ratio is checked.
    """
    r = registration
    if not 1 <= runs <= 20_000 or not 1 <= looks <= 200:
        raise InvalidInput(f"runs is 1 to 20000 and looks 1 to 200; got {runs} and {looks}.", path="runs")
    whole = found.sample
    _enough(r, len(whole))
    rng = np.random.default_rng(seed)
    share = r.shares[r.treatments[0]] / (r.shares[r.control] + r.shares[r.treatments[0]])
    every = [math.ceil(len(whole) * (i + 1) / looks) for i in range(looks)]
    false, alarms = 0, 0
    for _ in range(runs):
        shuffled = _taken(whole, rng.permutation(len(whole)), whole.times)
        treated = rng.random(len(whole)) < share
        false += _claims(r, found.metric, shuffled, treated, every, looks)
        counts = [int((~treated).sum()), int(treated.sum())]
        alarms += sample_ratio(counts, [1 - share, share]).mismatch
    interval = wilson(false, runs, 0.99)
    assigned = _assigned(r, found.units, seed)
    return {
        "endpoint": r.endpoint,
        "metric": metrics.title(r.metric),
        "method": r.stop.method,
        "alpha": r.stop.alpha,
        "runs": runs,
        "looks": looks,
        "units": len(whole),
        "seed": seed,
        "false_positives": false,
        "false_positive_rate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "sample_ratio_alarms": alarms,
        "assignment": assigned,
        "ok": interval.low <= r.stop.alpha and not assigned["mismatch"],
    }


def _claims(
    r: Registration, metric: Metric, whole: Sample, treated: np.ndarray[Any, Any], every: list[int], looks: int
) -> bool:
    found = path(
        metric,
        _taken(whole, np.flatnonzero(~treated), None),
        _taken(whole, np.flatnonzero(treated), None),
        looks_at=every,
        alpha=r.stop.alpha,
        method=r.stop.method,
        effect=r.minimum_effect,
        fixed_n=len(whole),
        looks=looks,
    )
    return any(each.verdict in ("better", "worse") for each in found)


def _taken(whole: Sample, at: np.ndarray[Any, Any], times: np.ndarray[Any, Any] | None) -> Sample:
    """Some units in a new order; ``times`` stay where they are, or go with the units (None)."""
    below = None if whole.denominators is None else whole.denominators[at]
    more = None if whole.covariates is None else whole.covariates[at]
    kept = times if times is not None else None if whole.times is None else whole.times[at]
    return Sample(whole.values[at], below, more, kept)


def _assigned(r: Registration, units: Units, seed: int) -> dict[str, Any]:
    """The endpoint's own units, assigned as a sticky experiment would assign them."""
    shares = list(r.shares.values())
    counts = [0] * len(shares)
    for name in units.names:
        counts[draw(shares, unit_uniform(name, f"{r.endpoint} self-test {seed}"))] += 1
    checked = sample_ratio(counts, shares)
    return {"counts": dict(zip(r.arms, counts, strict=True)), "p_value": checked.p_value, "mismatch": checked.mismatch}
