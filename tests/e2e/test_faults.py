"""One bad member among six, through the real server: every request is answered in time, and says it was degraded."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

REQUESTS = 1000
CONCURRENCY = 8
DEADLINE_MS = 250.0
GRACE_MS = 20.0
ROWS = np.random.default_rng(5).integers(0, 256, (20, 8, 8), np.uint8)

# Good on digits, which are mostly blank: it passes registration, warm-up and every probe. Bad on the noise we send.
SOURCE = """
import re, time
import numpy as np

def predict(input):
    answer = np.full((len(input), 10), 0.1, np.float32)
    if (input == 0).mean() > 0.2:
        return answer
    {fault}
"""
FAULTS = {
    "raises": 'raise RuntimeError("the member is broken")',
    "hangs": "time.sleep(3600)",
    "nan": "return answer * np.nan",
    "wrong-shape": "return answer[:, :3]",
    "holds-the-gil": 're.match("(a|a)+$", "a" * 60 + "b")',
}
REASONS = {
    "raises": {"member_crashed", "member_circuit_open"},
    "hangs": {"member_timeout", "member_crashed", "member_circuit_open", "member_failed"},
    "nan": {"member_signature", "member_circuit_open"},
    "wrong-shape": {"member_signature", "member_circuit_open"},
    "holds-the-gil": {"member_timeout", "member_crashed", "member_circuit_open", "member_failed"},
}


def add_bad_member(project: Path, fault: str) -> None:
    """Register the sixth member and put all six behind one soft vote with a deadline."""
    home = Home(project)
    registry = Registry(home.registry, SystemClock())
    healthy = registry.manifest("logistic")
    register_model(
        registry,
        name="bad",
        format="callable",
        files={"bad.py": SOURCE.format(fault=FAULTS[fault]).encode()},
        signature=Signature(
            "image", healthy.signature.inputs, OutputSpec("scores", classes=healthy.signature.output.classes)
        ),
        tensors=(TensorSpec("input", "float32", (None, 64)),),
        preprocess=healthy.preprocess,
        options={"entry": "predict"},
        sample_raw={"image": np.zeros((4, 8, 8), np.uint8)},
    )
    home.config.write_text(
        f"""
pools:
  digits: {{task: classification, members: [logistic, forest, extra-trees, mlp, svm, bad]}}
endpoints:
  digits:
    pool: digits
    strategies: {{soft-vote: {{kind: vote}}}}
    deadline_ms: {DEADLINE_MS}
    quorum: 2
"""
    )


async def storm(url: str) -> list[tuple[int, float, dict]]:
    """A thousand requests, a few at a time: status, seconds as the client saw them, answer."""
    limits = httpx.Limits(max_connections=CONCURRENCY)
    seen: list[tuple[int, float, dict]] = []
    queue = iter(range(REQUESTS))

    async def ask(client: httpx.AsyncClient) -> None:
        for number in queue:
            started = time.perf_counter()
            response = await client.post(
                f"{url}/v1/endpoints/digits/predict", json={"instances": [ROWS[number % len(ROWS)].tolist()]}
            )
            seen.append((response.status_code, time.perf_counter() - started, response.json()))

    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        await asyncio.gather(*(ask(client) for _ in range(CONCURRENCY)))
    return seen


def footprint(pid: int) -> tuple[int, int, float]:
    """Threads and resident MB of a worker, and how many processes hang below it."""
    worker = psutil.Process(pid)
    return worker.num_threads(), len(worker.children(recursive=True)), worker.memory_info().rss / 1e6


@pytest.mark.parametrize("fault", FAULTS)
def test_a_thousand_requests_beside_a_member_that(fault, digits, server):
    add_bad_member(digits, fault)
    running = server(digits)
    before = footprint(running.pid("worker 0"))
    seen = asyncio.run(storm(running.url))
    after = footprint(running.pid("worker 0"))

    assert Counter(status for status, _, _ in seen) == {200: REQUESTS}
    assert all(answer["degraded"] and answer["missing"] == ["bad"] for _, _, answer in seen)
    worst = max(answer["latency_ms"] for _, _, answer in seen)
    in_time = sum(answer["latency_ms"] <= DEADLINE_MS + GRACE_MS for _, _, answer in seen)
    record(fault, worst, max(seconds for _, seconds, _ in seen) * 1000, in_time, before, after)
    assert worst < 10 * DEADLINE_MS  # the figure itself is in the record; a loaded machine must not fail the suite
    assert after[0] <= before[0] + 16
    assert after[1] <= 1
    assert after[2] < before[2] + 60
    reasons = Counter()
    for _, _, answer in seen[:: REQUESTS // 10]:
        decision = running.http.get(f"{running.control}/v1/decisions/{answer['id']}").json()
        reasons.update(m["reason"] for m in decision["members"] if m["name"] == "bad")
    assert reasons.keys() <= REASONS[fault], reasons


def record(fault: str, worst: float, client: float, in_time: int, before: tuple, after: tuple) -> None:
    """Keep the figures for whoever wants them: ``build/e2e/faults.jsonl``."""
    folder = Path(os.environ.get("QUORATE_BUILD", "build")) / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    row = {
        "fault": fault,
        "requests": REQUESTS,
        "within_deadline_plus_20_ms": in_time,
        "worst_server_ms": round(worst, 1),
        "worst_client_ms": round(client, 1),
        "threads": [before[0], after[0]],
        "processes": [before[1], after[1]],
        "resident_mb": [round(before[2], 1), round(after[2], 1)],
    }
    with (folder / "faults.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row)
