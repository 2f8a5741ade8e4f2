"""What both clients of learners send, and what they make of replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Request


@dataclasses.dataclass(frozen=True, slots=True)
class Learned:
    """What an endpoint's policy has learned; times are Unix seconds.

    ``shares`` are the probabilities of its strategies for a request without context, ``rows`` how many rows became
    known by what became of them, ``state`` what the policy keeps, ``reward`` what it learns from, ``arms`` what is
    known of each strategy and ``guard`` the guard rails. ``combiners`` has what combiners have learned, by strategy;
    where only they learn, ``reward`` is None.
    """

    endpoint: str
    policy: str
    reward: Mapping[str, Any] | None
    version: int
    since: float | None
    updated: float | None
    rows: Mapping[str, int]
    shares: Mapping[str, float]
    state: Mapping[str, Any]
    arms: tuple[Mapping[str, Any], ...] = ()
    guard: Mapping[str, Any] | None = None
    combiners: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class WarmStart:
    """A warm start; times are Unix seconds.

    ``state`` is ``queued``, ``running``, ``done`` or ``failed``. ``learned`` are rows by what became of them, once it
    is done; ``error`` says why it failed.
    """

    endpoint: str
    state: str
    since: float
    author: str
    asked: float
    ended: float | None = None
    learned: Mapping[str, int] | None = None
    error: str | None = None

    @property
    def over(self) -> bool:
        """Has it ended, one way or the other?"""
        return self.ended is not None


def one(endpoint: str) -> Request:
    """Look at what was learned."""
    return Request("GET", _path(endpoint))


def reset(endpoint: str) -> Request:
    """Have it forgotten."""
    return Request("POST", f"{_path(endpoint)}/reset")


def warm_start(endpoint: str, since: float | None) -> Request:
    """Have it learned anew from history."""
    query = "" if since is None else f"?{urlencode({'since': since})}"
    return Request("POST", f"{_path(endpoint)}/warm-start{query}")


def newest(endpoint: str) -> Request:
    """Look at the newest warm start."""
    return Request("GET", f"{_path(endpoint)}/warm-start")


def _path(endpoint: str) -> str:
    return f"/v1/endpoints/{quote(endpoint, safe='')}/learner"
