"""The methods of :func:`quorate.core.stats.compare.compare`: each turns two arms into limits and evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats import mixture, spending
from quorate.core.stats.bernstein import sums
from quorate.core.stats.betting import Gamblers
from quorate.core.stats.difference import Difference, difference
from quorate.core.stats.metric import Metric, Sample
from quorate.core.stats.pairs import pair
from quorate.core.stats.prefix import first_units
from quorate.core.stats.quantile_sequence import sorted_interval, strength

Floats = NDArray[np.float64]

Method = Literal["tuned", "asymptotic", "msprt", "betting", "bernstein", "nonparametric", "group_sequential", "fixed"]

LEAST = 20
"""Units an arm before an asymptotic method says anything: it holds for large samples."""

TAIL = 10
"""Units an arm that must lie on either side of a quantile, on average: with 1 beyond the 99th percentile, 30 looks made
false verdicts in 8 % of experiments; with 10, in 2 %."""

_STEEPEST = 1e6
_STEPS = 50


class Case(NamedTuple):
    """What a method gets: checked samples, and what was set before the experiment started."""

    metric: Metric
    control: Sample
    treatment: Sample
    alpha: float
    effect: float | None
    fixed_n: int | None
    looks: int


class Finding(NamedTuple):
    """What a method says. ``z``: the critical one, where the interval is ``estimate ± z se``."""

    case: Case
    found: Difference
    low: float = -math.inf
    high: float = math.inf
    z: float | None = None
    log_e: float | None = None
    p_value: float | None = None


def tuned(case: Case) -> Finding:
    """The mixture tuned to the planned effect."""
    effect = _needed(case.effect, "tuned", "effect")
    return _mixed(case, lambda found: effect / found.se, mixture.z_tuned, mixture.log_e_tuned)


def msprt(case: Case) -> Finding:
    """The normal mixture with the planned effect as its standard deviation."""
    effect = _needed(case.effect, "msprt", "effect")
    return _mixed(case, lambda found: (effect / found.se) ** 2, mixture.z_normal, mixture.log_e_normal)


def asymptotic(case: Case) -> Finding:
    """The normal mixture tuned to the planned number of units."""
    size = mixture.tuned_for(_needed(case.fixed_n, "asymptotic", "fixed_n"), case.alpha)
    return _mixed(case, lambda found: size * _units(found), mixture.z_normal, mixture.log_e_normal)


def betting(case: Case) -> Finding:
    """Hedged capital on pairs of units."""
    case = _paired(case)
    pairs = pair(case.metric, case.control, case.treatment)
    planned = None if case.fixed_n is None else max(case.fixed_n // 2, 1)
    effect = None if case.effect is None else case.effect / pairs.width
    gamblers = Gamblers(pairs.x, case.alpha, effect=effect, planned=planned)
    low, high = gamblers.interval(case.alpha)
    capital = gamblers.capital(pairs.at(0.0))
    return _finite(case, pairs.back(low), pairs.back(high), capital.log_e, max(capital))


def bernstein(case: Case) -> Finding:
    """Empirical Bernstein on pairs of units."""
    case = _paired(case)
    pairs = pair(case.metric, case.control, case.treatment)
    found = sums(pairs.x, case.alpha, None if case.fixed_n is None else max(case.fixed_n // 2, 1))
    low, high = found.interval(case.alpha)
    above, below = (float(side[-1]) if len(side) else 0.0 for side in found.log_e(pairs.at(0.0)))
    log_e = float(np.logaddexp(above, below)) - math.log(2)
    return _finite(case, pairs.back(low), pairs.back(high), log_e, max(above, below))


def nonparametric(case: Case) -> Finding:
    """Quantile confidence sequences of both arms, half of alpha each."""
    if case.metric.kind != "quantile":
        raise ValueError(
            f"the nonparametric method is for quantiles; {case.metric.name!r} is a {case.metric.kind} metric."
        )
    found = difference(case.metric, case.control, case.treatment)
    s = strength(None if case.fixed_n is None else max(case.fixed_n // 2, 1))
    control, treatment = np.sort(case.control.values), np.sort(case.treatment.values)

    def limits(alpha: float) -> tuple[float, float]:
        (low0, high0), (low1, high1) = (_quantiles(case.metric, x, alpha / 2, s) for x in (control, treatment))
        return low1 - high0, high1 - low0

    low, high = limits(case.alpha)
    return Finding(case, found, low, high, p_value=_smallest_alpha(lambda alpha: not _holds(0.0, limits(alpha))))


def group_sequential(case: Case) -> Finding:
    """The interval of the last of the planned looks."""
    planned = int(_needed(case.fixed_n, "group_sequential", "fixed_n"))
    total = len(case.control) + len(case.treatment)
    look = min(total * case.looks // planned, case.looks)
    if look == 0:
        return Finding(case, difference(case.metric, case.control, case.treatment))
    control, treatment = first_units(case.control, case.treatment, -(-planned * look // case.looks))
    case = case._replace(control=control, treatment=treatment)
    found = difference(case.metric, control, treatment)
    if not _usable(found, case.metric):
        return Finding(case, found)
    z = float(spending.obrien_fleming(case.looks, case.alpha)[look - 1])
    return Finding(case, found, found.estimate - z * found.se, found.estimate + z * found.se, z)


def fixed(case: Case) -> Finding:
    """Welch's interval of the first ``fixed_n`` units, and nothing before."""
    from scipy.special import stdtr, stdtrit

    planned = int(_needed(case.fixed_n, "fixed", "fixed_n"))
    if len(case.control) + len(case.treatment) < planned:
        return Finding(case, difference(case.metric, case.control, case.treatment))
    control, treatment = first_units(case.control, case.treatment, planned)
    case = case._replace(control=control, treatment=treatment)
    found = difference(case.metric, control, treatment)
    se = found.welch
    if not math.isfinite(se) or se == 0:
        return Finding(case, found)
    # Welch and Satterthwaite's degrees of freedom, from shares so that nothing overflows.
    first, second = (found.control.se / se) ** 2, (found.treatment.se / se) ** 2
    freedom = 1 / (first * first / (found.control.n - 1) + second * second / (found.treatment.n - 1))
    z = float(stdtrit(freedom, 1 - case.alpha / 2))
    p_value = 2 * float(stdtr(freedom, -abs(found.estimate) / se))
    low, high = found.estimate - z * se, found.estimate + z * se
    return Finding(case, found, low, high, z * se / found.se, p_value=p_value)


METHODS: dict[Method, Callable[[Case], Finding]] = {
    "tuned": tuned,
    "asymptotic": asymptotic,
    "msprt": msprt,
    "betting": betting,
    "bernstein": bernstein,
    "nonparametric": nonparametric,
    "group_sequential": group_sequential,
    "fixed": fixed,
}


def _mixed(
    case: Case,
    scale: Callable[[Difference], float],
    critical: Callable[[float, float], mixture.Floats],
    evidence: Callable[[float, float], mixture.Floats],
) -> Finding:
    found = difference(case.metric, case.control, case.treatment)
    if not _usable(found, case.metric):
        return Finding(case, found)
    at = min(scale(found), _STEEPEST)
    z, log_e = float(critical(at, case.alpha)), float(evidence(found.estimate / found.se, at))
    return Finding(case, found, found.estimate - z * found.se, found.estimate + z * found.se, z, log_e, _p_value(log_e))


def _paired(case: Case) -> Case:
    if case.metric.kind not in ("binary", "mean"):
        raise ValueError(
            f"betting and bernstein compare means; {case.metric.name!r} is a {case.metric.kind} metric: take tuned, "
            "or nonparametric for a quantile."
        )
    if case.control.covariates is not None or case.treatment.covariates is not None:
        raise ValueError("CUPED moves values out of their bounds; leave the covariates out, or take tuned.")
    n = min(len(case.control), len(case.treatment))
    return case._replace(control=case.control.first(n), treatment=case.treatment.first(n))


def _finite(case: Case, low: float, high: float, log_e: float, log_half: float) -> Finding:
    """``log_half``: the larger log evidence of the two sides, each of which has half of alpha."""
    found = difference(case.metric, case.control, case.treatment)
    return Finding(case, found, low, high, log_e=log_e, p_value=_p_value(log_half - math.log(2)))


def _quantiles(metric: Metric, values: Floats, alpha: float, s: float) -> tuple[float, float]:
    low, high = sorted_interval(values, metric.q, alpha, s)
    return max(low, metric.low), min(high, metric.high)


def _smallest_alpha(refuted: Callable[[float], bool]) -> float:
    low, high = -700.0, 0.0
    if not refuted(0.999):
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if refuted(math.exp(middle)):
            high = middle
        else:
            low = middle
    return math.exp(high)


def _holds(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _usable(found: Difference, metric: Metric) -> bool:
    units = min(found.control.n, found.treatment.n)
    few = units < LEAST or (metric.kind == "quantile" and units * min(metric.q, 1.0 - metric.q) < TAIL - 1e-9)
    return not few and math.isfinite(found.estimate) and math.isfinite(found.se) and found.se > 0


def _units(found: Difference) -> float:
    return found.control.n + found.treatment.n


def _needed(value: float | None, method: str, name: str) -> float:
    if value is None:
        raise ValueError(f"the method {method!r} needs {name}, set before the experiment started.")
    return value


def _p_value(log_e: float) -> float:
    return min(1.0, math.exp(min(-log_e, 0.0)))
