"""What stands in line for a unit: one request's wish, whom it is told, and the run that it became a part of."""

from __future__ import annotations

import asyncio
from typing import Protocol

from quorate.errors import MemberError, MemberTimeout
from quorate.serving.batch import Part
from quorate.serving.feed import Feed


class NotRun(MemberError):
    """There was no room for the run: no fault of the member's."""


class NotStarted(NotRun):
    """The deadline came while the item waited in line."""

    code = MemberTimeout.code


class Promise(Protocol):
    """What a work's result is told: a future, or somebody who is called at once."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Part, /) -> None: ...

    def set_exception(self, exception: Exception, /) -> None: ...


class Run:
    """A run of works in a thread or a member's process; ``began`` (monotonic seconds) is None while it waits for one.

    ``limit`` seconds after that it is overdue; ``blamed`` says that its member was, which is done once a run.
    """

    __slots__ = ("began", "blamed", "limit", "works")

    def __init__(self, works: list[Work], limit: float) -> None:
        self.works = works
        self.limit = limit
        self.began: float | None = None
        self.blamed = False

    def overdue(self, now: float) -> bool:
        """Whether it takes longer than a run may."""
        return self.began is not None and now - self.began >= self.limit


class Work:
    """One request's wish of one unit; ``promise`` is told its :class:`Part`, or the error.

    ``started`` is when it was taken out of the line (monotonic seconds), None in line; ``run`` what it became a part
    of. ``prompt`` work runs in one of the next turns of the loop, or is told it is too late.
    """

    __slots__ = ("bulk", "fault_after", "feed", "owner", "promise", "prompt", "rows", "run", "started", "until")

    def __init__(
        self, feed: Feed, promise: Promise, *, until: float, fault_after: float, owner: str, bulk: bool
    ) -> None:
        self.feed = feed
        self.promise = promise
        self.rows = feed.rows
        self.until = until
        self.fault_after = fault_after
        self.owner = owner
        self.bulk = bulk
        self.started: float | None = None
        self.run: Run | None = None
        self.prompt = False

    def to_blame(self, now: float) -> bool:
        """Whether its run is overdue and nobody was blamed for that yet; then the caller does."""
        run = self.run
        if run is None or run.blamed or not run.overdue(now):
            return False
        run.blamed = True
        return True


class Awaited(Work):
    """Work that a coroutine waits for: its promise is the future ``future``."""

    __slots__ = ("future",)

    def __init__(
        self, feed: Feed, future: asyncio.Future[Part], *, until: float, fault_after: float, owner: str, bulk: bool
    ) -> None:
        super().__init__(feed, future, until=until, fault_after=fault_after, owner=owner, bulk=bulk)
        self.future = future
