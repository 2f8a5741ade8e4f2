"""Lanes: where a member runs, chosen by what it was measured to cost.

Under about a millisecond a thread hand-off costs more than it gives, so such members run inline on the event loop;
slower ones run in a few daemon threads (``concurrent.futures`` would block the exit of a worker behind a hung run).
Isolated runtimes have a process of their own and need no lane.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from math import inf
from queue import SimpleQueue
from typing import Any, TypeVar

from quorate.clock import Clock
from quorate.errors import MemberError

T = TypeVar("T")


class _Job:
    __slots__ = ("finished", "function", "future", "limit", "loop", "replaced", "started")

    def __init__(
        self, function: Callable[[], Any], limit: float, future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.function = function
        self.limit = limit
        self.future = future
        self.loop = loop
        self.started: float | None = None
        self.finished = False
        self.replaced = False


class ThreadLane:
    """A bounded pool of daemon threads; a thread that a hung run holds is replaced, up to ``spares`` times at once.

    When all spares are used, :attr:`exhausted` is true and the worker asks to be restarted: a thread in native code
    cannot be killed.
    """

    def __init__(self, threads: int, *, clock: Clock, queue: int = 256, spares: int = 8, name: str = "lane") -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._unfinished: set[_Job] = set()
        self._leaving = threading.Lock()
        self._clock = clock
        self._limit = queue
        self._spares = spares
        self._name = name
        self._threads = 0
        self.size = threads
        self.replaced = 0
        for _ in range(threads):
            self._spawn()

    @property
    def exhausted(self) -> bool:
        """True when no spare thread is left."""
        return self.replaced >= self._spares

    def _spawn(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result: Any = None
            error: Exception | None = None
            job.started = self._clock.monotonic()
            if not job.future.cancelled():
                try:
                    result = job.function()
                except Exception as caught:
                    error = caught
            with self._leaving:
                job.finished = True
                leave = job.replaced
            try:
                job.loop.call_soon_threadsafe(self._deliver, job, result, error)
            except RuntimeError:  # the loop closed while this ran
                return
            if leave:
                return

    def _deliver(self, job: _Job, result: Any, error: Exception | None) -> None:
        self._unfinished.discard(job)
        if job.replaced:
            self.replaced -= 1
        if job.future.done():
            return
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)

    def submit(self, function: Callable[[], T], *, limit: float = inf) -> asyncio.Future[T]:
        """Run ``function`` in a thread; it is taken for hung after ``limit`` seconds, whoever still waits for it.

        Raises :class:`MemberError` at once when the queue is full.
        """
        if len(self._unfinished) >= self._limit:
            raise MemberError(
                f"The thread lane is full: {self._limit} runs are waiting; lower the load or add workers."
            )
        loop = asyncio.get_running_loop()
        job = _Job(function, limit, loop.create_future(), loop)
        self._unfinished.add(job)
        self._jobs.put(job)
        return job.future

    def sweep(self) -> None:
        """Put other threads in the place of those that hung runs hold; called a few times a second."""
        now = self._clock.monotonic()
        for job in self._unfinished:
            if self.exhausted:
                return
            if job.started is None or job.replaced or now - job.started < job.limit:
                continue
            with self._leaving:
                job.replaced = not job.finished
            if job.replaced:
                self.replaced += 1
                self._spawn()

    def close(self) -> None:
        """Let idle threads end; hung ones die with the process."""
        for _ in range(self._threads):
            self._jobs.put(None)
