"""Doing many things at once without getting far ahead of whoever takes the results, in order."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from quorate.errors import InvalidInput

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2


def check_concurrency(concurrency: int) -> None:
    """:class:`~quorate.errors.InvalidInput` unless it is 1 or more."""
    if concurrency < 1:
        raise InvalidInput(f"concurrency is 1 or more; got {concurrency}.", path="concurrency")


def ordered(function: Callable[[T], R], items: Iterable[T], concurrency: int) -> Iterator[R]:
    """``function`` of each item, ``concurrency`` at a time in threads, in the order of the items.

    At most ``AHEAD * concurrency`` items are taken before their results are. Items are taken in the caller's thread. An
    error from ``items`` is raised after the results that were under way; one from ``function`` at its place.
    The threads are daemons, so what is under way when the caller stops early holds no exit up.
    """
    check_concurrency(concurrency)
    work: queue.SimpleQueue[tuple[T, Future[R]] | None] = queue.SimpleQueue()
    waiting: deque[Future[R]] = deque()
    threads: list[threading.Thread] = []
    left = iter(items)
    broken: BaseException | None = None
    more = True
    try:
        while more or waiting:
            while more and len(waiting) < AHEAD * concurrency:
                try:
                    item = next(left)
                except StopIteration:
                    more = False
                    break
                except Exception as error:
                    more, broken = False, error
                    break
                waiting.append(Future())
                work.put((item, waiting[-1]))
                if len(threads) < min(concurrency, len(waiting)):
                    threads.append(threading.Thread(target=_run, args=(function, work), daemon=True))
                    threads[-1].start()
            if waiting:
                yield waiting.popleft().result()
        if broken is not None:
            raise broken
    finally:
        for future in waiting:
            future.cancel()
        for _ in threads:
            work.put(None)


async def ordered_async(
    function: Callable[[T], Awaitable[R]], items: Iterable[T], concurrency: int
) -> AsyncGenerator[R, None]:
    """The same for coroutines; what is under way when the caller stops early is cancelled."""
    check_concurrency(concurrency)
    free = asyncio.Semaphore(concurrency)

    async def run(item: T) -> R:
        async with free:
            return await function(item)

    waiting: deque[asyncio.Task[R]] = deque()
    left = iter(items)
    broken: BaseException | None = None
    more = True
    try:
        while more or waiting:
            while more and len(waiting) < AHEAD * concurrency:
                try:
                    waiting.append(asyncio.create_task(run(next(left))))
                except StopIteration:
                    more = False
                except Exception as error:
                    more, broken = False, error
            if waiting:
                yield await waiting[0]
                waiting.popleft()
        if broken is not None:
            raise broken
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _run(function: Callable[[T], R], work: queue.SimpleQueue[tuple[T, Future[R]] | None]) -> None:
    while (task := work.get()) is not None:
        item, future = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(function(item))
        except BaseException as error:
            future.set_exception(error)
