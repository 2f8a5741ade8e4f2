"""The control process: ready, its port, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from quorate.clock import SystemClock
from quorate.control.server import serve
from quorate.errors import ConfigError
from quorate.telemetry import counters

CODE = """
import sys
from pathlib import Path
from quorate.clock import SystemClock
from quorate.control.server import serve
from quorate.home import Home
home, port, life, ready = sys.argv[1:]
serve(Home(Path(home)), host="127.0.0.1", port=int(port), insecure=False, clock=SystemClock(),
      life_fd=int(life), ready_fd=int(ready))
"""


class Control:
    """A control process and the pipes a supervisor would hold."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        life, self.life = os.pipe()
        self.ready, ready = os.pipe()
        arguments = [str(root), str(self.port), str(life), str(ready)]
        self.process = subprocess.Popen([sys.executable, "-c", CODE, *arguments], pass_fds=(life, ready))
        os.close(life)
        os.close(ready)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)


@pytest.fixture
def control(project: Any) -> Iterator[Control]:
    process = Control(project.home.root)
    yield process
    process.process.kill()
    process.process.wait()
    os.close(process.ready)


def test_it_is_ready_serves_and_obeys_sigterm(project: Any, control: Control) -> None:
    assert os.read(control.ready, 16) == b"1"
    assert control.get("/v1/health").json()["status"] == "ok"
    assert 'quorate_ready{process="control"} 1.0' in control.get("/metrics").text
    control.process.send_signal(signal.SIGTERM)
    assert control.process.wait(20) == 0
    series, alive = counters.read(project.home.telemetry / "control.qt")
    assert not alive
    assert [s.cells for s in series if s.metric == "quorate_ready"] == [(0.0,)]
    os.close(control.life)


def test_it_ends_with_its_supervisor(control: Control) -> None:
    assert os.read(control.ready, 16) == b"1"
    os.close(control.life)
    assert control.process.wait(20) == 0


def test_it_refuses_other_machines_without_keys(project: Any) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        serve(project.home, host="0.0.0.0", port=0, insecure=False, clock=SystemClock(), life_fd=-1, ready_fd=-1)
