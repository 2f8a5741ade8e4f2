"""Servers under measurement: started on their cores, ready when all workers are, stopped with all they started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import psutil

from benchmarks.harness.machine import pinned

READY_WITHIN = 60.0
STOPPED_WITHIN = 20.0
MARK = "QUORATE_BENCH_SERVER"
"""A variable that tells which processes a server started, also when their parents are gone."""
MB = 1e6
_PAUSE = 0.005


class Memory(NamedTuple):
    """Resident and proportional set of a process tree in MB (the latter counts shared pages once), and its size."""

    rss_mb: float
    pss_mb: float
    processes: int


class Server:
    """A server's process tree, as a context manager; ready when it is entered.

    It is ready when ``mark`` has been written ``marks`` times to its output, which goes to ``log``, and its port
    takes connections. ``started_in`` is how many seconds that took.
    """

    def __init__(
        self,
        argv: Sequence[str],
        port: int,
        *,
        mark: str,
        marks: int = 1,
        log: Path,
        cores: Sequence[int] | None = None,
        environment: Mapping[str, str] | None = None,
        ready_within: float = READY_WITHIN,
    ) -> None:
        self.port = port
        self._ready_within = ready_within
        self.started_in = 0.0
        self.argv = tuple(argv)
        self._argv = [*pinned(cores), *argv]
        self._mark = mark
        self._marks = marks
        self._log = log
        self._token = f"{os.getpid()}-{port}-{time.monotonic_ns()}"
        self._environment = {**os.environ, **(environment or {}), MARK: self._token}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, process_group=0
            )
        try:
            self._wait(started + self._ready_within)
        except BaseException:
            self.stop()
            raise
        self.started_in = time.perf_counter() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, until: float) -> None:
        assert self._process is not None
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() > until:
                raise RuntimeError(
                    f"{' '.join(self._argv[:6])} … was not ready:\n{self._log.read_text(errors='replace')}"
                )
            time.sleep(_PAUSE)

    def _is_ready(self) -> bool:
        return self._log.read_text(errors="replace").count(self._mark) >= self._marks and is_open(self.port)

    def stop(self) -> None:
        """Ask it to end, then make it; nothing of its tree is left."""
        process, self._process = self._process, None
        if process is None:
            return
        tree = _tree(process.pid)
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        left = psutil.wait_procs(tree, timeout=2)[1]
        for one in {*left, *self._strays()}:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=1)

    def _strays(self) -> list[psutil.Process]:
        """Processes that left the tree and live on (daemons of frameworks that detach them)."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._token:
                    found.append(process)
        return found

    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        assert self._process is not None
        return _tree(self._process.pid)

    def cpu_seconds(self) -> float:
        """Processor time that the whole tree has used so far, in user and in kernel mode."""
        used = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def memory(self, argument: str | None = None) -> Memory:
        """What the whole tree holds now, or those of it that were started with an argument."""
        found = []
        for process in self.tree():
            with contextlib.suppress(psutil.Error):
                if argument is not None and argument not in process.cmdline():
                    continue
                info = process.memory_full_info()
                found.append((info.rss, getattr(info, "pss", info.rss)))
        return Memory(sum(r for r, _ in found) / MB, sum(p for _, p in found) / MB, len(found))

    def connections(self) -> dict[int, int]:
        """Open connections by process id, of the processes that have any."""
        found: dict[int, int] = {}
        for process in self.tree():
            try:
                sockets = process.net_connections("tcp")
            except psutil.Error:
                continue
            held = sum(s.status == psutil.CONN_ESTABLISHED and s.laddr.port == self.port for s in sockets)
            if held:
                found[process.pid] = held
        return found


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_open(port: int) -> bool:
    """Whether a connection to a port of 127.0.0.1 succeeds."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
