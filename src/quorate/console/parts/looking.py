"""Looking again and again: a status line that says how fresh the figures are, and what is wrong where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import ui

from quorate.console import words
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node


class Looking:
    """Calls ``look`` every ``every_s`` seconds, one call at a time; it returns what to say when all went well.

    Where control is gone the page keeps what it shows and says since when; where it refuses, why.
    """

    def __init__(self, look: Callable[[], Awaitable[str]], now: Callable[[], float], *, every_s: float) -> None:
        self._look = look
        self._now = now
        self._began = now()
        self._good_at: float | None = None
        self._busy = False
        with Node("p", "status", role="status") as self._status:
            self._dot = Node("span", "dot", aria_hidden="true")
            self._line = Node("span", "", "Looking …", data_testid="status")
        ui.timer(every_s, self.again, immediate=False)

    async def again(self, look: Callable[[], Awaitable[str]] | None = None) -> None:
        """Look now, unless a look is under way; by ``look``, where this one is to be another."""
        if self._busy:
            return
        self._busy = True
        try:
            line = await (look or self._look)()
        except ControlGone:
            since = self._now() - (self._began if self._good_at is None else self._good_at)
            kept = " These are the last figures." if self._good_at is not None else ""
            self._say(f"Control is not reachable since {words.ago(since)}; trying again.{kept}", "bad")
        except ControlRefused as error:
            self._say(refused(error), "bad")
        except asyncio.CancelledError:
            return
        else:
            self._good_at = self._now()
            self._say(line, "good")
        finally:
            self._busy = False

    def _say(self, line: str, state: str) -> None:
        self._line.say(line)
        self._status.flag("stale", state == "bad")
        for name in ("good", "bad"):
            self._dot.flag(name, name == state)


def problem_of(error: ControlGone | ControlRefused) -> str:
    """What went wrong with something that was asked for, in a sentence or two."""
    if isinstance(error, ControlGone):
        return "Control is not reachable, or took too long. It is started again by itself; try once more in a moment."
    return refused(error)


def refused(error: ControlRefused, role: str = "operate") -> str:
    """Why control does not tell or do something, in words."""
    if error.status == 401:
        return "Your API key is not valid any more. Log in again with another one."
    if error.status == 403:
        return f"This needs a key with the role {role}."
    return error.message
