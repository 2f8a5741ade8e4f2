"""A strategy that learns while it serves, on a real server: a replay gives every answer again, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sklearn.datasets import load_digits

import quorate

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
    policy: online
"""
TURNS, REQUESTS = 10, 24


def replay(project: Path, *words: str) -> dict[str, Any]:
    line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "replay", "digits", *words]
    run = subprocess.run([*line, "--project", str(project), "--json"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def here(project: Path, strategy: Any) -> dict[str, Any]:
    """The same in this process."""
    found: dict[str, Any] = msgspec.to_builtins(quorate.replay(project, "digits", strategy))
    return found


def test_what_was_answered_while_it_learned_is_answered_again(digits: Path, server: Any) -> None:
    (digits / "quorate.yaml").write_text(ONLINE)
    running = server(digits, "--workers", "2")
    data, draw = load_digits(), random.Random(4)
    images, url = data.images.tolist(), f"{running.url}/v1/endpoints/digits/predict"
    truths, answered, waiting = {}, {}, []
    apart = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=60)

    def ask(number: int) -> tuple[str, int, int]:
        """By a connection of its own, which either worker may take; sometimes two rows."""
        rows = [number, number + 1][: 1 + number % 2]
        body = {"instances": [images[row] for row in rows]}
        answer = apart.post(url, json=body).json()
        return answer["id"], number, len(rows)

    def learner() -> dict[str, Any]:
        try:
            found: dict[str, Any] = running.http.get(f"{running.control}/v1/endpoints/digits/learner").json()
        except httpx.TransportError:  # control is not back yet
            return {"version": -1, "combiners": {"online": {"rows": -1}}}
        return found

    def tell(some: list[tuple[str, int]]) -> None:
        """Somebody has renumbered the classes: every member is wrong, and in the same way."""
        told = [{"id": id_, "row": row, "truth": str((truths[id_, row] + 1) % 10)} for id_, row in some]
        assert running.http.post(f"{running.url}/v1/outcomes", json=told).json()["rejected"] == []

    told = 0
    for turn in range(TURNS):
        with ThreadPoolExecutor(4) as pool:  # side by side, so that some share a run
            for id_, number, rows in pool.map(ask, range(turn * REQUESTS, (turn + 1) * REQUESTS)):
                answered[id_] = rows
                for row in range(rows):
                    truths[id_, row] = int(data.target[number + row])
                    waiting.append((id_, row))
        draw.shuffle(waiting)  # late, in another order, and of three rows in four only
        late, waiting = waiting[: len(waiting) // 2], waiting[len(waiting) // 2 :]
        some = late[: 3 * len(late) // 4]
        tell(some)
        told += len(some)
        if turn == TURNS // 2:
            os.kill(running.pid("control"), signal.SIGKILL)
            running.wait()
        running.until(lambda: learner()["combiners"]["online"]["rows"] == told, within=60, what=running.log)  # noqa: B023
    tell(waiting)
    told += len(waiting)
    running.until(lambda: learner()["combiners"]["online"]["rows"] == told, within=60, what=running.log)
    assert learner()["version"] > TURNS

    apart.close()
    found = replay(digits, "--strategy", "online")
    known = {id_ for id_, _ in truths} - {id_ for id_ in answered if not _told(running, id_)}
    assert (found["method"], found["differing"]) == ("exact", 0)
    assert found["counts"]["used"] == found["counts"]["with_outcome"] == len(known)
    assert set(found["counts"]["left_out"]) <= {"no outcome"}
    assert found["reproduced"] == sum(answered[id_] for id_ in known)
    assert found["candidate"]["value"] == found["live"]["value"] > 0.3  # it has found out about the numbers
    assert not any("record" in warning for warning in found["warnings"])
    again = here(digits, {"kind": "online"})
    assert again["candidate"] == found["candidate"]
    other = here(digits, {"kind": "online", "prior": "vote", "members": ["svm", "mlp"]})
    assert (other["method"], other["counts"]["used"]) == ("exact", len(known))
    assert other["candidate"]["value"] > here(digits, "mean")["candidate"]["value"]

    tell(list(truths))  # what was told already teaches nothing
    running.until(lambda: learner()["combiners"]["online"]["rows"] == len(truths), within=60, what=running.log)
    every = here(digits, "online")
    assert (every["reproduced"], every["differing"]) == (len(truths), 0)
    assert every["counts"]["left_out"] == {}


def _told(running: Any, id_: str) -> bool:
    found = running.http.get(f"{running.control}/v1/decisions/{id_}").json()
    return bool(found.get("outcomes"))
