"""One process at a time does it, again and again, and a failure ends nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from quorate.control.alone import alone, keep_doing
from quorate.errors import StoreError
from quorate.home import Home


class Stop(threading.Event):
    """Set after so many pauses; ``pauses`` are their lengths."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) >= self._after:
            self.set()
        return self.is_set()


def test_who_comes_second_waits_for_the_first(tmp_path: Path) -> None:
    home, done = Home(tmp_path), []
    with alone(home, "this") as mine, alone(home, "this") as again, alone(home, "that") as other:
        assert (mine, again, other) == (True, False, True)
        keep_doing(home, "this", {"It fails": lambda: done.append("held")}, Stop(after=3), every_s=0.5)
        assert done == []
    stop = Stop(after=3)
    keep_doing(home, "this", {"It fails": lambda: done.append("free")}, stop, every_s=0.5)
    assert done == ["free"] * 3
    assert set(stop.pauses) == {0.5}


def test_a_task_that_fails_is_logged_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def fails() -> None:
        raise StoreError("the disk is gone.")

    tasks = {"This cannot be done": fails, "That cannot be done": lambda: done.append(1)}
    keep_doing(Home(tmp_path), "this", tasks, Stop(after=2), every_s=0.0)
    assert done == [1, 1]
    assert [record.message for record in caplog.records] == ["This cannot be done, trying again: the disk is gone."] * 2


def test_who_is_woken_does_not_wait_for_the_pause(tmp_path: Path) -> None:
    stop, woken, turns = threading.Event(), threading.Event(), threading.Semaphore(0)
    arguments = (Home(tmp_path), "this", {"It fails": turns.release}, stop)
    thread = threading.Thread(target=keep_doing, args=arguments, kwargs={"every_s": 600.0, "woken": woken}, daemon=True)
    thread.start()
    for _ in range(3):
        assert turns.acquire(timeout=30)
        woken.set()
    stop.set()
    woken.set()
    thread.join(30)
    assert not thread.is_alive()
