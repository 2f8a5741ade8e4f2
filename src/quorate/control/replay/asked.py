"""What a replay is asked for, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quorate.core.stats.influence import Estimate
from quorate.core.stats.off_policy import Overlap
from quorate.errors import InvalidInput

Method = Literal["auto", "exact", "off-policy"]
METHODS: tuple[Method, ...] = ("auto", "exact", "off-policy")


@dataclass(frozen=True, slots=True)
class Question:
    """What if ``strategy`` or ``policy`` had been live at ``endpoint``?

    A strategy is a name (of a strategy, or of a member alone) or a definition as in ``quorate.yaml``; a policy is a
    definition. ``since`` and ``until`` (Unix seconds) and ``revision`` say which decisions. ``metric`` is ``accuracy``
    or ``error`` (the absolute one, of numbers), which follow from the truth, or the name of a reward; by default the
    first or second, as the task is.
    """

    endpoint: str
    strategy: str | Mapping[str, Any] | None = None
    policy: Mapping[str, Any] | None = None
    since: float | None = None
    until: float | None = None
    revision: int | None = None
    metric: str | None = None
    method: Method = "auto"

    def check(self) -> None:
        """:class:`InvalidInput` naming the field that is wrong."""
        if (self.strategy is None) == (self.policy is None):
            got = "neither" if self.strategy is None else "both"
            raise InvalidInput(f"Give one of 'strategy' and 'policy'; got {got}.", path="strategy")
        check_times(self.since, self.until)
        if self.method not in METHODS:
            raise InvalidInput(f"method is one of {', '.join(METHODS)}; got '{self.method}'.", path="method")


def check_times(since: float | None, until: float | None) -> None:
    """:class:`InvalidInput` for what are no Unix seconds, or not in order."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and not (math.isfinite(moment) and 0 <= moment < 1e11):
            raise InvalidInput(f"{name} is Unix seconds; got {moment}.", path=name)
    if since is not None and until is not None and since >= until:
        raise InvalidInput(f"since must be before until; got {since:g} and {until:g}.", path="until")


@dataclass(slots=True)
class Counts:
    """Decisions of the endpoint in the time asked for. ``left_out`` says why others were not used, each once.

    ``degraded`` and ``fell_back`` are among the used; ``rows`` are used rows.
    """

    decisions: int = 0
    with_outcome: int = 0
    used: int = 0
    rows: int = 0
    degraded: int = 0
    fell_back: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave(self, why: str, count: int) -> None:
        """So many were not used."""
        if count:
            self.left_out[why] = self.left_out.get(why, 0) + count


@dataclass(slots=True)
class Files:
    """What was read: files by kind; what could not be is counted and not in the result.

    ``unread_decisions`` are those of damaged compacted files, ``damaged_bytes`` those of segments.
    """

    compacted: int = 0
    segments: int = 0
    gone: int = 0
    damaged: int = 0
    unread_decisions: int = 0
    damaged_bytes: int = 0
    unreadable_records: int = 0


@dataclass(frozen=True, slots=True)
class OffPolicyEstimate:
    """One method's estimate of what the target would have earned, and of how much more than was earned."""

    method: str
    value: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replay came to; ``difference`` is ``candidate`` less ``live``, on the same decisions.

    ``reproduced`` are rows that the replayed strategy itself had answered live, ``differing`` those of them whose
    answer was not the same bit for bit. Times are Unix seconds.
    """

    endpoint: str
    strategy: str | Mapping[str, Any] | None
    policy: Mapping[str, Any] | None
    since: float | None
    until: float | None
    revision: int | None
    metric: str
    higher_is_better: bool
    method: Literal["exact", "off-policy"]
    interval: str
    candidate: Estimate
    live: Estimate
    difference: Estimate
    verdict: Literal["better", "worse", "not shown"]
    counts: Counts
    files: Files
    estimates: tuple[OffPolicyEstimate, ...] = ()
    overlap: Overlap | None = None
    reproduced: int = 0
    differing: int = 0
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


def verdict(difference: Estimate, *, higher_is_better: bool) -> Literal["better", "worse", "not shown"]:
    """What the interval of the difference says."""
    low, high = (difference.low, difference.high) if higher_is_better else (-difference.high, -difference.low)
    return "better" if low > 0 else "worse" if high < 0 else "not shown"
