"""A policy that learns, on a real server: from outcomes, in control, and all workers draw by it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.datasets import load_digits

from quorate.client import Learners
from quorate.ids import DecisionId

pytestmark = pytest.mark.slow

POLICY = """
pools:
  digits: {task: classification, members: [logistic, forest, extra-trees, mlp, svm]}
endpoints:
  digits:
    pool: digits
    strategies:
      good: {kind: mean}
      one: {kind: single, member: logistic}
    policy: {kind: thompson, reward: {metric: earned}}
    caller_may_choose: true
"""


def test_a_policy_learns_survives_kills_and_all_workers_draw_by_it(digits: Path, server: Any) -> None:
    (digits / "quorate.yaml").write_text(POLICY)
    running = server(digits, "--workers", "2")
    http, images = running.http, load_digits().images[:200].tolist()
    new = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))  # a connection each time

    def learner() -> dict[str, Any]:
        found: dict[str, Any] = http.get(f"{running.control}/v1/endpoints/digits/learner").json()
        return found

    def ask(count: int, **options: Any) -> list[dict[str, Any]]:
        asked = [{"instances": [images[i % 200]], "options": options} for i in range(count)]
        return [http.post(f"{running.url}/v1/endpoints/digits/predict", json=body).json() for body in asked]

    def tell(answers: list[dict[str, Any]]) -> None:
        """What is assigned to "good" earns 1, the other nothing."""
        earned = [{"id": a["id"], "rewards": {"earned": float(a["strategy"] == "good")}} for a in answers]
        assert http.post(f"{running.url}/v1/outcomes", json=earned).status_code == 202

    first = learner()
    assert (first["version"], first["shares"]) == (0, {"good": 0.5, "one": 0.5})
    drawn, chosen = ask(60), ask(5, strategy="one")
    tell([*drawn, *chosen])
    running.until(lambda: learner()["rows"].get("learned", 0) == 60, within=30, what=running.log)
    assert learner()["rows"] == {"learned": 60, "not_drawn": 5}
    assert learner()["shares"]["good"] > 0.9

    def workers() -> set[tuple[int, int]]:
        """The slot and state version of new decisions; a new connection may be taken by either worker."""
        found = set()
        for _ in range(12):
            answer = new.post(f"{running.url}/v1/endpoints/digits/predict", json={"instances": [images[0]]}).json()
            made = http.get(f"{running.control}/v1/decisions/{answer['id']}").json()
            found.add((DecisionId.parse(answer["id"]).slot, made["state_version"]))
        return found

    version = learner()["version"]
    running.until(lambda: {v for _, v in workers()} == {version}, within=30, what=running.log)
    assert len(workers()) == 2

    os.kill(running.pid("control"), signal.SIGKILL)
    tell(ask(20))
    for slot in ("worker 0", "worker 1"):
        os.kill(running.pid(slot), signal.SIGKILL)
    running.wait()
    running.pid("control")

    def learned() -> int:
        try:
            return int(learner()["rows"]["learned"])
        except (httpx.TransportError, KeyError):  # control is not back yet
            return 0

    running.until(lambda: learned() == 80, within=30, what=running.log)
    version = learner()["version"]
    running.until(lambda: {v for _, v in workers()} == {version}, within=30, what=running.log)

    with Learners(running.control) as learners:
        learners.warm_start("digits", since=0.0)
        begun = learners.wait("digits")
        assert (begun.state, begun.learned) == ("done", {"learned": 80, "not_drawn": 5}), begun
        assert learners.get("digits").rows == begun.learned
    version = learner()["version"]
    running.until(lambda: {v for _, v in workers()} == {version}, within=30, what=running.log)

    http.post(f"{running.control}/v1/endpoints/digits/learner/reset").raise_for_status()
    assert learner()["shares"] == {"good": 0.5, "one": 0.5}
    running.until(lambda: {v for _, v in workers()} == {version + 1}, within=30, what=running.log)
    new.close()
