"""How many units an experiment needs, and how long it takes, before it starts.

Sizes come from the exact distribution of first crossings at evenly spaced looks (:mod:`quorate.core.stats.crossing`),
in units of ``information = effect² / se²``; a test with one look needs ``(z_(1 - alpha/2) + z_power)²``. To that
maximum a tenth is added, for the standard deviation that is only guessed before the start. Betting and Bernstein are
planned by the asymptotic test that they come close to, the nonparametric method by adding the widths of both arms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats import crossing, mixture, spending
from quorate.core.stats.difference import difference
from quorate.core.stats.metric import Metric, Sample, known

Floats = NDArray[np.float64]

RESERVE = 1.1
"""The maximum is so many times what theory asks for."""

_BERNSTEIN = 1.15
"""What its cost above that of the asymptotic test adds, measured by ``make bench-decisions``."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a metric before the experiment: its value, and the standard deviation of one unit.

    ``sd`` is that of the unit's influence on the metric: of the values for a mean, of the linearised values for a
    ratio, ``sqrt(q (1 - q)) / density`` for a quantile, of what CUPED leaves where there are covariates.
    """

    value: float
    sd: float
    n: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes in units with an outcome, both arms together; ``*_days`` only where the daily units are known (else None).

    ``fixed``: what a test with one look needs. ``expected``: mean number until the verdict if the effect is there;
    ``expected_null``: if there is none. ``maximum``: where the experiment ends without a verdict; give it to
    :func:`quorate.core.stats.compare.compare` as ``fixed_n``. ``power``: probability of the right verdict by then.
    ``maximum_control`` and ``maximum_treatment`` are the same by arm. ``assigned`` is how many units must be assigned
    for ``maximum`` to have outcomes.
    """

    method: str
    alpha: float
    effect: float
    looks: int
    power: float
    fixed: int
    expected: int
    expected_null: int
    maximum: int
    maximum_control: int
    maximum_treatment: int
    assigned: int
    expected_days: float | None
    maximum_days: float | None
    assumptions: tuple[str, ...]


def baseline(metric: Metric, history: Sample) -> Baseline:
    """What :func:`plan` needs, from units seen before the experiment; NaN with fewer than two.

    With covariates the standard deviation is the one that CUPED leaves. :class:`ValueError` as for a comparison.
    """
    sample = known(metric, history).sample
    arm = difference(metric, sample, sample).control
    return Baseline(arm.value, arm.se * math.sqrt(arm.n), arm.n)


def plan(
    metric: Metric,
    *,
    baseline: float,
    sd: float | None = None,
    treatment_sd: float | None = None,
    effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    allocation: float = 0.5,
    daily_units: float | None = None,
    presence: float = 1.0,
    method: str = "tuned",
    looks: int = 30,
) -> Plan:
    """The sizes and the duration of an experiment that is to see a difference of ``effect``.

    ``baseline``: the metric's value in the control arm. ``sd``: of one unit (:class:`Baseline`); a binary metric needs
    none. ``treatment_sd``: the same in treatment, ``sd`` where not given (amounts that grow vary more as well).
    ``effect``: the smallest difference treatment - control that matters, absolute, in the metric's units (5 % of a
    baseline of 0.2 is 0.01), not 0. ``allocation``: share of units in treatment. ``daily_units``: units assigned per
    day. ``presence``: share of them whose outcome becomes known. ``looks``: how often the data are looked at, evenly.
    :class:`ValueError` for what is out of range.

    >>> found = plan(Metric("binary"), baseline=0.10, effect=0.02)
    >>> found.fixed, found.expected, found.maximum
    (7677, 7201, 12349)
    """
    unit = 0.0 if sd is None else sd
    other = unit if treatment_sd is None else treatment_sd
    _check(metric, baseline, sd, other, effect, alpha, power, allocation, daily_units, presence, looks)
    variances = (unit**2, other**2)
    if metric.kind == "binary":
        variances = (baseline * (1 - baseline), (baseline + effect) * (1 - baseline - effect))
    welch = variances[0] / (1 - allocation) + variances[1] / allocation
    pooled = variances[0] / allocation + variances[1] / (1 - allocation)
    # As in Difference.se; both are the same with equal shares.
    per_information = (welch if method == "fixed" else max(welch, pooled)) / effect**2
    normal = NormalDist()
    once = (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) ** 2
    if method == "fixed":
        information, reached, times = once, power, (1.0, 1.0)
    else:
        information = RESERVE * _information(method, alpha, power, looks)
        fractions = np.arange(1, looks + 1) / looks
        bounds = _bounds(method, alpha, information, fractions)
        found, null = (crossing.exits(fractions, bounds, drift) for drift in (math.sqrt(information), 0.0))
        information *= _BERNSTEIN if method == "bernstein" else 1.0
        reached = float(found.above.sum())
        times = (found.expected(fractions), null.expected(fractions))
    maximum = max(math.ceil(information * per_information), 4)
    in_treatment = round(maximum * allocation)
    assigned = math.ceil(maximum / presence)
    days = None if daily_units is None else assigned / daily_units
    return Plan(
        method=method,
        alpha=alpha,
        effect=effect,
        looks=1 if method == "fixed" else looks,
        power=reached,
        fixed=max(math.ceil(once * welch / effect**2), 4),
        expected=math.ceil(times[0] * maximum),
        expected_null=math.ceil(times[1] * maximum),
        maximum=maximum,
        maximum_control=maximum - in_treatment,
        maximum_treatment=in_treatment,
        assigned=assigned,
        expected_days=None if days is None else times[0] * days,
        maximum_days=days,
        assumptions=_assumptions(metric, method, presence),
    )


@lru_cache(maxsize=256)
def _information(method: str, alpha: float, power: float, looks: int) -> float:
    """The smallest maximum of information with which the effect is found in time with probability ``power``."""
    from scipy.optimize import brentq

    fractions = np.arange(1, looks + 1) / looks

    def lacking(information: float) -> float:
        bounds = _bounds(method, alpha, information, fractions)
        return float(crossing.exits(fractions, bounds, math.sqrt(information)).above.sum()) - power

    high = 8.0
    while lacking(high) < 0:
        high *= 2
    return float(brentq(lacking, 1e-3, high, xtol=1e-6))


def _bounds(method: str, alpha: float, information: float, fractions: Floats) -> Floats:
    """The |z| ``[looks]`` of a method at fractions of its maximum ``information``."""
    if method in ("tuned", "betting"):
        return mixture.z_tuned(np.sqrt(information * fractions), alpha)
    if method == "msprt":
        return mixture.z_normal(information * fractions, alpha)
    if method == "asymptotic":
        return mixture.z_normal(mixture.tuned_for(1.0, alpha) * fractions, alpha)
    if method == "bernstein":
        return mixture.z_points(math.sqrt(2 * math.log(2 / alpha)) * np.sqrt(fractions), alpha)
    if method == "nonparametric":
        return math.sqrt(2) * mixture.z_normal(mixture.tuned_for(1.0, alpha / 2) * fractions, alpha / 2)
    if method == "group_sequential":
        return spending.obrien_fleming(len(fractions), alpha)
    raise ValueError(
        "a method is one of tuned, asymptotic, msprt, betting, bernstein, nonparametric, group_sequential, fixed; "
        f"got {method!r}."
    )


def _check(
    metric: Metric,
    baseline: float,
    sd: float | None,
    treatment_sd: float,
    effect: float,
    alpha: float,
    power: float,
    allocation: float,
    daily_units: float | None,
    presence: float,
    looks: int,
) -> None:
    if effect == 0 or not math.isfinite(effect):
        raise ValueError(f"the effect is a finite difference other than 0; got {effect}.")
    if not 0.0 < alpha < power < 1.0:
        raise ValueError(f"expected 0 < alpha < power < 1, like 0.05 and 0.8; got {alpha} and {power}.")
    if not 0.0 < allocation < 1.0:
        raise ValueError(f"allocation is treatment's share, between 0 and 1; got {allocation}.")
    if not 0.0 < presence <= 1.0:
        raise ValueError(f"presence is a share above 0, 1 at most; got {presence}.")
    if daily_units is not None and not (daily_units > 0 and math.isfinite(daily_units)):
        raise ValueError(f"daily_units is a number above 0; got {daily_units}.")
    if not 1 <= looks <= spending.MOST_LOOKS:
        raise ValueError(f"the number of looks lies between 1 and {spending.MOST_LOOKS}; got {looks}.")
    if metric.kind == "binary":
        if not (0.0 < baseline < 1.0 and 0.0 < baseline + effect < 1.0):
            raise ValueError(
                f"shares lie between 0 and 1; got a baseline of {baseline} and {baseline + effect} with the effect."
            )
    elif sd is None or not all(0 < size < math.inf for size in (sd, treatment_sd)):
        raise ValueError(
            f"a {metric.kind} metric needs the standard deviation of a unit, sd > 0; got {sd} and {treatment_sd}."
        )


def _assumptions(metric: Metric, method: str, presence: float) -> tuple[str, ...]:
    found = ["Sizes rest on the normal approximation.", "Outcomes arrive evenly."]
    if metric.kind != "binary":
        found.append(
            "Standard deviations of a unit are as given; as much in treatment as in control if not said otherwise."
        )
    if method not in ("tuned", "asymptotic", "msprt", "group_sequential", "fixed"):
        found.append(f"Sizes for {method} are those of the asymptotic test that it comes close to.")
    if presence < 1:
        found.append("Missing outcomes are a matter of chance.")
    return tuple(found)
