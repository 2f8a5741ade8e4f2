"""How often each method errs when one looks 30 times, and what it costs: simulated experiments, with and without an
effect.

Every run draws users for control, for a treatment without an effect, and for the same users under a treatment with the
planned one. The experiment ends at the first look with a verdict, or at the plan's maximum. The naive row is a z-test
at 5 % at each of 30 looks up to the size of a test with one look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions import looks
from benchmarks.decisions.pools import ALPHA, LOOKS, POOLS, Pool
from benchmarks.harness.table import QUORATE, Row
from quorate.core.stats import mixture, spending
from quorate.core.stats.bernstein import sums
from quorate.core.stats.betting import log_capitals
from quorate.core.stats.compare import Plan
from quorate.core.stats.intervals import normal_quantile, wilson

RUNS = 4000
SEED = 20240605
GRID = 120
"""Steps in which the size of a test with one look is reached."""

_UNITS_AT_ONCE = 4_000_000
EXACT = ("betting", "bernstein")
METHODS = ("tuned", "asymptotic", "msprt", "group_sequential", "fixed")
DEFAULT = "tuned"
NAIVE = "naive z"

Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """What a method's looks see ``[runs, looks]``: estimates and standard errors, and fractions ``[looks]`` of its
    maximum.
    """

    estimate: Floats
    se: Floats
    fractions: Floats


@dataclass
class Tally:
    """Of one method: runs with a false verdict, with the right one, and sizes in units."""

    false: int = 0
    right: int = 0
    missed: int = 0
    runs: int = 0
    sizes: list[Floats] = field(default_factory=list)
    null_sizes: list[Floats] = field(default_factory=list)


def rows(*, quick: bool = False) -> list[Row]:
    """All metrics and methods."""
    found = []
    for number, make in enumerate(POOLS):
        rng = np.random.default_rng([SEED, number])
        found += simulate(make(rng), rng, 200 if quick else RUNS)
    return found


def simulate(pool: Pool, rng: np.random.Generator, runs: int) -> list[Row]:
    """One metric, all methods."""
    plans = {method: pool.plan(method) for method in METHODS}
    if pool.metric.bounded:
        plans |= {method: pool.plan(method) for method in EXACT}
    fixed = plans["fixed"].fixed
    plans[NAIVE] = replace(plans["fixed"], method=NAIVE, looks=LOOKS)
    step = max(math.ceil(fixed / GRID / 2), 1)
    most = math.ceil(max(one.maximum for one in plans.values()) / 2 / step)
    tallies = {system: Tally() for system in plans}
    size = max(_UNITS_AT_ONCE // (most * step), 1)
    for start in range(0, runs, size):
        draws = _Draws(pool, rng, min(size, runs - start), most, step)
        for system, plan in plans.items():
            at = np.ceil(np.arange(1, plan.looks + 1) / plan.looks * plan.maximum / 2 / step).astype(np.int64)
            _count(tallies[system], draws.verdicts(plan, at), at * step * 2)
            tallies[system].missed += draws.misses(plan, at)
    return [row for system, plan in plans.items() for row in _rows(pool, plan, tallies[system], fixed)]


class _Draws:
    """Some runs: units drawn for both arms, and what each grid step sees of them."""

    def __init__(self, pool: Pool, rng: np.random.Generator, runs: int, steps: int, step: int) -> None:
        self._pool, self._step = pool, step
        self._chosen = [rng.integers(0, len(pool.control), (runs, steps * step)) for _ in range(2)]
        control = looks.sums(pool.control, self._chosen[0], step)
        cuped = pool.control.covariates is not None
        self._seen = []
        for arm in (pool.control, pool.treatment):
            treatment = looks.sums(arm, self._chosen[1], step)
            self._seen.append(looks.difference(pool.metric, control, treatment, cuped=cuped))

    def verdicts(self, plan: Plan, at: NDArray[np.int64]) -> list[NDArray[np.int8]]:
        """What a method says at its looks, ``[runs, looks]``: without an effect, and with it."""
        if plan.method in EXACT:
            first, arms = self._chosen[0], (self._pool.control, self._pool.treatment)
            control = self._pool.control.values[first]
            return [_bets(plan, control, arm.values[self._chosen[1]], at * self._step) for arm in arms]
        return [_judge(plan, self._at(arm, plan, at)) for arm in (0, 1)]

    def misses(self, plan: Plan, at: NDArray[np.int64]) -> int:
        """In how many runs with the effect the interval of some look does not hold it."""
        if plan.method in EXACT:
            return 0
        seen = self._at(1, plan, at)
        return int((np.abs(seen.estimate - plan.effect) > _bound(plan, seen) * seen.se).any(axis=1).sum())

    def _at(self, arm: int, plan: Plan, at: NDArray[np.int64]) -> Seen:
        estimate, se = self._seen[arm]
        return Seen(estimate[:, at - 1], se[:, at - 1], at * self._step * 2 / plan.maximum)


def _bound(plan: Plan, seen: Seen) -> Floats:
    """The critical |z| ``[runs, looks]``."""
    scaled = plan.effect / seen.se
    if plan.method == "tuned":
        return mixture.z_tuned(scaled, ALPHA)
    if plan.method == "msprt":
        return mixture.z_normal(scaled**2, ALPHA)
    if plan.method == "asymptotic":
        return np.broadcast_to(mixture.z_normal(mixture.tuned_for(1.0, ALPHA) * seen.fractions, ALPHA), scaled.shape)
    if plan.method == "group_sequential":
        return np.broadcast_to(spending.obrien_fleming(LOOKS, ALPHA), scaled.shape)
    return np.full(scaled.shape, normal_quantile(1 - ALPHA))


def _judge(plan: Plan, seen: Seen) -> NDArray[np.int8]:
    """1 and -1 where a look claims a difference up or down, 2 where it says that there is none to speak of, else 0."""
    z, bound = seen.estimate / seen.se, _bound(plan, seen)
    claimed = (np.sign(z) * (np.abs(z) > bound)).astype(np.int8)
    alike = np.abs(seen.estimate) + bound * seen.se < abs(plan.effect)
    return np.where((claimed == 0) & alike & (plan.method != NAIVE), np.int8(2), claimed)


def _bets(plan: Plan, control: Floats, treatment: Floats, at: NDArray[np.int64]) -> NDArray[np.int8]:
    x = (treatment - control + 1) / 2
    if plan.method == "betting":
        higher, lower = log_capitals(x, 0.5, ALPHA, effect=plan.effect / 2, planned=plan.maximum // 2)
    else:
        higher, lower = sums(x, ALPHA, plan.maximum // 2).log_e(0.5)
    limit = math.log(2 / ALPHA)
    up, down = higher[:, at - 1] >= limit, lower[:, at - 1] >= limit
    return up.astype(np.int8) - down.astype(np.int8)


def _count(tally: Tally, outside: list[NDArray[np.int8]], units: NDArray[np.int64]) -> None:
    for verdicts, sizes in zip(outside, (tally.null_sizes, tally.sizes), strict=True):
        ended = (verdicts != 0).any(axis=1)
        first = np.where(ended, (verdicts != 0).argmax(axis=1), verdicts.shape[1] - 1)
        sizes.append(units[first].astype(float))
        last = verdicts[np.arange(len(verdicts)), first]
        if sizes is tally.null_sizes:
            tally.false += int(np.count_nonzero(np.abs(last) == 1))
            tally.runs += len(last)
        else:
            tally.right += int(np.count_nonzero(last == 1))


def _rows(pool: Pool, plan: Plan, tally: Tally, fixed: int) -> list[Row]:
    name = f"errors: {pool.name}, {tally.runs:,} runs"
    system = plan.method
    label = QUORATE if system == DEFAULT else system
    false = wilson(tally.false, tally.runs, 0.98)
    power = wilson(tally.right, tally.runs, 0.98)
    note = f"planned {plan.expected / fixed:.2f}" if plan.looks > 1 and system != NAIVE else f"fixed: {fixed:,} units"
    sizes = [float(np.concatenate(found).mean()) / fixed for found in (tally.sizes, tally.null_sizes)]
    false_note = f"99 % lower bound {false.low:.4f}; {plan.looks} look{'s' if plan.looks > 1 else ''}"
    missed = wilson(tally.missed, tally.runs, 0.98)
    missed_row = Row(
        name, label, "effect outside at a look", "", (missed.estimate,), f"99 % lower bound {missed.low:.4f}"
    )
    return [
        Row(name, label, "false positives", "", (false.estimate,), false_note),
        *([] if system in EXACT else [missed_row]),
        Row(name, label, "power", "", (power.estimate,), f"99 % lower bound {power.low:.3f}; planned {plan.power:.3f}"),
        Row(name, label, "mean size, effect", "x fixed", (sizes[0],), note),
        Row(name, label, "mean size, no effect", "x fixed", (sizes[1],)),
        Row(name, label, "maximum", "x fixed", (plan.maximum / fixed,)),
    ]
