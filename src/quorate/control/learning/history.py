"""What a policy gave each strategy over time: shares of the traffic that was really assigned."""

from __future__ import annotations

from collections import Counter, defaultdict

import sqlalchemy as sa
from pydantic import Field

from quorate.control.view import View
from quorate.store import ledger

MOST = 60
"""Stretches that a time is divided into, at most."""


class StretchView(View):
    """Some minutes of traffic from Unix time ``at`` on: how many requests each strategy was assigned."""

    at: float
    requests: dict[str, int]


class SharesView(View):
    """Requests by strategy over time, the oldest first; those that callers chose a strategy for are left out."""

    endpoint: str
    now: float
    stretch_s: float = Field(description="Seconds of one stretch; the last one is not over.")
    strategies: list[str]
    stretches: list[StretchView]


def shares(connection: sa.Connection, endpoint: str, strategies: list[str], hours: float, now: float) -> SharesView:
    """The last ``hours`` hours in at most :data:`MOST` stretches of whole minutes; strategies that are gone last."""
    minutes = max(1, round(hours * 60))
    width = -(-minutes // MOST)
    last = int(now // 60) // width
    first = last - -(-minutes // width) + 1
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for key, tally in ledger.traffic(connection, endpoint, first * width):
        if key.source != "caller":
            found[key.minute // width][key.strategy] += tally.requests
    gone = sorted({name for counts in found.values() for name in counts} - set(strategies))
    return SharesView(
        endpoint=endpoint,
        now=now,
        stretch_s=width * 60.0,
        strategies=[*strategies, *gone],
        stretches=[
            StretchView(at=index * width * 60.0, requests=dict(found[index])) for index in range(first, last + 1)
        ],
    )
