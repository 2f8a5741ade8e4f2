"""What an audit is asked for, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quorate.control.replay.asked import Counts, Files, check_times
from quorate.core.audit.metrics import OF_CLASSES, OF_VALUES
from quorate.core.stats.influence import Estimate
from quorate.errors import InvalidInput

METRICS = (*OF_CLASSES, *OF_VALUES)
Verdict = Literal["harmful", "redundant", "useful", "unclear"]


@dataclass(frozen=True, slots=True)
class Question:
    """Which members of a pool are worth what, and which can go?

    ``name`` is an endpoint, or a pool (then the decisions of all its endpoints count). ``strategy`` is how members are
    combined: a strategy's name, or a definition as in ``quorate.yaml``; by default the endpoint's own. ``metric`` is
    one of :data:`METRICS`, ``margin`` what may be lost of it, in its own unit. ``since`` and ``until`` are Unix
    seconds. ``costs`` are the members', in any one unit; by default measured milliseconds.
    """

    name: str
    strategy: str | Mapping[str, Any] | None = None
    metric: str | None = None
    margin: float | None = None
    since: float | None = None
    until: float | None = None
    costs: Mapping[str, float] | None = None

    def check(self) -> None:
        """:class:`InvalidInput` naming the field that is wrong."""
        if self.metric is not None and self.metric not in METRICS:
            raise InvalidInput(f"metric is one of {', '.join(METRICS)}; got '{self.metric[:64]}'.", path="metric")
        if self.margin is not None and not (math.isfinite(self.margin) and self.margin >= 0):
            raise InvalidInput(f"margin is a number from 0 on; got {self.margin}.", path="margin")
        check_times(self.since, self.until)
        for member, cost in (self.costs or {}).items():
            if not (math.isfinite(cost) and cost >= 0):
                raise InvalidInput(f"costs are numbers from 0 on; got {cost} for '{member}'.", path=f"costs.{member}")


@dataclass(frozen=True, slots=True)
class Member:
    """A member. ``alone`` is the metric as it is written; ``shapley``, ``leave_one_out`` and ``kept`` (in the
    recommended pool, where it stays) are gains, positive where the pool is better with it. ``cost`` is in
    :attr:`Answer.unit`."""

    name: str
    verdict: Verdict
    reason: str
    alone: Estimate
    shapley: Estimate
    leave_one_out: Estimate
    kept: Estimate | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """How alike two members are; see :mod:`quorate.core.audit.redundancy`."""

    first: str
    second: str
    rows: int
    q: Estimate | None
    disagreement: Estimate
    double_fault: Estimate | None
    correlation: Estimate | None


@dataclass(frozen=True, slots=True)
class Headroom:
    """The metric of an oracle, of the best single member and of the pool, as it is written, and the gains between."""

    best_member: str
    oracle: Estimate
    best: Estimate
    ensemble: Estimate
    over_best: Estimate
    over_ensemble: Estimate


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the search, as the check saw it: ``drops`` leaves, ``keeps`` are left, with that ``value`` and those
    gains over the whole pool, over the step before, and over the best pool of the search where it is beyond it."""

    drops: str
    keeps: tuple[str, ...]
    searched: float
    value: Estimate
    gain: Estimate
    by_step: Estimate
    over_best: Estimate | None
    holds: bool


@dataclass(frozen=True, slots=True)
class Recommended:
    """The pool that is recommended. ``strategy`` is what to write in ``quorate.yaml``; None where all stay or the
    combiner has to be fitted again. ``cost`` and ``saves`` are in :attr:`Answer.unit`, ``share`` is what is saved."""

    keep: tuple[str, ...]
    drop: tuple[str, ...]
    strategy: Mapping[str, Any] | None
    cost: float | None
    saves: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """The recommended pool replayed on the ``rows`` that the search did not see; ``gain`` is over the whole pool."""

    rows: int
    whole: Estimate
    recommended: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """What an audit came to. Gains are positive where something is better, whatever the metric; metrics are as written.

    ``source`` says which rows: ``decisions``, or the name of a file. ``thinned`` is the share of decisions that was
    used where there were too many. ``orders`` pairs of orders were drawn for the Shapley values, with at most
    ``sampling`` as standard error; None where they are exact. ``unit`` is ``ms`` (measured, a request) or ``cost``.
    """

    name: str
    endpoints: tuple[str, ...]
    pool: str
    strategy: str | Mapping[str, Any]
    source: str
    since: float | None
    until: float | None
    metric: str
    higher_is_better: bool
    margin: float
    rows: int
    decisions: int
    searched: int
    thinned: float
    nothing: float
    whole: Estimate
    members: tuple[Member, ...]
    pairs: tuple[Pair, ...]
    headroom: Headroom
    steps: tuple[Step, ...]
    recommended: Recommended
    check: Check
    orders: int | None
    sampling: float
    unit: Literal["ms", "cost"] | None
    cost: float | None
    currency: str | None
    money_per_million: float | None
    summary: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: Counts | None
    files: Files | None
    seconds: float = 0.0
