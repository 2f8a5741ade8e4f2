"""Compaction in a process of its own, which gets a processor only while nobody else wants it.

A thread of control would take a processor from the workers for a second at a time, even at the lowest priority of its
kind: a worker that wakes up waits until the thread's slice is over. The memory that columns need goes with the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from quorate.codecs.lookup import Segment
from quorate.control.journal.compact import Attempt, attempt

_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(Attempt).decode_lines


class CompactProcess:
    """At most one process that compacts; ends with this one, however that ends. ``idle``: it gets a processor only
    while nobody else wants it."""

    def __init__(self, *, idle: bool = True) -> None:
        self._idle = idle
        self.failed = False
        """Whether the last process ended before its time."""
        self._process: subprocess.Popen[bytes] | None = None
        self._segments: Sequence[Segment] = ()

    @property
    def busy(self) -> bool:
        """Whether it was started and has not been asked for what came of it."""
        return self._process is not None

    def start(self, segments: Sequence[Segment]) -> None:
        """Compact these; ``OSError`` where no process can be started."""
        command = [sys.executable, "-P", "-m", "quorate.control.journal.compacting", "idle" if self._idle else "now"]
        given = [msgspec.json.encode((each.slot, each.boot, each.first, str(each.path))).decode() for each in segments]
        self._segments = segments
        self._process = subprocess.Popen(
            [*command, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def finished(self) -> list[tuple[Segment, Attempt]]:
        """What came of the segments, once the process has ended; those it did not come to are not in it."""
        process = self._process
        if process is None or process.poll() is None:
            return []
        self._process = None
        self.failed = process.returncode != 0
        told = process.communicate()[0]
        outcomes = _decode(told[: told.rfind(b"\n") + 1])  # killed, it may have left half a line
        return list(zip(self._segments, outcomes, strict=False))

    def stop(self) -> None:
        """End it now; what it has not finished is done again later."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def humbly() -> None:
    """Run only while nobody else wants the processor; with the lowest priority where the system has no such policy."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # until its other end is gone
    os._exit(1)


def main(when: str, *given: str) -> None:
    """Compact the segments given as JSON, ``idle`` or now; one line each of what came of it."""
    if when == "idle":
        humbly()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for one in given:
        slot, boot, first, path = msgspec.json.decode(one)
        sys.stdout.buffer.write(_encode([attempt(Segment(slot, boot, first, Path(path)))]))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
