"""The line in front of a unit: interactive before bulk, and endpoints in turn, so that none starves another."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

BULK_TURN = 8
"""Of so many takings one begins with bulk, or it would wait for ever beside a busy endpoint."""

_ANY = 1 << 62


class Waiting(Protocol):
    """What may stand in line."""

    rows: int
    owner: str
    bulk: bool


W = TypeVar("W", bound=Waiting)


class _Turns(Generic[W]):
    """A queue an owner; owners take turns."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[W]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, work: W) -> None:
        queue = self._queues.get(work.owner)
        if queue is None:
            queue = self._queues[work.owner] = deque()
        queue.append(work)

    def take(self, limit: int) -> W | None:
        """The first work of the owner whose turn it is; None if it has more than ``limit`` rows."""
        owner, queue = next(iter(self._queues.items()))
        if queue[0].rows > limit:
            return None
        work = queue.popleft()
        if queue:
            self._queues.move_to_end(owner)
        else:
            del self._queues[owner]
        return work


class Line(Generic[W]):
    """Works in the order in which they are to run; ``count`` works of ``rows`` rows are waiting."""

    __slots__ = ("_bulk", "_interactive", "_takings", "count", "rows")

    def __init__(self) -> None:
        self._interactive: _Turns[W] = _Turns()
        self._bulk: _Turns[W] = _Turns()
        self._takings = 0
        self.count = 0
        self.rows = 0

    def put(self, work: W) -> None:
        """To the end of its owner's queue."""
        (self._bulk if work.bulk else self._interactive).put(work)
        self.count += 1
        self.rows += work.rows

    def leave(self, work: W) -> None:
        """A work is not wanted any more: its rows do not count. It is still taken in its turn, to be thrown away."""
        self.rows -= work.rows
        work.rows = 0

    def take(self, limit: int) -> list[W]:
        """The next works, of at most ``limit`` rows together; the first may have more."""
        taken: list[W] = []
        self._takings += 1
        if self._bulk and self._takings % BULK_TURN == 0:
            self._move(self._bulk, taken, limit, works=1)
        self._move(self._interactive, taken, limit)
        self._move(self._bulk, taken, limit)
        return taken

    def _move(self, turns: _Turns[W], taken: list[W], limit: int, works: int = _ANY) -> None:
        left = limit - sum(work.rows for work in taken)
        while turns and works:
            work = turns.take(left if taken else _ANY)
            if work is None:
                return
            taken.append(work)
            works -= 1
            left -= work.rows
            self.count -= 1
            self.rows -= work.rows
