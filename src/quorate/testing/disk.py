"""A real disk that can be told to fill up, to fail, to stall, and to write in small pieces."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from quorate.serving.segments import SegmentFile


class FaultyDisk:
    """Makes segment files for a :class:`~quorate.serving.journal.Journal` (``create=disk.create``), and their faults.

    ``space`` is how many more bytes fit (None: any number), ``error`` an errno that every write raises (0: none),
    ``piece`` the most bytes one write takes. Writes wait while ``flow`` is not set, syncs
    while ``sync_flow`` is not set. ``writes`` has the length
    of each write, ``synced`` counts file syncs.
    """

    def __init__(self) -> None:
        self.space: int | None = None
        self.error = 0
        self.piece: int | None = None
        self.flow = threading.Event()
        self.flow.set()
        self.sync_flow = threading.Event()
        self.sync_flow.set()
        self.writes: list[int] = []
        self.synced = 0

    def create(self, path: Path) -> SegmentFile:
        """A new segment on this disk."""
        return _File(path, self)


class _File(SegmentFile):
    def __init__(self, path: Path, disk: FaultyDisk) -> None:
        super().__init__(path)
        self._disk = disk

    def write(self, data: memoryview) -> int:
        disk = self._disk
        disk.flow.wait()
        if disk.error:
            raise OSError(disk.error, os.strerror(disk.error))
        if disk.space is not None:
            if disk.space == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: disk.space]
        written = super().write(data[: disk.piece])
        if disk.space is not None:
            disk.space -= written
        disk.writes.append(written)
        return written

    def sync(self) -> None:
        self._disk.sync_flow.wait()
        self._disk.synced += 1
        super().sync()
