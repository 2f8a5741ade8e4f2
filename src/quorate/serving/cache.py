"""Answers kept for exactly the same input: bounded, off unless declared, one cache an endpoint and revision.

An entry belongs to the strategy that was chosen, so a split or a bandit still draws for every request, and two arms
never share an answer. Degraded answers are not kept. The input is told by its digest (SHA-256 of the bytes received).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from quorate.clock import Clock
from quorate.core.types import FloatArray

Key = tuple[str, str, bytes]
"""The strategy, what the input came as, and its digest."""


class AnswerCache:
    """Least recently used of ``entries`` answers, of ``max_bytes`` together, none older than ``seconds``."""

    def __init__(self, *, entries: int, max_bytes: int, seconds: float, clock: Clock) -> None:
        self._entries = entries
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> FloatArray | None:
        """The answer ``[n, k]`` to that input, None where there is none that is fresh."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._clock.monotonic() - kept.at > self._seconds:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def put(self, key: Key, answer: FloatArray) -> None:
        """Keep an answer; a copy, because answers may share the memory of a whole batch."""
        if key in self._kept:
            self._drop(key)
        if answer.nbytes > self._max_bytes:
            return
        self._kept[key] = _Kept(answer.copy(), self._clock.monotonic())
        self.bytes += answer.nbytes
        while len(self._kept) > self._entries or self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self.bytes -= self._kept.pop(key).answer.nbytes


class _Kept(NamedTuple):
    answer: FloatArray
    at: float
