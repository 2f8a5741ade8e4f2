"""The process tree, for real: nothing is orphaned, nothing that matters depends on what was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading

import psutil
import pytest

from quorate.home import Home

pytestmark = pytest.mark.slow

BODY = {"instances": [[[0] * 8] * 8]}


def predict(running) -> dict:
    response = running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY)
    assert response.status_code == 200, response.text
    return response.json()


def tree(running) -> list[psutil.Process]:
    supervisor = psutil.Process(running.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(alive(process) for process in processes)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def ends(running, number: signal.Signals) -> None:
    """The signal stops everything, and it says that all went well."""
    processes = tree(running)
    assert running.stop(number) == 0
    assert gone(processes)


def test_killing_control_leaves_serving_untouched_and_it_comes_back(digits, server):
    running = server(digits)
    control = running.pid("control")
    worker = running.pid("worker 0")
    os.kill(control, signal.SIGKILL)
    for _ in range(50):
        predict(running)
    running.until(
        lambda: running.pids().get("control", control) != control, within=20, what=lambda: "control is started again"
    )

    def answers() -> bool:
        try:
            return running.http.get(f"{running.control}/v1/health").status_code == 200
        except Exception:
            return False

    running.until(answers, within=30, what=lambda: f"control answers again\n{running.log()}")
    assert running.pid("worker 0") == worker
    ends(running, signal.SIGHUP)


def test_a_killed_worker_comes_back(digits, server):
    running = server(digits, "--workers", "2")
    old = running.pid("worker 0")
    os.kill(old, signal.SIGKILL)
    running.until(
        lambda: "worker 0 is back" in running.log(), within=20, what=lambda: f"the worker is back\n{running.log()}"
    )
    assert running.pid("worker 0") != old
    for _ in range(20):
        predict(running)
    assert len(tree(running)) == 4
    ends(running, signal.SIGTERM)


def test_a_killed_supervisor_takes_everything_with_it(digits, server):
    running = server(digits)
    processes = tree(running)
    running.kill()
    running.until(lambda: gone(processes), within=20, what=lambda: f"all are gone: {processes}")


def test_ctrl_c_while_a_member_hangs(digits, server):
    from quorate.clock import SystemClock
    from quorate.core.types import TensorSpec
    from quorate.registry.registry import Registry
    from quorate.training.register import register_model

    home = Home(digits)
    registry = Registry(home.registry, SystemClock())
    healthy = registry.manifest("logistic")
    source = (
        "from pathlib import Path\nimport numpy as np\n"
        "def predict(input):\n"
        "    if (input == 0).mean() > 0.9:\n"
        f"        Path({str(digits / 'stuck')!r}).touch()\n"
        "        while True: pass\n"
        "    return np.full((len(input), 10), 0.1, np.float32)\n"
    )
    register_model(
        registry,
        name="stuck",
        format="callable",
        files={"stuck.py": source.encode()},
        signature=healthy.signature,
        tensors=(TensorSpec("input", "float32", (None, 64)),),
        preprocess=healthy.preprocess,
        options={"entry": "predict"},
        sample_raw={"image": [bytes_of_digit(digits)]},
    )
    home.config.write_text(
        "pools:\n  digits: {task: classification, members: [logistic, stuck]}\n"
        "endpoints:\n  digits:\n    pool: digits\n    strategies: {soft-vote: {kind: vote}}\n    deadline_ms: 20000\n"
    )
    running = server(digits)
    outcome: list[int] = []

    def ask() -> None:
        import httpx

        try:
            reply = httpx.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY, timeout=60)
            outcome.append(reply.status_code)
        except httpx.TransportError:
            outcome.append(0)

    asking = threading.Thread(target=ask)
    asking.start()
    running.until((digits / "stuck").exists, within=30, what=lambda: "the member hangs")
    processes = tree(running)
    assert running.stop(signal.SIGINT) == 0
    asking.join(30)
    assert gone(processes)


def bytes_of_digit(project) -> bytes:
    return (project / "samples" / "7.png").read_bytes()


def test_requests_under_way_are_answered_while_draining(digits, server):
    running = server(digits)
    host, port = running.url.removeprefix("http://").split(":")
    body = json.dumps(BODY).encode()
    head = (
        f"POST /v1/endpoints/digits/predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port))) as half:
        half.settimeout(15)
        half.sendall(head)
        assert half.recv(65536).startswith(b"HTTP/1.1 100")  # it waits for the body, so the request is under way
        half.sendall(body[:10])
        running.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                return True
            return False

        running.until(refused, within=10, what=lambda: "new connections are refused")
        half.sendall(body[10:])
        answer = half.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert running.stop() == 0


def quorate(digits, *arguments: str) -> subprocess.CompletedProcess:
    import sys

    command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "serve", str(digits), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_project_is_served_once_until_ctrl_c(digits, server):
    running = server(digits)
    done = quorate(digits, "--port", "0", "--control-port", "0")
    assert done.returncode == 2
    assert f"is being served already (process {running.process.pid})" in done.stderr
    predict(running)
    ends(running, signal.SIGINT)


def test_a_port_in_use_is_named_with_its_setting(digits):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = quorate(digits, "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "server.port" in done.stderr


def test_a_second_start_trains_and_applies_nothing(digits, server):
    first = server(digits)
    shown = first.http.get(f"{first.control}/v1/endpoints/digits").json()
    first.stop()
    second = server(digits)
    assert second.http.get(f"{second.control}/v1/endpoints/digits").json() == shown
    assert (Home(digits).snapshot / "CURRENT").read_text() == "routing-1.json"
    assert predict(second)["endpoint"] == "digits"
