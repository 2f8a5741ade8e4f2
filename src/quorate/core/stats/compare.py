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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quorate.core.stats.metric import Kind, Metric, Sample
from quorate.core.stats.power import Baseline, Plan, baseline, plan

__all__ = [
    "METHODS", "Baseline", "Comparison", "Kind", "Method", "Metric", "Plan", "Sample", "Verdict", "baseline", "compare", "path", "plan",
]  # fmt: skip

Method = Literal["tuned", "asymptotic", "msprt", "betting", "bernstein", "nonparametric", "group_sequential", "fixed"]
METHODS: tuple[Method, ...] = (
    "tuned", "asymptotic", "msprt", "betting", "bernstein", "nonparametric", "group_sequential", "fixed",
)  # fmt: skip
Verdict = Literal["better", "worse", "equivalent", "futile", "none_yet"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What can be said of treatment - control at this look.

    ``estimate``, ``low``, ``high``: absolute difference in the metric's units; NaN, -inf and inf where nothing can be
    said. ``relative`` (``estimate / control``), ``relative_low``, ``relative_high``: the same as a share of control's value; None
    for the methods and metrics that have no such interval. ``control`` and ``treatment``: the metric in each arm.

    ``p_value`` is valid at every look (``p_value <= alpha`` whenever the interval excludes 0), ``e_value`` its evidence; None
    where the method has none. ``verdict``: ``better`` or ``worse`` (the interval excludes 0; which is which follows
    ``higher_is_better``), ``equivalent`` (the interval lies within ±effect), ``futile`` (``fixed_n`` reached without a
    verdict), else ``none_yet``.

    ``n_control``, ``n_treatment``: units used. ``missing_*``: units without an outcome, left out. ``effective_n``: units of two
    equal arms without CUPED that would give this precision. ``method`` and ``assumptions`` are sentences for the report.
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

    ``effect``: the smallest absolute difference that matters, as planned (the sign is ignored); ``tuned`` and ``msprt`` need
    it. ``fixed_n``: the planned number of units with outcomes, both arms together (:attr:`Plan.maximum`); ``asymptotic``,
    ``group_sequential`` and ``fixed`` need it. ``looks``: planned looks of ``group_sequential``. Both must be set before
    the experiment starts: chosen after a look they void the guarantee.

    ``fixed`` gives no interval before ``fixed_n`` units are there and then always the one of the first ``fixed_n``;
    ``group_sequential`` gives the one of the last planned look. Covariates in both samples turn CUPED on.

    Less than 2 units with an outcome in an arm, or no variation in an asymptotic method: estimate where there is one, limits
    -inf and inf, verdict ``none_yet``. :class:`ValueError` for values that contradict the metric, or a method that does not fit it.
    """
    raise NotImplementedError


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
    """What :func:`compare` would have said when ``looks_at[i]`` units (both arms, those without outcome included) were there.

    For the picture of the interval over time. Entries beyond the data are what all of it says.
    """
    raise NotImplementedError
