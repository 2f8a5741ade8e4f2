"""Warm starts asked for over HTTP: one at a time, by the thread that ingests, so that each row is learned once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from quorate.clock import Clock
from quorate.control.learning.answering import ReadBlob
from quorate.control.learning.learner import Learning
from quorate.control.learning.views import WarmStartView
from quorate.control.learning.warm_start import warm_start_beside
from quorate.errors import Conflict, QuorateError
from quorate.home import Home
from quorate.store.database import Database

log = logging.getLogger("quorate.control")


class Stopped(QuorateError):
    """The process ends."""

    code = "not_ready"


@dataclass(slots=True)
class _Asked:
    learning: Learning
    view: WarmStartView


class WarmStarts:
    """What was asked for since this process started, the newest by endpoint. Threads may share it.

    One that had not ended when the process did was not done: what was learned is changed once, at its end.
    """

    def __init__(self, home: Home, database: Database, read: ReadBlob, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: dict[str, WarmStartView] = {}
        self._asked: _Asked | None = None

    def ask(self, learning: Learning, since: float, author: str) -> WarmStartView:
        """Have one begin soon; :class:`~quorate.errors.Conflict` while another waits or runs."""
        with self._lock:
            if self._asked is not None:
                raise Conflict(
                    f"A warm start of '{self._asked.learning.name}' is {self._asked.view.state} already, and one is "
                    "done at a time; ask again when it has ended.",
                    path="name",
                )
            found = WarmStartView(
                endpoint=learning.name,
                state="queued",
                since=since,
                author=author,
                asked=self._clock.now(),
                ended=None,
                learned=None,
                error=None,
            )
            self._asked = _Asked(learning, found)
            self._newest[learning.name] = found
            return found

    def newest(self, endpoint: str) -> WarmStartView | None:
        """The one that was asked for last; None where there was none since this process started."""
        with self._lock:
            return self._newest.get(endpoint)

    def work(self, rest: Callable[[], None] = lambda: None) -> None:
        """Do the one that waits, if any; hold the ingest lock. ``rest()`` is called now and then, and may raise."""
        asked = self._asked
        if asked is None:
            return
        self._now(asked, state="running")
        try:
            done = warm_start_beside(
                self._home,
                self._database,
                asked.learning,
                self._read,
                asked.view.since,
                author=asked.view.author,
                clock=self._clock,
                rest=rest,
            )
        except QuorateError as error:
            self._now(asked, state="failed", ended=self._clock.now(), error=error.message)
        except Exception:  # a plugin's code must not hold up the journals
            log.exception("The warm start of '%s' failed", asked.learning.name)
            self._now(asked, state="failed", ended=self._clock.now(), error="It failed for a reason that is logged.")
        else:
            self._now(asked, state="done", ended=self._clock.now(), learned=done.rows)
        with self._lock:
            self._asked = None

    def _now(self, asked: _Asked, **values: object) -> None:
        with self._lock:
            asked.view = self._newest[asked.learning.name] = asked.view.model_copy(update=values)
