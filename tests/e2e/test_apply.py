"""Hot apply under load: no request is lost, none is answered by a mixture, and what is broken changes nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

BODY = {"instances": [[[0] * 8] * 8]}


def apply(digits, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "apply", "--project", str(digits)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)


def fixed(text: str, strategy: str) -> str:
    return re.sub(r"policy: .*", f"policy: {strategy}", text)


@pytest.mark.slow
def test_applying_under_load_loses_no_request(digits, server):
    config = Home(digits).config
    original = config.read_text()
    config.write_text(fixed(original, "soft-vote"))
    running = server(digits, "--workers", "2")
    (before,) = running.http.get(f"{running.url}/v2/models/digits").json()["versions"]
    stop = threading.Event()
    wrong: list[str] = []
    seen: set[str] = set()

    def ask() -> None:
        with httpx.Client(timeout=20) as client:
            while not stop.is_set():
                answer = client.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY)
                if answer.status_code != 200 or answer.json()["degraded"]:
                    wrong.append(answer.text)
                    return
                seen.add(answer.json()["strategy"])
                stop.wait(0.005)  # load, and time for the command to run beside it

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for strategy in ("hard-vote", "weighted", "stacking", "best-single"):
            config.write_text(fixed(original, strategy))
            done = apply(digits)
            assert done.returncode == 0, done.stderr
            running.until(lambda s=strategy: s in seen or wrong, within=30, what=lambda s=strategy: f"{s} answers")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert wrong == []
    assert seen == {"soft-vote", "hard-vote", "weighted", "stacking", "best-single"}
    metadata = running.http.get(f"{running.url}/v2/models/digits").json()
    assert metadata["versions"] == [str(int(before) + 4)]


def test_a_broken_file_changes_nothing(digits, server):
    running = server(digits)
    config = Home(digits).config
    config.write_text(config.read_text().replace("members: [logistic,", "members: [logistics,"))
    done = apply(digits)
    assert done.returncode == 2
    assert re.search(r"quorate\.yaml:3: .*logistics", done.stderr), done.stderr
    assert running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY).status_code == 200
    assert running.http.get(f"{running.url}/v2/models/digits").json()["versions"] == ["1"]


def corrupt(digits: Path, name: str) -> None:
    """Flip a byte of a model's file, in the store of blobs and where it is checked out."""
    home = Home(digits)
    (digest,) = Registry(home.registry, SystemClock()).manifest(name).files.values()
    copies = [
        path
        for path in home.registry.rglob("*")
        if path.is_file() and digest.endswith(hashlib.sha256(path.read_bytes()).hexdigest())
    ]
    data = bytearray(copies[0].read_bytes())
    data[len(data) // 2] ^= 1
    for path in copies:
        path.chmod(0o644)
        path.write_bytes(bytes(data))


def test_a_start_with_a_damaged_member_serves_degraded(digits, server):
    corrupt(digits, "mlp")
    running = server(digits)
    answer = running.http.post(
        f"{running.url}/v2/models/mlp/infer",
        json={"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "UINT8", "data": [0] * 64}]},
    )
    assert answer.status_code == 504  # the member by itself has no answer
    whole = running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY)
    assert whole.status_code == 200
    assert "could not be loaded" in running.log()
