"""A running server replaces all its processes, and a client that never stops asking notices nothing."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import QUORATE
from tests.e2e.test_many_pools import ask, certainty, project, right

pytestmark = pytest.mark.slow


class Callers:
    """Clients in closed loops, each on a connection that is kept."""

    def __init__(self, url: str, count: int) -> None:
        self.url = url
        self.bad: list[str] = []
        self.good = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def _call(self) -> None:
        with httpx.Client(timeout=30) as http:
            while not self._over.is_set():
                try:
                    answer = ask(http, self.url, 0)
                except httpx.HTTPError as error:
                    self.bad.append(repr(error))
                else:
                    if right(answer, 0):
                        self.good += 1
                    else:
                        self.bad.append(answer.text)

    def __enter__(self) -> Callers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()


def upgrade(folder: Path) -> subprocess.CompletedProcess[str]:
    run = [*QUORATE, "upgrade", "--project", str(folder)]
    return subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)


def test_not_one_request_fails(server: Any, tmp_path: Path) -> None:
    running = server(project(tmp_path / "site", 1), "--workers", "2")
    before = running.pids()
    with Callers(running.url, 4) as callers:
        done = upgrade(running.project)
    assert done.returncode == 0, done.stdout + done.stderr + running.log()
    assert "Upgraded: 3 processes were replaced." in done.stdout
    assert callers.bad == []
    assert callers.good > 50
    after = running.pids()
    assert after.keys() == before.keys() == {"worker 0", "worker 1", "control"}
    assert not set(after.values()) & set(before.values())
    alive = {child.pid for child in psutil.Process(running.process.pid).children()}
    running.until(
        lambda: {child.pid for child in psutil.Process(running.process.pid).children()} == set(running.pids().values()),
        within=20,
        what=lambda: f"the spare has gone; alive: {alive}",
    )
    assert certainty(0) == 0.5
    assert right(ask(running.http, running.url, 0), 0)


def test_what_cannot_start_replaces_nobody(server: Any, tmp_path: Path) -> None:
    running = server(project(tmp_path / "site", 1))
    before = running.pids()
    current = running.project / ".quorate" / "snapshot" / "CURRENT"
    kept = current.read_bytes()
    current.unlink()  # a new worker cannot begin without
    done = upgrade(running.project)
    current.write_bytes(kept)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the old ones go on" in done.stdout
    assert running.pids() == before
    assert right(ask(running.http, running.url, 0), 0)
    assert upgrade(running.project).returncode == 0  # the next one can
    assert not set(running.pids().values()) & set(before.values())


def test_without_a_server_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    done = upgrade(project(tmp_path / "site", 1))
    assert done.returncode == 2
    assert "is not being served" in done.stderr
