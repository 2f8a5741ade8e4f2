"""Dynamic and greedy selection from training to audit: fitted by a command, served, recorded, and replayed exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from quorate import plugins
from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.core.types import State
from quorate.home import Home
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
TRAIN = """
from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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
    x, y = load_wine(return_X_y=True)
    data = Dataset("wine", {"input": x}, y.astype(str))
    members = {
        "line": make_pipeline(StandardScaler(), LogisticRegression()),
        "few": DecisionTreeClassifier(max_depth=2, random_state=0),
        "stump": DecisionTreeClassifier(max_depth=1, random_state=1),
    }
    recipe = Recipe(
        data=data,
        split=split(data, seed=0),
        signature=Signature(
            "array", (TensorSpec("input", "float64", (None, 13)),), OutputSpec("scores", classes=("0", "1", "2"))
        ),
        preprocess=[{"kind": "normalise", "mean": x.mean(axis=0).tolist()}],
        trainers=estimators(members),
        states={
            "near": Fit("knora-u", settings={"k": 5}),
            "learned": Fit("meta-des"),
            "alike": Fit("des-p", settings={"space": "outputs"}),
            "greedy": Fit("greedy", settings={"metric": "log_loss"}),
        },
        code=code_digest(Path(__file__)),
        folds=3,
    )
    train_pool(recipe, Registry(home.registry, SystemClock()), progress, force=force)
"""
CONFIG = """
pools:
  wine: {task: classification, members: [line, few, stump]}
endpoints:
  wine:
    pool: wine
    strategies:
      near: {kind: knora-u, state: near, voting: soft}
      learned: {kind: meta-des, state: learned}
      alike: {kind: des-p, state: alike}
      greedy: {kind: weighted, state: greedy}
    policy: {kind: split, weights: {near: 1, learned: 1, alike: 1, greedy: 1}}
"""
STRATEGIES = {"near": "knora-u", "learned": "meta-des", "alike": "des-p", "greedy": "weighted"}
X, Y = load_wine(return_X_y=True)
REQUESTS = 48


def run(*words: str) -> str:
    done = subprocess.run([*QUORATE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = tmp_path_factory.mktemp("project") / "wine"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "quorate.yaml").write_text(CONFIG)
    run("train", str(project))
    return module_server(project, "--workers", "1")


def fitted(project: Path, name: str) -> State:
    registry = Registry(Home(project).registry, SystemClock())
    files = registry.manifest(name).files
    return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})


def test_what_was_served_is_what_combine_gives_and_what_replay_gives(server: Any) -> None:
    url = f"{server.url}/v1/endpoints/wine/predict"
    asked = [list(range(i, i + 1 + i % 3)) for i in range(REQUESTS)]
    answers = [server.http.post(url, json={"instances": X[rows].tolist()}).json() for rows in asked]
    by_strategy: dict[str, int] = dict.fromkeys(STRATEGIES, 0)
    for rows, answer in zip(asked, answers, strict=True):
        decision = server.http.get(f"{server.control}/v1/decisions/{answer['id']}").json()
        name = decision["served"]
        by_strategy[name] += len(rows)
        outputs = np.array([member["outputs"] for member in decision["members"]], np.float32).transpose(1, 0, 2)
        features = np.array(decision["features"], np.float32)
        np.testing.assert_allclose(features, X[rows] - X.mean(axis=0), rtol=1e-5, atol=1e-4)
        plugin, state = plugins.load("combiners", STRATEGIES[name]), fitted(server.project, name)
        params = plugin.Params("soft") if name == "near" else None
        expected = plugin(params).combine(outputs, np.zeros(outputs.shape[:2], np.int8), state, features)
        np.testing.assert_array_equal(np.array(decision["answer"], np.float32), expected)
        shown = [[p["probabilities"][label] for label in "012"] for p in answer["predictions"]]
        np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert min(by_strategy.values()) > 0, by_strategy

    truths = [
        {"id": answer["id"], "row": i, "truth": str(Y[row])}
        for rows, answer in zip(asked, answers, strict=True)
        for i, row in enumerate(rows)
    ]
    assert server.http.post(f"{server.url}/v1/outcomes", json=truths).json()["accepted"] == len(truths)

    def judged() -> int:
        report = server.http.get(f"{server.control}/v1/endpoints/wine/report").json()
        return sum(each["judged_rows"] for each in report["strategies"])

    server.until(lambda: judged() == len(truths), within=30, what=server.log)
    for name, count in by_strategy.items():
        found = json.loads(run("replay", "wine", "--strategy", name, "--project", str(server.project), "--json"))
        assert (found["method"], found["counts"]["used"]) == ("exact", REQUESTS), found
        assert (found["reproduced"], found["differing"]) == (count, 0)
