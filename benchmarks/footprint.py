"""``make bench-footprint``: what Quorate costs before it answers anything: imports, packages, memory, starts.

The limits are the project's own: what a release must not exceed.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.harness import digits, machine
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row, render, save
from benchmarks.peers.asgi import PATH
from benchmarks.peers.check import post
from benchmarks.peers.export import BODIES, POOL, export
from benchmarks.peers.pool import VARIABLE
from benchmarks.peers.systems import program
from quorate.engines.local import STABLE_AFTER
from quorate.home import Home

RUN = FOLDER / "run"
BARE = "bare Python"
PEER = "ASGI, five sessions"
REQUESTS = 1000
MB = 1e6
COUNT = "import importlib.metadata as m; print(sum(x.name not in ('pip', 'setuptools') for x in m.distributions()))"


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="rounds of each measurement (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the order in each round (%(default)s)")
    return parser.parse_args(argv)


def install(folder: Path) -> Path:
    """Install the core, as locked, and this project into an environment of its own; returns its Python."""
    print("Installing the core into an environment of its own …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", "requirements/core.txt"], check=True)
    subprocess.run([*pip, "--no-deps", "."], check=True)
    return python.absolute()


def commands(python: Path, pairs: int, seed: int) -> list[Row]:
    """Packages installed, and how long it takes to import Quorate and to print the help."""
    packages = int(subprocess.run([python, "-c", COUNT], check=True, capture_output=True).stdout)
    lines: dict[str, list[str | Path]] = {
        BARE: [python, "-c", "pass"],
        "import": [python, "-c", "import quorate"],
        "help": [python.with_name("quorate"), "--help"],
    }
    took: dict[str, list[float]] = defaultdict(list)
    for command in lines.values():  # the first run compiles and reads the disk
        _seconds(command)
    for order in schedule(list(lines), 3 * pairs, seed):
        for name in order:
            took[name].append(_seconds(lines[name]))
    extra = tuple(a - b for a, b in zip(took["import"], took[BARE], strict=True))
    install, start = "core install", "a command, seconds"
    return [
        Row(install, QUORATE, "packages installed", "", (packages,)),
        Row(install, LIMIT, "packages installed", "", (42,)),
        Row(start, BARE, "python -c pass", "s", tuple(took[BARE])),
        Row(start, QUORATE, "import quorate, over bare Python", "s", extra),
        Row(start, LIMIT, "import quorate, over bare Python", "s", (0.2,)),
        Row(start, QUORATE, "quorate --help", "s", tuple(took["help"])),
        Row(start, LIMIT, "quorate --help", "s", (0.4,)),
    ]


def _seconds(command: Sequence[str | Path]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


class Servers:
    """Quorate as a core installation serves the pool, and a hand-written program that does; one worker each."""

    def __init__(self, quorate: Path) -> None:
        project = digits.project("footprint")
        export(Home(project), RUN / "models")
        self._quorate = quorate
        self._project = project
        self._bodies = (RUN / "models" / BODIES).read_bytes().splitlines()
        environment = {VARIABLE: str((RUN / "models" / POOL).resolve())}
        self._peer = program(PEER, "asgi:five", environment)

    def measure(self, pairs: int, seed: int) -> list[Row]:
        """Start each once unmeasured, then in rounds: start, answer, weigh, stop."""
        starts: dict[str, list[float]] = defaultdict(list)
        memory: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number, order in enumerate(schedule([QUORATE, PEER], pairs + 1, seed)):
            for name in order:
                with self._server(name) as server:
                    self._ask(name, server.port, REQUESTS if number else 1)
                    if number:
                        starts[name].append(server.started_in)
                        for what, weight in _weigh(server).items():
                            memory[name, what].append(weight)
        rows = [Row("one worker", name, "start to ready", "s", tuple(took)) for name, took in starts.items()]
        rows.sort(key=lambda row: row.system != QUORATE)
        rows.append(Row("one worker", LIMIT, "start to ready", "s", (5.0,)))
        for what in ("RSS of the worker", "PSS of the worker", "PSS of all processes"):
            rows += [Row("one worker", name, what, "MB", tuple(memory[name, what])) for name in (QUORATE, PEER)]
            if what == "RSS of the worker":
                rows.append(Row("one worker", LIMIT, what, "MB", (150.0,)))
        return [*rows, *self._recovery(pairs)]

    def _recovery(self, pairs: int) -> list[Row]:
        """From ``kill -9`` of the only worker to the next answer."""
        took: list[float] = []
        metric = "kill -9 to the next answer"
        with self._server(QUORATE) as server:
            for _ in range(pairs):
                time.sleep(STABLE_AFTER + 0.5)  # one that dies again at once is restarted with a pause
                worker = _worker(server)
                started = time.perf_counter()
                worker.kill()
                while not self._answers(server.port):
                    time.sleep(0.005)
                took.append(time.perf_counter() - started)
        return [
            Row("one worker", QUORATE, metric, "s", tuple(took)),
            Row("one worker", LIMIT, metric, "s", (1.0,)),
        ]

    def _server(self, name: str) -> Server:
        if name == PEER:
            return self._peer.start(1, None)
        port = free_port()
        command = digits.serve(self._project, port, free_port(), 1, self._quorate)
        return Server(command, port, mark=digits.READY, log=RUN / "serve.log")

    def _ask(self, name: str, port: int, requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        path = digits.PREDICT if name == QUORATE else PATH
        for number in range(requests):
            body = self._bodies[number % len(self._bodies)]
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"{name} answered {answer.status}.")
        connection.close()

    def _answers(self, port: int) -> bool:
        try:
            return post(port, digits.PREDICT, self._bodies[0])[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def _worker(server: Server) -> psutil.Process:
    """The process that listens on the server's port."""
    return next(
        process
        for process in server.tree()
        if any(s.status == psutil.CONN_LISTEN and s.laddr.port == server.port for s in process.net_connections("tcp"))
    )


def _weigh(server: Server) -> dict[str, float]:
    """Megabytes; the proportional set (PSS) counts pages that processes share once."""
    worker = _worker(server).memory_full_info()
    found = {"RSS of the worker": worker.rss / MB}
    if hasattr(worker, "pss"):
        found["PSS of the worker"] = worker.pss / MB
        found["PSS of all processes"] = sum(process.memory_full_info().pss for process in server.tree()) / MB
    return found


def main(argv: Sequence[str]) -> int:
    """Measure, print, save."""
    asked = options(argv)
    shutil.rmtree(RUN, ignore_errors=True)
    about = machine.describe()
    python = install(RUN / "venv")
    rows = commands(python, asked.pairs, asked.seed)
    rows += Servers(python.with_name("quorate")).measure(asked.pairs, asked.seed)
    print(about)
    print(render(rows))
    print(f"\nWritten to {save(rows, 'footprint')}.")
    shutil.rmtree(RUN)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)  # the core installation must use its own copy
    sys.exit(main(sys.argv[1:]))
