"""Intervals of numbers on a real server: a recipe fits them, answers have them, outcomes measure and move them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
TRAIN = """
from pathlib import Path

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.registry.registry import Registry
from quorate.training.data import Dataset
from quorate.training.estimator import estimators
from quorate.training.quantiles import Quantiles
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.splits import split
from quorate.training.train import train_pool


def train(home, progress, *, force=False):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(3000, 2))
    y = 10 * x[:, 1] + (0.2 + 2 * x[:, 0]) * rng.normal(size=3000)
    data = Dataset("rents", {"input": x}, y)

    def recipe(targets, trainers, states):
        return Recipe(
            data=data, split=split(data, seed=0), preprocess=[{"kind": "normalise"}], trainers=trainers, states=states,
            signature=Signature(
                "array", (TensorSpec("input", "float64", (None, 2)),), OutputSpec("values", names=targets)
            ),
            code=code_digest(Path(__file__)),
        )

    registry = Registry(home.registry, SystemClock())
    members = estimators({"line": LinearRegression(), "tree": DecisionTreeRegressor(max_depth=6, random_state=0)})
    states = {"rents-spread": Fit("conformal", of="mean", settings={"score": "normalised"})}
    train_pool(recipe(("rent",), members, states), registry, progress, force=force)
    ends = {
        name: GradientBoostingRegressor(loss="quantile", alpha=alpha, n_estimators=30, max_depth=2, random_state=0)
        for name, alpha in (("low", 0.05), ("high", 0.95))
    }
    cqr = Fit("conformal", of="single", settings={"score": "cqr", "lower": "low", "upper": "high"})
    train_pool(recipe(("low", "high"), [Quantiles("ends", ends)], {"rents-ends": cqr}), registry, progress, force=force)
"""
CONFIG = """
pools:
  rents: {task: regression, members: [line, tree]}
  ranges: {task: regression, members: [ends]}
endpoints:
  rents:
    pool: rents
    strategies:
      mean: {kind: mean, conformal: {state: rents-spread, adaptive: true}}
    policy: mean
  ranges:
    pool: ranges
    strategies:
      ends: {kind: single, member: ends, conformal: {state: rents-ends, coverage: 0.8}}
    policy: ends
"""


def drawn(n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, 2))
    return x, 10 * x[:, 1] + (0.2 + 2 * x[:, 0]) * rng.normal(size=n)


@pytest.fixture(scope="module")
def server(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = tmp_path_factory.mktemp("project") / "rents"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "quorate.yaml").write_text(CONFIG)
    done = subprocess.run([*QUORATE, "train", str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return module_server(project, "--workers", "1")


def ask(server: Any, endpoint: str, x: Any, y: Any = None, **options: Any) -> Any:
    """The intervals of rows, as an array; with ``y`` their truths are told."""
    body = {"instances": x.tolist(), "options": options}
    answer = server.http.post(f"{server.url}/v1/endpoints/{endpoint}/predict", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if y is not None:
        told = [{"id": found["id"], "row": i, "truth": float(value)} for i, value in enumerate(y)]
        assert server.http.post(f"{server.url}/v1/outcomes", json=told).json()["rejected"] == []
    ends = np.array([row["interval"] for row in found["predictions"]], float)  # null is NaN: no end there
    return np.where(np.isnan(ends), [-np.inf, np.inf], ends)


def coverage(server: Any, endpoint: str) -> Any:
    return server.http.get(f"{server.control}/v1/endpoints/{endpoint}/coverage").json()["strategies"][0]


def share(ends: Any, y: Any) -> float:
    return float(((ends[:, 0] <= y) & (y <= ends[:, 1])).mean())


@pytest.mark.parametrize(("endpoint", "asked"), [("rents", 0.9), ("ranges", 0.8)])
def test_intervals_hold_the_truth_as_often_as_was_asked_and_the_report_says_so(
    server: Any, endpoint: str, asked: float
) -> None:
    x, y = drawn(1000, 1)
    options = {"coverage": asked} if endpoint == "rents" else {}  # the other endpoint has a default
    ends = ask(server, endpoint, x, y, **options)
    assert share(ends, y) == pytest.approx(asked, abs=0.07)  # 450 rows calibrated it: three deviations of both
    widths = ends[:, 1] - ends[:, 0]
    assert np.ptp(widths) > 0.5
    server.until(lambda: bool(coverage(server, endpoint)["promises"]), within=60, what=server.log)
    server.until(lambda: coverage(server, endpoint)["promises"][0]["rows"] == 1000, within=60, what=server.log)
    found = coverage(server, endpoint)
    assert found["calibration_rows"] == 450
    (promise,) = found["promises"]
    assert (promise["asked"], promise["coverage"]) == (asked, pytest.approx(share(ends, y)))
    assert promise["size"] == pytest.approx(widths.mean(), rel=1e-4)


def test_when_the_world_gets_noisier_the_level_follows(server: Any) -> None:
    def learned() -> int:
        found = coverage(server, "rents")["adaptive"]
        return 0 if found is None else int(found["rows"])

    def width(rows: Any) -> float:
        return float(np.ptp(ask(server, "rents", rows, coverage=0.9), axis=1).mean())

    x, y = drawn(800, 2)
    noisier = y + np.random.default_rng(3).normal(scale=4.0, size=len(y))
    known, narrow = learned(), width(x[:50])
    assert share(ask(server, "rents", x[:400], noisier[:400], coverage=0.9), noisier[:400]) < 0.8
    server.until(lambda: learned() >= known + 400, within=60, what=server.log)
    levels = {round(each["asked"], 6): each["level"] for each in coverage(server, "rents")["adaptive"]["levels"]}
    assert levels[0.9] > 0.9
    server.until(lambda: width(x[:50]) > 1.2 * narrow, within=60, what=server.log)
    assert share(ask(server, "rents", x[400:], coverage=0.9), noisier[400:]) > 0.82


def test_numbers_are_promised_no_more_than_their_rows_allow(server: Any) -> None:
    body = {"instances": [[0.5, 0.5]], "options": {"coverage": 0.999}}
    refused = server.http.post(f"{server.url}/v1/endpoints/rents/predict", json=body)
    assert (refused.status_code, refused.json()["path"]) == (422, "options.coverage")
