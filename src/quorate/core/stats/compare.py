"""Treatment against control: the estimate, an interval that holds at this look, and the verdict.

All methods answer for ``treatment - control`` and are two-sided at ``alpha``:

``tuned`` (default)
    An asymptotic confidence sequence whose mixture is tuned to the planned effect; holds at every look, however many.
``asymptotic``, ``msprt``
    The same with a normal mixture: tuned to the planned size, or to the planned effect.
``betting``, ``bernstein``
    Confidence sequences for bounded values that hold at every size, with no approximation. Binary and mean metrics.
``nonparametric``
    Quantile confidence sequences of both arms; quantile metrics only; no approximation.
``group_sequential``
    O'Brien-Fleming-like spending over a fixed number of looks; smallest samples, but only those looks count.
``fixed``
    Welch's test at the planned size: one look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quorate.core.stats import words
from quorate.core.stats.difference import Difference, difference
from quorate.core.stats.intervals import Interval
from quorate.core.stats.methods import METHODS, Case, Finding, Method
from quorate.core.stats.metric import Kind, Known, Metric, Sample, known
from quorate.core.stats.power import Baseline, Plan, baseline, plan
from quorate.core.stats.prefix import first_units
from quorate.core.stats.relative import relative
from quorate.core.stats.spending import MOST_LOOKS

__all__ = [
    "Baseline",
    "Comparison",
    "Kind",
    "Method",
    "Metric",
    "Plan",
    "Sample",
    "Verdict",
    "baseline",
    "compare",
    "path",
    "plan",
]

Verdict = Literal["better", "worse", "equivalent", "futile", "none_yet"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What can be said of treatment - control at this look.

    ``estimate``, ``low``, ``high``: absolute difference in the metric's units; NaN, -inf and inf where nothing can be
    said. ``relative``, ``relative_low``, ``relative_high``: ``treatment / control - 1``, at the same level; None for
    the methods and metrics that have no such interval. ``control`` and ``treatment``: the metric in each arm, adjusted
    where CUPED is on.

    ``p_value`` is valid at every look (``p_value <= alpha`` where the interval excludes 0), ``e_value`` its evidence;
    None where the method has none. ``verdict``: ``better`` or ``worse`` (the interval excludes 0; which is which
    follows ``higher_is_better``), ``equivalent`` (the interval lies inside ±effect), ``futile`` (``fixed_n`` reached
    without a verdict), else ``none_yet``.

    ``n_control``, ``n_treatment``: units used. ``missing_*``: units without an outcome, left out. ``effective_n``:
    units of two equal arms without CUPED that would give this precision; 0 where there is none. ``method`` and
    ``assumptions`` are sentences for the report.
    """

    metric: str
    estimate: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    control: float
    treatment: float
    p_value: float | None
    e_value: float | None
    verdict: Verdict
    n_control: int
    n_treatment: int
    missing_control: int
    missing_treatment: int
    effective_n: float
    method: str
    assumptions: tuple[str, ...]


def compare(
    metric: Metric,
    control: Sample,
    treatment: Sample,
    *,
    alpha: float = 0.05,
    method: Method = "tuned",
    effect: float | None = None,
    fixed_n: int | None = None,
    looks: int = 30,
) -> Comparison:
    """Compare two arms on all that is known now; may be called as often as one likes.

    ``effect``: the smallest absolute difference that matters, as planned (the sign is ignored); ``tuned`` and
    ``msprt`` need it. ``fixed_n``: the planned number of units with outcomes, both arms together
    (:attr:`Plan.maximum`); ``asymptotic``, ``group_sequential`` and ``fixed`` need it. ``looks``: planned looks of
    ``group_sequential``. All must be set before the experiment starts: chosen after a look they void the guarantee.

    ``fixed`` gives no interval before ``fixed_n`` units are there and then always the one of the first ``fixed_n``;
    ``group_sequential`` gives the one of the last planned look. Covariates in both samples turn CUPED on.

    With fewer than 20 units with an outcome in an arm (of a quantile: 10 on either side of it, so 100 for the 0.9th),
    or no variation, an asymptotic method gives the estimate where
    there is one, limits -inf and inf, and ``none_yet``. :class:`ValueError` for values that contradict the metric, or
    a method that does not fit it or lacks what it needs.
    """
    case, first, second = _case(metric, control, treatment, alpha, method, effect, fixed_n, looks)
    return _judge(case, method, first.missing, second.missing)


def path(
    metric: Metric,
    control: Sample,
    treatment: Sample,
    *,
    looks_at: Sequence[int],
    alpha: float = 0.05,
    method: Method = "tuned",
    effect: float | None = None,
    fixed_n: int | None = None,
    looks: int = 30,
) -> list[Comparison]:
    """What :func:`compare` would have said at earlier looks, for the picture of the interval over time.

    ``looks_at[i]``: how many units with an outcome, of both arms together, were there. Looks beyond the data get what
    all of it says; ``missing_*`` are those of all.
    """
    case, first, second = _case(metric, control, treatment, alpha, method, effect, fixed_n, looks)
    found = []
    for total in looks_at:
        if total < 0:
            raise ValueError(f"a look is at a number of units >= 0; got {total}.")
        seen = first_units(case.control, case.treatment, int(total))
        found.append(_judge(case._replace(control=seen[0], treatment=seen[1]), method, first.missing, second.missing))
    return found


def _case(
    metric: Metric,
    control: Sample,
    treatment: Sample,
    alpha: float,
    method: Method,
    effect: float | None,
    fixed_n: int | None,
    looks: int,
) -> tuple[Case, Known, Known]:
    if method not in METHODS:
        raise ValueError(f"a method is one of {', '.join(METHODS)}; got {method!r}.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, like 0.05; got {alpha}.")
    if effect is not None and (effect == 0 or not math.isfinite(effect)):
        raise ValueError(f"the planned effect is a finite difference other than 0; got {effect}.")
    if fixed_n is not None and fixed_n < 2:
        raise ValueError(f"fixed_n is the planned number of units of both arms, 2 at least; got {fixed_n}.")
    if not 1 <= looks <= MOST_LOOKS:
        raise ValueError(f"the number of looks lies between 1 and {MOST_LOOKS}; got {looks}.")
    first, second = known(metric, control), known(metric, treatment)
    size = None if effect is None else abs(effect)
    return Case(metric, first.sample, second.sample, alpha, size, fixed_n, looks), first, second


def _judge(case: Case, method: Method, missing_control: int, missing_treatment: int) -> Comparison:
    finding = METHODS[method](case)
    found = finding.found
    share = None if finding.z is None or case.metric.kind == "quantile" else relative(found, finding.z)
    cuped = case.control.covariates is not None
    return Comparison(
        metric=case.metric.name,
        estimate=found.estimate,
        low=finding.low,
        high=finding.high,
        relative=None if share is None else share.estimate,
        relative_low=None if share is None else share.low,
        relative_high=None if share is None else share.high,
        control=found.control.value,
        treatment=found.treatment.value,
        p_value=finding.p_value,
        e_value=None if finding.log_e is None else math.exp(min(finding.log_e, 700.0)),
        verdict=_verdict(case, finding),
        n_control=found.control.n,
        n_treatment=found.treatment.n,
        missing_control=missing_control,
        missing_treatment=missing_treatment,
        effective_n=_effective(finding.case, found),
        method=words.NAMES[method],
        assumptions=words.assumptions(method, case.metric, cuped=cuped),
    )


def _verdict(case: Case, finding: Finding) -> Verdict:
    limits = Interval(finding.found.estimate, finding.low, finding.high)
    if limits.low > 0 or limits.high < 0:
        return "better" if (limits.low > 0) == case.metric.higher_is_better else "worse"
    if case.effect is not None and -case.effect < limits.low and limits.high < case.effect:
        return "equivalent"
    if case.fixed_n is not None and len(case.control) + len(case.treatment) >= case.fixed_n:
        return "futile"
    return "none_yet"


def _effective(case: Case, found: Difference) -> float:
    plain = found
    if case.control.covariates is not None:
        bare = [Sample(s.values, s.denominators) for s in (case.control, case.treatment)]
        plain = difference(case.metric, *bare)
    total = plain.control.n + plain.treatment.n
    if not found.se > 0 or not math.isfinite(found.se):
        return 0.0
    variance = sum(arm.n / total * arm.n * (arm.se / found.se) ** 2 for arm in (plain.control, plain.treatment))
    return 4 * variance
