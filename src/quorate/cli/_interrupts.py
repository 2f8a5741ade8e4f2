"""An interrupt (Ctrl-C, SIGINT) of a command: obeyed once, never lost, never in the middle of what is printed.

Python raises ``KeyboardInterrupt`` between any two steps of the main thread. Three of them are bad places for it. In a
finalizer or a callback of a weak reference it is printed and forgotten; in an import it may come out as an error of the
module; and in a write to a pipe that is full, what was to be written is lost. So a command is only interrupted where it
is :func:`released`, what it prints is :func:`held` together, and an interrupt that was forgotten is asked again.

A process that was started with SIGINT ignored (a shell without job control does that with ``command &``) goes on
ignoring it, as Python itself and other programs do.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
PATIENCE_S = 1.0
"""For so long after the first, more interrupts ask the same; a later one breaks through whatever is held."""

_AGAIN_S = 0.001


class Interrupts:
    """What became of the interrupts of this process while a command runs in its main thread; held until released.

    Does nothing where somebody else has a handler for SIGINT, where it is ignored, and in other threads.
    """

    def __init__(self) -> None:
        self.came = False
        """Has there been one?"""
        self.watching = False
        """Are they handled here?"""
        self._held = True
        self._due = False  # it came while held
        self._since: float | None = None
        self._main = threading.get_ident()
        self._forgotten = sys.unraisablehook

    def watch(self) -> None:
        """Begin to handle SIGINT."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        self.watching = True
        self._forgotten, sys.unraisablehook = sys.unraisablehook, self._unraisable
        signal.signal(signal.SIGINT, self._asked)

    def end(self) -> None:
        """Handle it no longer."""
        if self.watching:
            self.watching = False
            sys.unraisablehook = self._forgotten
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def hold(self, held: bool) -> bool:
        """Hold interrupts, or raise the one that is due and each that comes; returns whether they were held before."""
        before, self._held = self._held, held
        if self._due and not held:
            self._due = False
            raise KeyboardInterrupt
        return before

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        self.came = True
        if self._since is None:
            self._since = now
            if self._held:
                self._due = True
                return
        elif now < self._since + PATIENCE_S:
            return
        self._due = False
        raise KeyboardInterrupt

    def _unraisable(self, forgotten: Any) -> None:
        """Called for what was raised where nothing can be raised."""
        if not issubclass(forgotten.exc_type, KeyboardInterrupt) or threading.get_ident() != self._main:
            self._forgotten(forgotten)
            return
        self._since = None
        # Raised from here it would be forgotten too. No `threading.Thread`, whose locks may be held just here.
        _thread.start_new_thread(self._again, ())

    def _again(self) -> None:
        time.sleep(_AGAIN_S)
        if self.watching:
            signal.pthread_kill(self._main, signal.SIGINT)  # a signal, as it ends a wait


_current = Interrupts()


def watch() -> Interrupts:
    """Handle the interrupts of a command that begins now; call ``end`` of what is returned when it is over."""
    global _current
    _current = Interrupts()
    _current.watch()
    return _current


@contextmanager
def held() -> Iterator[None]:
    """No interrupt is raised in this block; one that comes is raised at its end, unless a block around holds it too."""
    interrupts = _current
    before = interrupts.hold(True)
    try:
        yield
    finally:
        interrupts.hold(before)


@contextmanager
def released() -> Iterator[None]:
    """Interrupts are raised in this block, and before it the one that is due."""
    interrupts = _current
    before = True
    try:
        before = interrupts.hold(False)
        yield
    finally:
        interrupts.hold(before)


def hand_over() -> None:
    """For a command that becomes another program: from here on an interrupt ends this process by itself.

    One that came before is raised. One that is noted for Python would be lost with it.
    """
    if _current.watching:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interruptible(items: Iterable[T]) -> Iterator[T]:
    """The items, as a block that is held goes over them: interrupts are raised while one is waited for."""
    left = iter(items)
    while True:
        with released():
            found = next(left, _END)
        if found is _END:
            return
        yield found


_END: Any = object()
