"""Best: the strategy that did best lately answers, and is changed only for one that is clearly better.

Every ``check_rows`` rows the windows' means are compared (:mod:`quorate.core.select.window`). Another strategy takes
over when, in ``checks`` checks running, it was the best and better than the present one by more than ``margin +
switching_cost / horizon``: what a switch costs, in the metric's unit, spread over the requests it should pay for
itself in. With a ``bound``, a present strategy that is worse than it in ``checks`` checks running is replaced by the
``baseline``, and only a strategy that is better than the bound by ``margin`` can take over. Strategies with fewer
than ``min_evidence`` rows in their windows are not compared.

``reward`` and ``accuracy`` are means of rewards (of the metric that the policy's rewards are made of), which full
feedback gives of all strategies. ``latency`` (mean, ms) and ``error_rate`` are of decisions as they are made, so only
of the strategy that was assigned: then, or without truth, ``floor`` is what gives the others any evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.select import window
from quorate.core.select.base import Feedback, Policy
from quorate.core.select.guard import share
from quorate.core.select.learner import setting
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class BestParams:
    """See :mod:`quorate.core.select.best`."""

    metric: Literal["reward", "accuracy", "latency", "error_rate"] = setting("reward", "What is compared.")
    window_rows: int | None = setting(1000, "Newest rows of a strategy that count.")
    window_s: float | None = setting(None, "Seconds that a row counts.")
    min_evidence: int = setting(100, "Rows in a strategy's window, before it is compared.")
    margin: float = setting(0.0, "How much better another strategy must be, in the metric's unit.")
    checks: int = setting(3, "Checks running in which it must be.")
    check_rows: int = setting(100, "Rows between checks.")
    switching_cost: float = setting(0.0, "What a switch costs, in the metric's unit times requests.")
    horizon: int = setting(10_000, "Requests over which that is spread.")
    floor: float = setting(0.0, "The least share of every strategy.")
    baseline: str | None = setting(None, "The strategy to begin with, and to fall back to; the first one by default.")
    bound: float | None = setting(None, "A strategy that is worse than this is replaced by the baseline.")


class Best(Policy):
    """The best lately, with hysteresis.

    State: ``p``, ``current`` (its index), ``values`` and ``evidence`` by strategy as of the last check, the windows;
    in the metadata ``switches`` (how many) and ``last`` (when, from which to which, why, with which values).

    >>> Best(["a", "b"], BestParams(baseline="b", floor=0.1)).distribution(None, {}, {}).tolist()
    [0.1, 0.9]
    """

    kind = "best"
    learns = True
    watches = True
    Params = BestParams

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        super().__init__(strategies, params)
        baseline = self.params.baseline
        self._baseline = self.strategies.index(baseline) if baseline in self.strategies else 0
        self._sign = -1.0 if self.params.metric in ("latency", "error_rate") else 1.0

    def check(self) -> None:
        """A window, evidence that fits into it, and a baseline that exists."""
        p, k = self.params, len(self.strategies)
        if p.baseline is not None and p.baseline not in self.strategies:
            raise ConfigError(
                f"there is no strategy '{p.baseline}'; expected one of {', '.join(self.strategies)}.", path="baseline"
            )
        if not 0.0 <= p.floor <= 1.0 / k:
            raise ConfigError(f"floor must lie between 0 and 1/{k}; got {p.floor:g}.", path="floor")
        if p.window_rows is None and p.window_s is None:
            raise ConfigError("a window needs window_rows, window_s or both; got neither.", path="window_rows")
        for name in ("window_rows", "window_s", "min_evidence", "checks", "check_rows", "horizon"):
            value = getattr(p, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be above 0; got {value:g}.", path=name)
        for name in ("margin", "switching_cost"):
            value = getattr(p, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a number of at least 0; got {value:g}.", path=name)
        if p.window_rows is not None and p.min_evidence > p.window_rows * (window.PARTS - 1) // window.PARTS:
            raise ConfigError(
                f"min_evidence must fit into 19/20 of window_rows, {p.window_rows}; got {p.min_evidence}.",
                path="min_evidence",
            )

    def initial(self) -> State:
        """The baseline answers."""
        k = len(self.strategies)
        arrays = window.empty(k) | {
            "rows": np.zeros(1),
            "streak": np.zeros(2),  # checks running, and for which strategy
            "current": np.array([self._baseline], np.int64),
            "values": np.full(k, np.nan),
            "evidence": np.zeros(k),
            "p": self._p(self._baseline),
        }
        return State(self.kind, 1, {"switches": 0, "last": None}, arrays)

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """All but the floors at the present one; see :meth:`Policy.distribution`."""
        published: NDArray[np.float64] = (state or self.initial()).arrays["p"].copy()
        return published

    def learn(self, state: State | None, feedback: Sequence[Feedback]) -> State:
        """See :meth:`Policy.learn`. Decisions without rewards count for latency and errors only."""
        state = state or self.initial()
        k = len(self.strategies)
        windows = window.Windows(state.arrays, self.params.window_rows, self.params.window_s)
        rows, run = float(state.arrays["rows"][0]), _Run(state)
        for each in feedback:
            if len(each.rewards) != k:
                raise ValueError(f"feedback must have rewards of {k} strategies; got {len(each.rewards)}.")
            seen = self._observed(each)
            if not seen:
                continue
            windows.tick(each.at)
            for strategy, value in seen:
                windows.add(strategy, value, each.at)
            rows += 1
            if rows % self.params.check_rows == 0:
                self._check(run, windows)
        arrays = windows.arrays() | {
            "rows": np.array([rows]),
            "streak": np.array([run.streak, run.challenger], np.float64),
            "current": np.array([run.current], np.int64),
            "values": run.values,
            "evidence": run.evidence,
            "p": self._p(run.current),
        }
        return State(self.kind, 1, {"switches": run.switches, "last": run.last}, arrays)

    def _observed(self, each: Feedback) -> list[tuple[int, float]]:
        """By strategy, what the row says of the metric."""
        known = [(i, value) for i, value in enumerate(each.rewards.tolist()) if math.isfinite(value)]
        if self._sign > 0:
            return known
        if known or not math.isnan(each.rewards.sum()):  # it came before, when it was decided
            return []
        value = float(each.error) if self.params.metric == "error_rate" else each.latency_ms
        return [(each.assigned, value)] if math.isfinite(value) else []

    def _check(self, run: _Run, windows: window.Windows) -> None:
        p, now = self.params, run.current
        run.values, run.evidence = windows.means()
        scores = np.where(run.evidence >= p.min_evidence, self._sign * run.values, np.nan)
        limit = None if p.bound is None else self._sign * p.bound
        wanted, why = now, ""
        if limit is not None and now != self._baseline and scores[now] < limit:
            wanted, why = self._baseline, f"{p.metric} worse than the bound {p.bound:g}"
        elif not np.isnan(scores[now]):
            others = np.where(np.arange(len(scores)) == now, np.nan, scores)
            if limit is not None:
                others[~(others >= limit + p.margin)] = np.nan
            needed = p.margin + p.switching_cost / p.horizon
            if not np.isnan(others).all() and np.nanmax(others) - scores[now] > needed:
                wanted, why = int(np.nanargmax(others)), f"better {p.metric} by more than {needed:g}"
        if wanted == now:
            run.streak = 0
            return
        run.streak = run.streak + 1 if wanted == run.challenger and run.streak else 1
        run.challenger = wanted
        if run.streak >= p.checks:
            run.switch(self.strategies, windows.clock, why)

    def _p(self, current: int) -> NDArray[np.float64]:
        q = np.zeros(len(self.strategies))
        q[current] = 1.0
        return share(q, self.params.floor)


class _Run:
    """What changes while rows are learned."""

    def __init__(self, state: State) -> None:
        arrays = state.arrays
        self.current = int(arrays["current"][0])
        self.streak, self.challenger = (int(x) for x in arrays["streak"])
        self.values, self.evidence = arrays["values"], arrays["evidence"]
        self.switches: int = state.meta["switches"]
        self.last: Mapping[str, Any] | None = state.meta["last"]

    def switch(self, strategies: Sequence[str], at: float, why: str) -> None:
        before, after = self.current, self.challenger
        values = [None if math.isnan(self.values[i]) else float(self.values[i]) for i in (before, after)]
        self.last = {
            "at": at if math.isfinite(at) else None,
            "from": strategies[before],
            "to": strategies[after],
            "why": why,
            "value_from": values[0],
            "value_to": values[1],
            "evidence_from": int(self.evidence[before]),
            "evidence_to": int(self.evidence[after]),
        }
        self.switches += 1
        self.current, self.streak = after, 0
