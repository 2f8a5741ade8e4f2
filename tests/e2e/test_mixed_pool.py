"""One pool of members from scikit-learn, LightGBM, XGBoost and PyTorch: trained, fused, served, and a member's NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.control.revisions.apply import apply
from quorate.core.types import FloatArray, OutputSpec, Signature, Tensors, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.onnx import OnnxRuntime
from quorate.store.database import Database
from quorate.training.data import Dataset
from quorate.training.estimator import Estimator
from quorate.training.export import INPUT, Exported
from quorate.training.recipe import Recipe
from quorate.training.splits import split
from quorate.training.train import train_pool
from quorate.training.trainer import Rows

MEMBERS = ("svm", "light", "extreme", "torch")
CONFIG = f"""\
pools:
  digits: {{task: classification, members: [{", ".join(MEMBERS)}]}}
endpoints:
  main: {{pool: digits, strategies: {{vote: {{kind: mean}}}}}}
"""
LIMIT = 100.0
PIXELS, LABELS = load_digits(return_X_y=True)
PIXELS = (PIXELS / 16).astype(np.float32)


def network(weights: np.ndarray) -> Any:
    """A linear network that cannot answer (the root of a negative number) where the first pixel is beyond the limit."""
    import torch
    from torch import nn

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.from_numpy(weights))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight + 0.0 * torch.sqrt(LIMIT - x[:, :1])

    return Linear()


@dataclass(frozen=True)
class FittedTorch:
    weights: np.ndarray
    metrics: Mapping[str, float] = field(default_factory=dict)

    def answers(self, inputs: Tensors) -> FloatArray:
        logits = inputs[INPUT] @ self.weights
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def export(self, inputs: Tensors) -> Exported:
        from quorate.training.neural.export import to_onnx

        return to_onnx(network(self.weights), inputs[INPUT])


@dataclass(frozen=True)
class Torch:
    """A trainer of least squares, exported by PyTorch's exporter."""

    names: tuple[str, ...] = ("torch",)
    libraries: tuple[str, ...] = ("torch",)
    cost: float = 1.0

    def fit(self, rows: Rows) -> Sequence[FittedTorch]:
        weights, *_ = np.linalg.lstsq(rows.inputs[INPUT], np.eye(len(rows.classes))[rows.truth], rcond=None)
        return (FittedTorch(np.asarray(5 * weights, np.float32)),)


def recipe() -> Recipe:
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    data = Dataset("digits", {"input": PIXELS[:600]}, LABELS[:600].astype(str))
    classes = tuple("0123456789")
    signature = Signature("array", (TensorSpec("input", "float32", (None, 64)),), OutputSpec("scores", classes))
    return Recipe(
        data=data,
        split=split(data, seed=3),
        signature=signature,
        preprocess=[],
        trainers=[
            Estimator("svm", CalibratedClassifierCV(SVC(), ensemble=False, cv=2)),
            Estimator("light", LGBMClassifier(n_estimators=4, num_leaves=7, verbose=-1, n_jobs=1, deterministic=True)),
            Estimator("extreme", XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1)),
            Torch(),
        ],
        code="1",
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool, trained and applied."""
    home = Home(tmp_path_factory.mktemp("mixed"))
    registry = Registry(home.registry, SystemClock())
    trained = train_pool(recipe(), registry)
    assert trained.notices == (), "all four are ONNX"
    home.config.write_text(CONFIG)
    database = Database(home.store_url)
    database.migrate()
    assert apply(home, registry, database, author="test", clock=SystemClock()).notices == ()
    database.close()
    return home.root


def test_four_libraries_are_one_graph(project: Path) -> None:
    home = Home(project)
    registry = Registry(home.registry, SystemClock())
    route = snapshot.read(home.snapshot).pools[0].graph
    assert route is not None
    assert route.members == MEMBERS
    held = {"input": PIXELS[600:900]}
    graph = GraphSession(registry.blobs.checkout({"graph.onnx": route.digest}) / "graph.onnx", route.members)
    stacked = graph.run(held)
    assert stacked.shape == (300, 4, 10)
    for place, name in enumerate(MEMBERS):
        artifact = registry.artifact(registry.manifest(name))
        own = OnnxRuntime().load(artifact).run(held)[artifact.output_name]
        np.testing.assert_allclose(stacked[:, place], own, atol=1e-5)
        assert (stacked[:, place].argmax(axis=1) == LABELS[600:900]).mean() > 0.7
    beyond = PIXELS[600:604].copy()
    beyond[1, 0] = 2 * LIMIT
    spoilt = np.isnan(graph.run({"input": beyond})).any(axis=2)
    assert spoilt.tolist() == [[False] * 4, [False, False, False, True], [False] * 4, [False] * 4]


def test_a_member_that_answers_nan_loses_that_row_only(project: Path, server: Any) -> None:
    started = server(project, "--workers", "1")
    url = f"{started.url}/v1/endpoints/main/predict"
    rows = PIXELS[600:604].copy()
    whole = started.http.post(url, json={"instances": rows.tolist()}).json()
    assert (whole["degraded"], whole["missing"]) == (False, [])
    rows[1, 0] = 2 * LIMIT
    answer = started.http.post(url, json={"instances": rows.tolist()}).json()
    assert answer["degraded"]
    assert answer["missing"] == ["torch"]
    got = np.array([list(each["probabilities"].values()) for each in answer["predictions"]])
    before = np.array([list(each["probabilities"].values()) for each in whole["predictions"]])
    np.testing.assert_allclose(got[[0, 2, 3]], before[[0, 2, 3]], atol=1e-6)
    registry = Registry(Home(project).registry, SystemClock())
    rest = []
    for name in MEMBERS[:-1]:
        artifact = registry.artifact(registry.manifest(name))
        rest.append(OnnxRuntime().load(artifact).run({"input": rows[1:2]})[artifact.output_name])
    np.testing.assert_allclose(got[1], np.mean(rest, axis=0)[0], atol=1e-5)
