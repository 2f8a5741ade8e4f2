"""Life cycle: forty pools in the memory of a few, unloading on request, and processes that are replaced under load."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

POOLS = 40
MIB = 2**20
ROW = {"instances": [[1.0, 1.0, 1.0, 1.0]]}
SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("scores", ("no", "yes")))


def certainty(number: int) -> float:
    """How sure model ``number`` is of "yes"."""
    return 0.5 + number / 100


def model(number: int) -> bytes:
    """A constant answer, and 2 MiB of weights."""
    rng = np.random.default_rng(number)
    arrays = {
        "first": rng.normal(size=(4, 512)).astype(np.float32),
        "middle": rng.normal(size=(512, 1024)).astype(np.float32),
        "last": np.zeros((1024, 2), np.float32),
        "bias": np.log(np.array([1 - certainty(number), certainty(number)], np.float32)),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "first"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "middle"], ["wide"]),
            helper.make_node("Gemm", ["wide", "last", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["output"]),
        ],
        "constant",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor(n, TensorProto.FLOAT, a.shape, a.tobytes(), raw=True) for n, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def project(folder: Path, pools: int, extra: str = "", **settings: Any) -> Path:
    """A project of so many pools of one model each, with an endpoint each."""
    folder.mkdir()
    registry = Registry(Home(folder).registry, SystemClock())
    lines = ["pools:"]
    shown = "".join(f", {name}: {value}" for name, value in settings.items())
    for number in range(pools):
        files = {"model.onnx": model(number)}
        register_model(registry, name=f"m{number}", format="onnx", files=files, signature=SIGNATURE)
        lines.append(f"  p{number}: {{task: classification, members: [m{number}]{shown}}}")
    lines.append("endpoints:")
    for number in range(pools):
        lines.append(f"  e{number}: {{pool: p{number}, strategies: {{s: {{kind: mean}}}}, deadline_ms: 20000}}")
    (folder / "quorate.yaml").write_text("\n".join([*lines, extra]) + "\n")
    return folder


def ask(http: httpx.Client, url: str, number: int) -> httpx.Response:
    return http.post(f"{url}/v1/endpoints/e{number}/predict", json=ROW)


def right(answer: httpx.Response, number: int) -> bool:
    return answer.status_code == 200 and answer.json()["predictions"][0]["probabilities"]["yes"] == pytest.approx(
        certainty(number), abs=1e-4
    )


def test_forty_pools_share_the_memory_of_a_few(server: Any, tmp_path: Path) -> None:
    budget = 30 * MIB
    running = server(project(tmp_path / "many", POOLS, f"memory: {{budget: {budget}}}", pinned="false"))
    worker = psutil.Process(running.pid("worker 0"))
    started = worker.memory_info().rss
    wrong: list[str] = []

    def caller(seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(timeout=60) as http:
            for _ in range(60):
                number = rng.randrange(POOLS)
                answer = ask(http, running.url, number)
                if not right(answer, number):
                    wrong.append(answer.text)

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(4)]
    for one in callers:
        one.start()
    most = 0
    while any(one.is_alive() for one in callers):
        most = max(most, worker.memory_info().rss)
        time.sleep(0.05)
    for one in callers:
        one.join()
    assert not wrong
    assert most - started < budget + 70 * MIB  # all of them would be 40 times 4 MiB at least
    index = running.http.post(f"{running.url}/v2/repository/index").json()
    resident = [one for one in index if one["name"].startswith("e") and not one["reason"]]
    assert 1 <= len(resident) <= budget // (2 * MIB)
    assert {one["state"] for one in index} == {"READY"}


def test_what_is_unloaded_stays_so_in_all_workers_and_after_a_restart(server: Any, tmp_path: Path) -> None:
    folder = project(tmp_path / "few", 2)
    running = server(folder, "--workers", "2")

    def statuses(number: int) -> set[int]:
        # A connection each, so that both workers are met.
        with httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as http:
            return {ask(http, running.url, number).status_code for _ in range(16)}

    def soon(number: int, status: int) -> None:
        running.until(lambda: statuses(number) == {status}, within=20, what=lambda: f"e{number} answers {status}")

    def repository(name: str, action: str) -> int:
        return int(running.http.post(f"{running.url}/v2/repository/models/{name}/{action}").status_code)

    def audited() -> list[tuple[str, str, str]]:
        entries = running.http.get(f"{running.control}/v1/audit").json()
        return [(e["actor"], e["action"], e["subject"]) for e in entries if e["action"].startswith("model.")]

    assert repository("e0", "unload") == 200
    unloaded = ("inference port", "model.unload", "e0")
    running.until(lambda: audited() == [unloaded], within=20, what=lambda: f"the audit trail has it: {audited()}")
    soon(0, 503)
    soon(1, 200)
    refused = ask(running.http, running.url, 0).json()
    assert refused["code"] == "not_ready"
    assert "/v2/repository/models/e0/load" in refused["detail"]
    assert running.http.get(f"{running.url}/v2/models/e0/ready").status_code == 503
    assert running.http.get(f"{running.url}/v2/models/e1/ready").status_code == 200
    assert repository("nobody", "load") == 404
    running.stop()
    running = server(folder, "--workers", "2")
    soon(0, 503)
    assert repository("m0", "load") == 200
    soon(0, 200)
    assert right(ask(running.http, running.url, 0), 0)


# --- upgrades -------------------------------------------------------------------------------------


class Callers:
    """Clients in loops, each on a connection that is kept, or on a new one each time."""

    def __init__(self, url: str, count: int, *, keep: bool) -> None:
        self.url = url
        self._limits = httpx.Limits(max_keepalive_connections=1 if keep else 0)
        self.bad: list[str] = []
        self.good = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def _call(self) -> None:
        with httpx.Client(timeout=30, limits=self._limits) as http:
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
                self._over.wait(0.005)  # load, and time for what replaces the processes

    def __enter__(self) -> Callers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()


def upgrade(folder: Path) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "upgrade", "--project", str(folder)]
    return subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "new"])
def test_not_one_request_fails(server: Any, tmp_path: Path, keep: bool) -> None:
    running = server(project(tmp_path / "site", 1), "--workers", "2")
    before = running.pids()
    with Callers(running.url, 4, keep=keep) as callers:
        done = upgrade(running.project)
    assert done.returncode == 0, done.stdout + done.stderr + running.log()
    assert "Upgraded: 3 processes were replaced. So was the supervisor." in done.stdout
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


@pytest.mark.slow
def test_what_cannot_start_replaces_nobody(server: Any, tmp_path: Path) -> None:
    running = server(project(tmp_path / "site", 1))
    before = running.pids()
    snapshot = running.project / ".quorate" / "snapshot"
    manifest = snapshot / (snapshot / "CURRENT").read_text().strip()
    kept = manifest.read_bytes()
    manifest.write_bytes(b"{")  # a new worker cannot begin; control would repair a missing one
    done = upgrade(running.project)
    manifest.write_bytes(kept)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the old ones go on" in done.stdout
    assert running.pids() == before
    assert right(ask(running.http, running.url, 0), 0)
    assert upgrade(running.project).returncode == 0  # the next one can
    assert not set(running.pids().values()) & set(before.values())


@pytest.mark.slow
def test_without_a_server_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    done = upgrade(project(tmp_path / "site", 1))
    assert done.returncode == 2
    assert "is not being served" in done.stderr
