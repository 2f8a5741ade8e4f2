"""A combiner that learns, on a real server: members that are wrong are unlearned from outcomes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.datasets import load_digits

pytestmark = pytest.mark.slow

ONLINE = """
pools:
  digits: {task: classification, members: [logistic, forest, extra-trees, mlp, svm]}
endpoints:
  digits:
    pool: digits
    strategies:
      online: {kind: online}
      mean: {kind: mean}
    caller_may_choose: true
    policy: online
"""


def test_a_combiner_learns_from_outcomes_survives_kills_and_all_workers_answer_by_it(digits: Path, server: Any) -> None:
    (digits / "quorate.yaml").write_text(ONLINE)
    running = server(digits, "--workers", "2")
    http, images = running.http, load_digits().images[:300].tolist()

    def ask(first: int, count: int, **options: Any) -> list[dict[str, Any]]:
        asked = [{"instances": [image], "options": options} for image in images[first : first + count]]
        return [http.post(f"{running.url}/v1/endpoints/digits/predict", json=body).json() for body in asked]

    def label(answer: dict[str, Any]) -> int:
        return int(answer["predictions"][0]["label"])

    def learner() -> dict[str, Any]:
        try:
            found: dict[str, Any] = http.get(f"{running.control}/v1/endpoints/digits/learner").json()
        except httpx.TransportError:  # control is not back yet
            return {"version": 0, "combiners": {"online": {"rows": -1}}}
        return found

    def rows() -> int:
        return int(learner()["combiners"]["online"]["rows"])

    def tell(answers: list[dict[str, Any]], said: list[int]) -> None:
        """Somebody has renumbered the classes: every member is wrong, and in the same way."""
        told = [{"id": a["id"], "truth": str((x + 1) % 10)} for a, x in zip(answers, said, strict=True)]
        assert http.post(f"{running.url}/v1/outcomes", json=told).json()["rejected"] == []

    mean = [label(answer) for answer in ask(0, 300, strategy="mean")]
    first = ask(0, 200)
    assert [label(answer) for answer in first] == mean[:200]  # the prior strategy
    assert rows() == 0
    tell(first, mean[:200])
    running.until(lambda: rows() == 200, within=60, what=running.log)

    os.kill(running.pid("control"), signal.SIGKILL)
    tell(ask(200, 40), mean[200:240])
    for slot in ("worker 0", "worker 1"):
        os.kill(running.pid(slot), signal.SIGKILL)
    running.wait()
    running.pid("control")
    running.until(lambda: rows() == 240, within=60, what=running.log)
    version = learner()["version"]

    def versions() -> set[int]:
        """Of new decisions; a new connection may be taken by either worker."""
        found = set()
        for _ in range(8):
            answer = httpx.post(f"{running.url}/v1/endpoints/digits/predict", json={"instances": [images[0]]}).json()
            found.add(http.get(f"{running.control}/v1/decisions/{answer['id']}").json()["state_version"])
        return found

    running.until(lambda: versions() == {version}, within=60, what=running.log)
    right = [label(answer) == (x + 1) % 10 for answer, x in zip(ask(240, 60), mean[240:], strict=True)]
    assert sum(right) >= 50
    assert [label(answer) for answer in ask(240, 60, strategy="mean")] == mean[240:]
    trust = learner()["combiners"]["online"]["trust"]
    assert sum(trust[name] for name in ("logistic", "forest", "extra-trees", "mlp", "svm", "prior")) < 0.1
