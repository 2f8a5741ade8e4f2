"""What the planner promises of quantile metrics, simulated: power, false verdicts and sizes of experiments that are
looked at 30 times and end at the first verdict, or at the plan's maximum.

Values are lognormal (sigma 0.5), as latencies are. With the effect, treatment is all of them times a factor, so that
its standard deviation grows as well, and the plan is told so.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from benchmarks.decisions.pools import ALPHA, LOOKS
from benchmarks.harness.table import QUORATE, Row
from quorate.core.stats.compare import Metric, Plan, Sample, path, plan
from quorate.core.stats.intervals import wilson

SEED, SIGMA = 20251122, 0.5


class Case(NamedTuple):
    """``effect`` is relative to the quantile of control."""

    method: str
    q: float
    effect: float
    runs: int


CASES = (
    Case("tuned", 0.5, 0.1, 500),
    Case("tuned", 0.9, 0.1, 500),
    Case("tuned", 0.99, 0.2, 500),
    Case("nonparametric", 0.9, 0.2, 100),
)


def rows(*, quick: bool = False) -> list[Row]:
    """All cases."""
    return [row for case in CASES for row in _rows(case._replace(runs=20) if quick else case)]


def planned(case: Case) -> tuple[Metric, Plan]:
    """The metric, and the plan with a standard deviation known from the density at the quantile."""
    z = NormalDist().inv_cdf(case.q)
    value = math.exp(SIGMA * z)
    sd = math.sqrt(case.q * (1 - case.q)) * SIGMA * value / NormalDist().pdf(z)
    metric = Metric("quantile", q=case.q, higher_is_better=False)
    made = plan(
        metric, baseline=value, sd=sd, treatment_sd=sd * (1 + case.effect), effect=case.effect * value, alpha=ALPHA,
        method=case.method, looks=LOOKS,
    )  # fmt: skip
    return metric, made


def _rows(case: Case) -> list[Row]:
    metric, made = planned(case)
    rng = np.random.default_rng([SEED, int(case.q * 100), case.method == "tuned"])
    right = false = units = 0
    for _ in range(case.runs):
        for factor in (1 + case.effect, 1.0):
            verdict, size = _experiment(metric, made, factor, rng)
            if factor > 1:
                right, units = right + (verdict == "worse"), units + size
            else:
                false += verdict in ("better", "worse")
    name = f"quantile {case.q:g}, {case.method}, {case.runs:,} runs"
    power, error = wilson(right, case.runs, 0.99), wilson(false, case.runs, 0.99)
    sizes = f"planned {made.expected / made.fixed:.2f}, at most {made.maximum / made.fixed:.2f}; fixed: {made.fixed:,}"
    promised = f"{power.low:.3f} to {power.high:.3f}; planned {made.power:.3f}"
    return [
        Row(name, QUORATE, "false positives", "", (error.estimate,), f"99 % lower bound {error.low:.4f}"),
        Row(name, QUORATE, "power", "", (power.estimate,), promised),
        Row(name, QUORATE, "mean size, effect", "x fixed", (units / case.runs / made.fixed,), sizes),
    ]


def _experiment(metric: Metric, made: Plan, factor: float, rng: np.random.Generator) -> tuple[str, int]:
    """The first verdict and the units it took; the plan's maximum where there is none."""
    control, treatment = (np.exp(SIGMA * rng.standard_normal(made.maximum // 2)) for _ in range(2))
    whole = 2 * len(control)
    every = [math.ceil(made.maximum * (i + 1) / made.looks) for i in range(made.looks)]
    looks = [min(each, whole) for each in every]
    times = np.arange(whole)
    found = path(
        metric, Sample(control, times=times[::2]), Sample(factor * treatment, times=times[1::2]), looks_at=looks,
        alpha=made.alpha, method=made.method, effect=made.effect, fixed_n=made.maximum, looks=made.looks,
    )  # fmt: skip
    for each, units in zip(found, looks, strict=True):
        if each.verdict != "none_yet":
            return each.verdict, units
    return "none_yet", made.maximum
