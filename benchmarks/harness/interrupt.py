"""A benchmark that is told to end (Ctrl-C, SIGTERM) ends what it started, and nothing stays behind."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

_SET_CHILD_SUBREAPER = 36


def run(main: Callable[[], int]) -> int:
    """Call ``main``; 130 after an interrupt. Processes that outlive their parents become ours, and are ended."""
    with suppress(OSError, AttributeError):  # Linux only; elsewhere servers end their own trees
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return main()
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was saved.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left = psutil.Process().children(recursive=True)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)


def after(seconds: float, process: subprocess.Popen[str]) -> threading.Timer:
    """Have a process ended after a time, as by Ctrl-C; cancel the timer where it ends by itself."""
    timer = threading.Timer(seconds, process.terminate)
    timer.daemon = True
    timer.start()
    return timer


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
