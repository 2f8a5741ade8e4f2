"""Servers under measurement: a small one with a child stands in for all."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.harness.process import Server, free_port, is_open

PROGRAM = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
kept = []
while True:
    kept.append(listener.accept())
"""


def _server(port: int, folder: Path, program: str = PROGRAM, mark: str = "ready") -> Server:
    return Server([sys.executable, "-c", program, str(port)], port, mark=mark, log=folder / "logs" / "server.log")


def test_a_server_is_ready_inside_and_gone_outside(tmp_path: Path) -> None:
    port = free_port()
    with _server(port, tmp_path) as server:
        assert is_open(port)
        assert server.started_in > 0
        tree = server.tree()
        assert len(tree) == 2
        assert server.cpu_seconds() > 0
    assert not is_open(port)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in tree)


def test_connections_are_counted_by_the_process_that_holds_them(tmp_path: Path) -> None:
    port = free_port()
    with _server(port, tmp_path) as server:
        before = sum(server.connections().values())
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            found = server.connections()
        assert list(found) == [server.tree()[0].pid]
        assert found[server.tree()[0].pid] - before in (1, 2)  # the second may still wait to be accepted


@pytest.mark.parametrize("program", ["print('no luck'); raise SystemExit(3)", "print('no luck')"])
def test_a_server_that_ends_early_is_an_error_that_shows_its_output(tmp_path: Path, program: str) -> None:
    with pytest.raises(RuntimeError, match="no luck"), _server(free_port(), tmp_path, program):
        pass
