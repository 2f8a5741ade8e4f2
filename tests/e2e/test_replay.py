"""Replay on a running server: recorded outputs give every live answer again, bit for bit; by command and over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
ENDPOINT = """
  replayed:
    pool: digits
    strategies: {mean: {kind: mean}, vote: {kind: vote, voting: hard}, best: {kind: single, member: svm}}
    policy: {kind: split, weights: {mean: 2, vote: 1, best: 1}}
    caller_may_choose: true
"""
REQUESTS = 60


@pytest.fixture(scope="module")
def server(module_server: Callable[..., Any], module_digits: Path) -> Any:
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text() + ENDPOINT)
    return module_server(module_digits, "--workers", "2")


def command(server: Any, *words: str) -> Any:
    line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "replay", "replayed", *words]
    run = subprocess.run([*line, "--project", str(server.project), "--json"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout)


def test_every_live_answer_is_reproduced(server: Any) -> None:
    url = f"{server.url}/v1/endpoints/replayed/predict"

    def ask(number: int) -> dict[str, Any]:
        picture = (SAMPLES / f"{('0', '3', '7')[number % 3]}.png").read_bytes()
        headers = {"content-type": "image/png"}
        found: dict[str, Any] = server.http.post(url, content=picture, headers=headers).json()
        return found

    with ThreadPoolExecutor(8) as pool:  # side by side, so that some share a run
        answers = list(pool.map(ask, range(REQUESTS)))
    truths = [{"id": each["id"], "truth": "7"} for each in answers]
    chosen = server.http.post(f"{url}?strategy=best", content=(SAMPLES / "7.png").read_bytes(),
                              headers={"content-type": "image/png"}).json()  # fmt: skip
    told = server.http.post(f"{server.url}/v1/outcomes", json=[*truths, {"id": chosen["id"], "truth": "7"}])
    assert told.json()["accepted"] == REQUESTS + 1, told.text

    def judged() -> int:
        report = server.http.get(f"{server.control}/v1/endpoints/replayed/report").json()
        return sum(each["judged_rows"] for each in (*report["strategies"], *report["chosen_by_caller"]))

    server.until(lambda: judged() == REQUESTS + 1, within=20, what=lambda: f"all are judged\n{server.log()}")
    served = [each["strategy"] for each in answers]
    labels = [each["predictions"][0]["label"] for each in answers]
    for name in ("mean", "vote", "best"):
        found = command(server, "--strategy", name)
        assert (found["method"], found["counts"]["used"]) == ("exact", REQUESTS)
        assert (found["reproduced"], found["differing"]) == (served.count(name), 0)
        assert found["live"]["value"] == pytest.approx(labels.count("7") / REQUESTS)
        assert found["counts"]["left_out"] == {"chosen by the caller": 1}

    body = {"endpoint": "replayed", "strategy": {"kind": "single", "member": "svm"}}
    asked = server.http.post(f"{server.control}/v1/replays", json=body)
    assert asked.status_code == 202, asked.text
    where = f"{server.control}/v1/replays/{asked.json()['id']}"
    server.until(
        lambda: server.http.get(where).json()["state"] in ("done", "failed"), within=60, what=lambda: server.log()
    )
    by_http = server.http.get(where).json()
    assert by_http["state"] == "done", by_http
    by_name = command(server, "--strategy", "best")
    assert {k: by_http["answer"][k] for k in ("candidate", "live", "difference")} == {
        k: by_name[k] for k in ("candidate", "live", "difference")
    }
