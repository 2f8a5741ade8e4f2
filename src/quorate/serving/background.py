"""A daemon thread that does one blocking call after another for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Background:
    """For disk work that must not hold the loop up; calls are done in the order they came."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Have ``function`` called; the future is the running loop's. Cancelling it does not undo the call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(setter: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                setter(value)

        def job() -> None:
            setter: Callable[[Any], None] = future.set_result
            try:
                value: Any = function(*args, **kwargs)
            except Exception as error:
                setter, value = future.set_exception, error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(deliver, setter, value)

        self._jobs.put(job)
        return future

    def close(self, finish: Callable[[], None], timeout: float = 5.0) -> bool:
        """Do what is queued, then ``finish``; False if that took longer than ``timeout`` seconds."""
        self._jobs.put(finish)
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
