"""Where the decisions of one segment lie, by their sequence; grows with the segment."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.journal import Passed, scan


class Offsets:
    """Known up to ``end``; 16 bytes a decision."""

    def __init__(self) -> None:
        self._sequences, self._offsets = array("Q"), array("Q")
        self._file = 0
        self.end = 0
        self.sealed = False

    def update(self, path: Path) -> None:
        """Read what was written since; ``OSError``, :class:`~quorate.errors.JournalError`."""
        size = self.belongs(path)
        if self.sealed or size <= self.end:
            return
        found = scan(path, self.end)
        for _ in found:
            pass
        self._extend(found.passed())

    def extend(self, path: Path, passed: Passed) -> None:
        """Take what somebody else just read of the file, if it goes on where this ends; ``OSError``."""
        self.belongs(path)
        self._extend(passed)

    def belongs(self, path: Path) -> int:
        """Forget all where the file is another one by now, rewritten by an erasure; returns its size. ``OSError``."""
        stat = path.stat()
        if self._file not in (0, stat.st_ino):
            self._sequences, self._offsets, self.end, self.sealed = array("Q"), array("Q"), 0, False
        self._file = stat.st_ino
        return stat.st_size

    def _extend(self, passed: Passed) -> None:
        if passed.start == self.end:
            self._sequences.extend(passed.sequences)
            self._offsets.extend(passed.offsets)
            self.end, self.sealed = passed.end, passed.sealed

    def offset(self, sequence: int) -> int | None:
        """Of one decision; None where there is none of that sequence."""
        at = bisect_left(self._sequences, sequence)
        return self._offsets[at] if at < len(self._sequences) and self._sequences[at] == sequence else None

    def last(self, count: int) -> tuple[list[int], list[int]]:
        """Sequences and offsets of the newest so many decisions, the oldest first."""
        start = max(0, len(self._sequences) - count)
        return self._sequences[start:].tolist(), self._offsets[start:].tolist()

    def of(self, sequences: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Of many, int64 of the same shape; -1 where there is none of that sequence."""
        if not len(self._sequences):
            return np.full(sequences.shape, -1, np.int64)
        known, offsets = np.frombuffer(self._sequences, np.uint64), np.frombuffer(self._offsets, np.uint64)
        at = np.searchsorted(known, sequences)
        at[at == len(known)] = 0
        return np.where(known[at] == sequences, offsets[at].astype(np.int64), -1)
