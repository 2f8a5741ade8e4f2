"""Many things at once: in order, never far ahead, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.client.lookahead import AHEAD, ordered, ordered_async
from quorate.errors import InvalidInput


def counted(n: int, taken: list[int]) -> Iterator[int]:
    for i in range(n):
        taken.append(i)
        yield i


async def collect(n: int, concurrency: int, order: list[int]) -> list[int]:
    """Squares, of which those in flight are finished in a given order rather than their own."""
    turn = asyncio.Event()

    async def square(i: int) -> int:
        for _ in range(order[i % len(order)]):
            await asyncio.sleep(0)
        return i * i

    turn.set()
    return [found async for found in ordered_async(square, range(n), concurrency)]


@given(st.integers(0, 30), st.integers(1, 8), st.lists(st.integers(0, 5), min_size=1, max_size=7))
@settings(deadline=None)
def test_order_is_kept_whoever_is_done_first(n: int, concurrency: int, order: list[int]) -> None:
    expected = [i * i for i in range(n)]
    assert asyncio.run(collect(n, concurrency, order)) == expected
    assert list(ordered(lambda i: i * i, range(n), concurrency)) == expected


def test_order_is_kept_in_threads_where_the_first_is_done_last() -> None:
    second_done = threading.Event()

    def work(i: int) -> int:
        if i == 0:
            assert second_done.wait(10)
        if i == 1:
            second_done.set()
        return i

    assert list(ordered(work, range(6), 2)) == list(range(6))


def test_no_more_than_so_many_run_at_a_time_and_the_input_is_taken_as_needed() -> None:
    taken: list[int] = []
    running = most = 0
    lock = threading.Lock()

    def work(i: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return i

    results = ordered(work, counted(1000, taken), 3)
    for i in range(50):
        assert next(results) == i
        assert len(taken) <= i + AHEAD * 3
    results.close()  # type: ignore[attr-defined]
    assert most <= 3
    assert len(taken) < 60


def test_the_async_one_takes_as_little_and_cancels_what_is_under_way() -> None:
    taken: list[int] = []
    cancelled: list[int] = []

    async def work(i: int) -> int:
        if i < 2:
            return i
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(i)
            raise
        return i

    async def main() -> None:
        results = ordered_async(work, counted(1000, taken), 3)
        assert [await anext(results), await anext(results)] == [0, 1]
        await results.aclose()  # type: ignore[attr-defined]
        assert len(taken) <= 2 + AHEAD * 3
        assert cancelled == [2, 3, 4]

    asyncio.run(main())


def broken() -> Iterator[int]:
    yield from (1, 2, 3)
    raise OSError("the input ends here")


def test_an_input_that_breaks_loses_no_result() -> None:
    found = []

    def take() -> None:
        for each in ordered(lambda i: i, broken(), 4):
            found.append(each)

    with pytest.raises(OSError, match="ends here"):
        take()
    assert found == [1, 2, 3]

    async def same(i: int) -> int:
        return i

    async def main() -> None:
        async for each in ordered_async(same, broken(), 4):
            found.append(each)

    with pytest.raises(OSError, match="ends here"):
        asyncio.run(main())
    assert found == [1, 2, 3] * 2


def test_the_threads_end_when_nobody_listens_any_more() -> None:
    others = set(threading.enumerate())
    results = ordered(lambda i: i, range(1000), 4)
    next(results)
    started = set(threading.enumerate()) - others
    assert started
    results.close()  # type: ignore[attr-defined]
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("concurrency", [0, -1])
def test_concurrency_is_one_or_more(concurrency: int) -> None:
    with pytest.raises(InvalidInput, match="concurrency is 1 or more"):
        next(ordered(lambda i: i, [1], concurrency))
