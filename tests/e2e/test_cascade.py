"""A cascade on a real server: fitted by a command, served row by row, shown, and replayed to the same answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.datasets import load_digits

pytestmark = pytest.mark.slow

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
TRAIN = """
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.registry.registry import Registry
from quorate.training.data import Dataset
from quorate.training.estimator import estimators
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.splits import split
from quorate.training.train import train_pool


def train(home, progress, *, force=False):
    x, y = load_digits(return_X_y=True)
    data = Dataset("digits", {"input": x}, y.astype(str))
    members = {
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        "line": LogisticRegression(max_iter=100),
        "forest": RandomForestClassifier(50, random_state=0),
    }
    recipe = Recipe(
        data=data,
        split=split(data, seed=0),
        signature=Signature(
            "array", (TensorSpec("input", "float64", (None, 64)),),
            OutputSpec("scores", classes=tuple("0123456789")),
        ),
        preprocess=[{"kind": "normalise", "std": 16.0}],
        trainers=estimators(members),
        states={
            "steps": Fit(
                "cascade", settings={"within": {"cost": 6.0}, "costs": {"tree": 1.0, "line": 4.0, "forest": 20.0}}
            ),
            "steps-sure": Fit("temperature", of="steps"),
            "steps-sets": Fit("conformal", of="steps-sure"),
        },
        code=code_digest(Path(__file__)),
    )
    train_pool(recipe, Registry(home.registry, SystemClock()), progress, force=force)
"""
CONFIG = """
pools:
  digits: {task: classification, members: [tree, line, forest]}
endpoints:
  digits:
    pool: digits
    strategies:
      steps: {kind: cascade, state: steps}
      all: {kind: mean}
    policy: steps
    caller_may_choose: true
  sure:
    pool: digits
    strategies:
      sure: {kind: cascade, state: steps, calibrate: steps-sure, conformal: steps-sets}
    policy: sure
"""
X, Y = load_digits(return_X_y=True)
COSTS = {"tree": 1.0, "line": 4.0, "forest": 20.0}


@pytest.fixture(scope="module")
def server(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = tmp_path_factory.mktemp("project") / "digits"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "quorate.yaml").write_text(CONFIG)
    done = subprocess.run([*QUORATE, "train", str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return module_server(project, "--workers", "1")


@pytest.fixture(scope="module")
def asked(server: Any) -> list[Any]:
    """Answers to all rows, a hundred at a time, whose truths are told."""
    answers, told = [], []
    for start in range(0, len(X), 100):
        body = {"instances": X[start : start + 100].tolist()}
        answer = server.http.post(f"{server.url}/v1/endpoints/digits/predict", json=body).json()
        answers.append(answer)
        told += [{"id": answer["id"], "row": i, "truth": str(y)} for i, y in enumerate(Y[start : start + 100])]
    assert server.http.post(f"{server.url}/v1/outcomes", json=told).json()["rejected"] == []
    return answers


def test_rows_ask_no_more_members_than_they_need(server: Any, asked: list[Any]) -> None:
    rows = [row for answer in asked for row in answer["predictions"]]
    assert not any(answer["degraded"] for answer in asked)
    ways = {tuple(row["members"]) for row in rows}
    assert len(ways) > 1, ways
    spent = sum(COSTS[name] for row in rows for name in row["members"]) / len(rows)
    assert spent < sum(COSTS.values()) / 2
    right = sum(row["label"] == str(y) for row, y in zip(rows, Y, strict=True)) / len(rows)
    assert right > 0.9  # the cheapest is right on some 0.85 of rows that it has not seen


def test_the_record_and_the_frontier_say_the_same(server: Any, asked: list[Any]) -> None:
    decision = server.http.get(f"{server.control}/v1/decisions/{asked[0]['id']}").json()
    assert len(decision["stages"]) > 1
    url = f"{server.control}/v1/endpoints/digits/strategies/steps/frontier"
    server.until(lambda: server.http.get(url).json()["served"]["rows"] >= len(X), within=30, what=server.log)
    told = server.http.get(url).json()
    rows = [row for answer in asked for row in answer["predictions"]]
    spent = sum(COSTS[name] for row in rows for name in row["members"]) / len(rows)
    assert told["promise"]["cost"] == 6.0
    assert told["costs"] == COSTS
    assert told["served"]["cost"] == pytest.approx(spent, rel=1e-6)
    kinds = {point["kind"] for point in told["frontier"]}
    assert {"cascade", "cheapest", "best", "all", "random", "oracle"} <= kinds
    assert sum(point["chosen"] for point in told["frontier"]) == 1


def test_a_replay_gives_the_answers_that_were_served(server: Any, asked: list[Any]) -> None:
    def judged() -> int:
        report = server.http.get(f"{server.control}/v1/endpoints/digits/report").json()
        return sum(each["judged_rows"] for each in report["strategies"])

    server.until(lambda: judged() >= len(X), within=60, what=server.log)
    body = {"endpoint": "digits", "strategy": "steps", "method": "exact"}
    at = server.http.post(f"{server.control}/v1/replays", json=body).json()["id"]
    url = f"{server.control}/v1/replays/{at}"
    server.until(lambda: server.http.get(url).json()["state"] in ("done", "failed"), within=60, what=server.log)
    answer = server.http.get(url).json()["answer"]
    assert (answer["reproduced"], answer["differing"]) == (len(X), 0)


def test_a_caller_who_must_be_sure_makes_it_go_on(server: Any, asked: list[Any]) -> None:
    unsure = min(
        ((row["confidence"], i, k) for i, answer in enumerate(asked) for k, row in enumerate(answer["predictions"]))
    )
    _, i, k = unsure
    before = asked[i]["predictions"][k]
    body = {"instances": [X[100 * i + k].tolist()], "options": {"min_confidence": 1.0}}
    found = server.http.post(f"{server.url}/v1/endpoints/digits/predict", json=body).json()["predictions"][0]
    assert found["abstained"] is True
    assert "label" not in found
    assert set(found["members"]) == set(COSTS)
    assert set(before["members"]) <= set(found["members"])


def test_who_is_trusted_is_who_answered(server: Any, asked: list[Any]) -> None:
    found = server.http.get(f"{server.control}/v1/endpoints/digits/trust", params={"strategy": "steps"})
    assert found.status_code == 200, found.text


def test_a_calibrated_cascade_asks_and_answers_the_same_as_sure_as_it_is_and_is_replayed(
    server: Any, asked: list[Any]
) -> None:
    told, before, after = [], [], []
    for start, plain in zip(range(0, len(X), 100), asked, strict=True):
        body = {"instances": X[start : start + 100].tolist(), "options": {"coverage": 0.9}}
        answer = server.http.post(f"{server.url}/v1/endpoints/sure/predict", json=body).json()
        told += [{"id": answer["id"], "row": i, "truth": str(y)} for i, y in enumerate(Y[start : start + 100])]
        before += plain["predictions"]
        after += answer["predictions"]
    assert [row["label"] for row in after] == [row["label"] for row in before]
    assert [row["members"] for row in after] == [row["members"] for row in before]
    assert max(abs(a["confidence"] - b["confidence"]) for a, b in zip(after, before, strict=True)) > 0.01
    assert all(row["reason"] in (None, "ambiguous", "empty") for row in after)
    inside = [str(y) in row["set"] for row, y in zip(after, Y, strict=True)]
    assert sum(inside) / len(inside) > 0.84  # most of these rows were trained on, and 270 calibrated it
    assert server.http.post(f"{server.url}/v1/outcomes", json=told).json()["rejected"] == []

    def promises() -> Any:
        return server.http.get(f"{server.control}/v1/endpoints/sure/coverage").json()["strategies"][0]["promises"]

    server.until(lambda: promises() and promises()[0]["rows"] == len(X), within=60, what=server.log)
    assert promises()[0]["coverage"] == sum(inside) / len(inside)
    reliability = server.http.get(f"{server.control}/v1/endpoints/sure/reliability").json()["strategies"][0]
    assert (reliability["calibrated"], reliability["rows"]) == (True, len(X))
    refit = reliability["refit"]
    assert (refit["state"], refit["method"], refit["rows"]) == ("steps-sure", "temperature", len(X))
    body = {"endpoint": "sure", "strategy": "sure", "method": "exact"}
    at = server.http.post(f"{server.control}/v1/replays", json=body).json()["id"]
    url = f"{server.control}/v1/replays/{at}"
    server.until(lambda: server.http.get(url).json()["state"] in ("done", "failed"), within=60, what=server.log)
    answer = server.http.get(url).json()["answer"]
    assert (answer["reproduced"], answer["differing"]) == (len(X), 0)
