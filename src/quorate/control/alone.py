"""What one process of a project does at a time: by a lock in its ``run`` folder, again and again until told to stop."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from quorate.errors import QuorateError
from quorate.home import Home

log = logging.getLogger("quorate.control")


@contextmanager
def alone(home: Home, name: str) -> Iterator[bool]:
    """Try to be the one that does ``name`` while the block runs; yields False where another process is."""
    home.run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.run / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def keep_doing(
    home: Home,
    name: str,
    tasks: Mapping[str, Callable[[], object]],
    stop: threading.Event,
    *,
    every_s: float,
    woken: threading.Event | None = None,
) -> None:
    """Do all ``tasks`` in turn while this process is :func:`alone`, again after ``every_s`` seconds, until ``stop``.

    The keys of ``tasks`` begin the log line of one that failed: ``Journals cannot be ingested``. ``woken`` ends a pause
    early; who sets ``stop`` sets it too.
    """
    while not stop.is_set():
        with alone(home, name) as mine:
            while mine and not stop.is_set():
                for trouble, task in tasks.items():
                    try:
                        task()
                    except (QuorateError, OSError) as error:
                        log.error("%s, trying again: %s", trouble, error)
                (woken or stop).wait(every_s)
                if woken is not None:
                    woken.clear()
        stop.wait(every_s)
