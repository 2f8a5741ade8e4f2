"""A worker's ring: memory of the kernel where records are safe from the worker's end before the disk has them.

Writing to a file in a memory file system takes microseconds and never waits for a disk, so the event loop does it
itself, and an answer need not wait until a thread has written, which on a busy processor may be its next time slice.
The records are freed in the order they came, as the disk gets them. Format and rescue: :mod:`quorate.codecs.ring`.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path

from quorate.codecs import ring
from quorate.codecs.journal import HEADER_SIZE, Header, encode_header

log = logging.getLogger("quorate.serving")

RING_BYTES = 512 * 1024
"""Of one worker; several times what comes while a disk in good health writes."""


class Ring:
    """The ring of one boot, made in ``memory`` and linked from the slot's ``folder``; ``OSError`` where that fails."""

    def __init__(self, memory: Path, folder: Path, header: Header, *, size: int = RING_BYTES) -> None:
        self._size = size
        self._link = ring.link_of(folder, header.boot)
        self._waiting: deque[tuple[int, int]] = deque()  # from where to where, the oldest first
        self._position = self._used = HEADER_SIZE
        self._wipe = False
        self._descriptor, name = tempfile.mkstemp(prefix=ring.PREFIX, suffix=ring.SUFFIX, dir=memory)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            whole = encode_header(header).ljust(size + 1, b"\0") + os.fsencode(self._link.absolute())
            if os.pwrite(self._descriptor, whole, 0) < len(whole):  # a memory that is full says so now
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._link.symlink_to(name)
        except OSError:
            os.close(self._descriptor)
            Path(name).unlink()
            raise

    def put(self, data: bytes) -> bool:
        """Keep records, framed; False where there is no room for them."""
        count, waiting = len(data), self._waiting
        if not waiting:
            start = HEADER_SIZE
        else:
            oldest, start = waiting[0][0], self._position
            if start > oldest and start + count > self._size:
                start = HEADER_SIZE
            if start <= oldest < start + count:
                return False
        stop = start + count
        if stop > self._size:
            return False
        try:
            if os.pwrite(self._descriptor, data, start) != count:
                return False
        except OSError:
            log.exception("The ring of the journal cannot be written; answers wait for the disk")
            return False
        waiting.append((start, stop))
        self._position = stop
        self._used = max(self._used, stop)
        return True

    def free(self) -> None:
        """The disk has what came first, which may be overwritten."""
        self._waiting.popleft()
        if self._wipe and not self._waiting:
            self.wipe()

    def wipe(self) -> None:
        """Overwrite what the disk has, as soon as nothing else is here: who erases it there does not look here."""
        self._wipe = bool(self._waiting)
        if not self._wipe:
            with suppress(OSError):
                os.pwrite(self._descriptor, bytes(self._used - HEADER_SIZE), HEADER_SIZE)
            self._used = HEADER_SIZE

    def close(self) -> None:
        """Delete it if the disk has all; else it stays, for the slot's next worker."""
        if not self._waiting:
            ring.remove(self._link)
        os.close(self._descriptor)


def open_ring(memory: str | None, folder: Path, header: Header) -> Ring | None:
    """A ring where one is wanted and can be made; without, answers wait for the disk's cache, which is said once."""
    if memory is None:
        return None
    try:
        ring.sweep(Path(memory), header.created / 1e9)
        return Ring(Path(memory), folder, header)
    except OSError as error:
        log.warning(
            "There is no ring for the journal in %s (%s): answers wait until the disk's cache has them.", memory, error
        )
        return None
