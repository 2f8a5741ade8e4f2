"""A page that is looked at again and again: what it says while control answers, and while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorate.console import words
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node

Look = Callable[[], Awaitable[str]]
"""Reads and shows what is new; returns what the status line says then."""


class Live:
    """A line that says how fresh the page is. What was shown stays while control is away."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._good_at: float | None = None
        self._looking = False
        with Node("p", "status", role="status") as self._status:
            self._dot = Node("span", "dot", aria_hidden="true")
            self._line = Node("span", "", "Looking …", data_testid="status")

    async def look(self, look: Look) -> None:
        """Look once, unless a look is under way."""
        if self._looking:
            return
        self._looking = True
        try:
            line = await look()
        except ControlGone:
            since = self._now() - (self._began if self._good_at is None else self._good_at)
            kept = " This is what was last known." if self._good_at is not None else ""
            self._say(f"Control is not reachable since {words.ago(since)}; trying again.{kept}", "bad")
        except ControlRefused as error:
            denied = error.status in (401, 403)
            self._say("Experiments need a key with the role operate." if denied else error.message, "bad")
        except asyncio.CancelledError:
            return
        else:
            self._good_at = self._now()
            self._say(line, "good")
        finally:
            self._looking = False

    def _say(self, line: str, state: str) -> None:
        self._line.say(line)
        self._status.flag("stale", state == "bad")
        for name in ("good", "bad"):
            self._dot.flag(name, name == state)


def problem_of(error: ControlGone | ControlRefused) -> str:
    """What went wrong with something that was asked for, in a sentence or two."""
    if isinstance(error, ControlGone):
        return "Control is not reachable, or took too long. It is started again by itself; try once more in a moment."
    if error.status in (401, 403):
        return "This needs a key with the role operate."
    return error.message
