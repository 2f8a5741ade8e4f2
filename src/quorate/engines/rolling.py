"""A rolling upgrade: every process is replaced by a fresh one with the code on disk, one after the other.

Standard library only. A spare worker is started first. If it does not become ready, nothing else is touched: the code
on disk is no good. Once it is, it stands in for each worker while that drains and comes back, so as many answer as
before at any time. The slots' files have one owner at a time, since the spare has a slot of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

SPARE_READY_S = 300.0
START_ATTEMPTS = 3


class Child(Protocol):
    """What is to be known of a process; ``retiring`` until it has ended."""

    ready_at: float | None
    retiring: bool
    deaths: int

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Child)


class Rolling(Generic[C]):
    """The state of an upgrade; ``retire(child)`` ends one gently, after which all but the spare are started again."""

    def __init__(
        self, spare: C, children: Iterable[C], *, retire: Callable[[C], None], clock: Callable[[], float]
    ) -> None:
        self.spare = spare
        self.limit = clock() + SPARE_READY_S
        """Until then the spare must be ready."""
        self._waiting = deque(children)
        self._current: C | None = None
        self._count = len(self._waiting)
        self._retire = retire
        self._clock = clock

    def step(self) -> tuple[bool, str] | None:
        """Do what can be done now; at the end whether it is done, and a sentence about that."""
        if self.spare.ready_at is None:
            if self.spare.deaths:
                return False, "The new worker died before it was ready; the old ones go on. Its log lines say why."
            if self._clock() >= self.limit:
                return False, f"The new worker was not ready within {SPARE_READY_S:g} s; the old ones go on."
            return None
        current = self._current
        if current is not None and (current.retiring or current.ready_at is None):
            if current.deaths >= START_ATTEMPTS:
                return False, f"{current.name} does not come back; {self.spare.name} answers in its place meanwhile."
            return None
        if self._waiting:
            self._current = self._waiting.popleft()
            self._retire(self._current)
            return None
        self._retire(self.spare)
        return True, f"Upgraded: {self._count} processes were replaced."
