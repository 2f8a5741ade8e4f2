"""What both clients ask about selection, and what they make of replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Request


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """Whom a strategy trusts where, from ``rows`` recent rows; ``since`` and ``until`` are Unix seconds.

    ``means`` says what shares are: ``weight``, mean shares of the vote; ``answered``, shares of rows that a member
    answered; ``experts``, none: ``experts`` has the trust in each, now and over time. ``overall`` are shares by member,
    ``groups`` the same by ``by``, one of ``ways``; ``left_out`` counts rows by why they were not looked at.
    """

    endpoint: str
    strategy: str
    kind: str
    means: str
    members: tuple[str, ...]
    strategies: tuple[Mapping[str, Any], ...]
    by: str
    ways: tuple[Mapping[str, str], ...]
    decisions: int
    rows: int
    since: float | None
    until: float | None
    overall: Mapping[str, float]
    groups: tuple[Mapping[str, Any], ...]
    left_out: Mapping[str, int]
    experts: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Regret:
    """What was served against each strategy and member, over the newest rows whose outcome is known.

    ``known`` says whose losses are: ``all``, ``drawn`` (only the drawn strategy's; the others are estimated) or
    ``none``. ``others`` has each with its loss, ``points`` the sums over time; ``bound`` is what the policy promises;
    ``combiners`` are those that learn, against their experts, with their certificates. Times are Unix seconds.
    """

    endpoint: str
    policy: str
    learns: bool
    metric: str
    unit: str
    known: str
    rows: int
    outcomes: int
    since: float | None
    until: float | None
    whole: bool
    served: float | None
    best: str | None
    regret: float | None
    others: tuple[Mapping[str, Any], ...]
    points: tuple[Mapping[str, Any], ...]
    left_out: Mapping[str, int]
    bound: Mapping[str, Any] | None
    combiners: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """How often the truth was in what was promised, since Unix second ``since`` (None: ever).

    ``strategies`` has each that has a conformal state: its name, ``score``, ``conditional``, ``calibration_rows``, the
    ``default`` coverage and ``abstain``. Its ``promises`` say of every coverage that was ``asked`` for from how many
    ``rows`` it is known, the ``coverage`` that came of it with its 95 % interval ``low`` to ``high``, and the mean
    ``size`` of sets (labels) or intervals (width); ``adaptive`` has what outcomes have made of its levels, or None.
    """

    endpoint: str
    since: float | None
    strategies: tuple[Mapping[str, Any], ...]

    def of(self, strategy: str) -> Mapping[str, Any]:
        """What is known of one strategy; :class:`KeyError` for one without a conformal state."""
        return {each["strategy"]: each for each in self.strategies}[strategy]


def trust(endpoint: str, strategy: str | None, by: str | None) -> Request:
    """Ask who is trusted where."""
    asked = {name: value for name, value in (("strategy", strategy), ("by", by)) if value is not None}
    return Request("GET", _path(endpoint, "trust") + (f"?{urlencode(asked)}" if asked else ""))


def regret(endpoint: str, points: int | None) -> Request:
    """Ask for regret over time."""
    return Request("GET", _path(endpoint, "regret") + ("" if points is None else f"?{urlencode({'points': points})}"))


def coverage(endpoint: str, since: float | None) -> Request:
    """Ask how often the truth was covered."""
    return Request("GET", _path(endpoint, "coverage") + ("" if since is None else f"?{urlencode({'since': since})}"))


def _path(endpoint: str, what: str) -> str:
    return f"/v1/endpoints/{quote(endpoint, safe='')}/{what}"
