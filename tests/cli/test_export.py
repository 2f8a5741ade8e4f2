"""``quorate export`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from quorate import Endpoint, Pool
from quorate.cli import main
from quorate.errors import NotFound

X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    members = {"line": LogisticRegression(max_iter=500), "tree": DecisionTreeClassifier(max_depth=3, random_state=0)}
    pool = Pool({name: each.fit(X[::2], LABELS[::2]) for name, each in members.items()}, X[1::2], LABELS[1::2])
    return Endpoint("iris", pool, project=tmp_path / "project")


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["export", *args])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def expected(pool: Pool) -> np.ndarray:
    return np.mean([estimator.predict_proba(X) for estimator in pool.members.values()], axis=0)


def test_a_strategy_becomes_a_file(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, file = str(endpoint.save().root), tmp_path / "vote.onnx"
    words = ["iris", "--strategy", "soft-vote", "--output", str(file), "--project", project]
    code, out, err = run(capsys, *words)
    assert (code, out.strip()) == (0, str(file))
    assert "Answers as here on" in err
    labels, probabilities = ort.InferenceSession(file).run(None, {"input": X})
    want = expected(endpoint.pool)
    np.testing.assert_allclose(probabilities, want, atol=1e-5)
    assert labels.tolist() == np.unique(LABELS)[want.argmax(axis=1)].tolist()
    code, out, _ = run(capsys, *words, "--json")
    found = json.loads(out)
    assert (found["outputs"], found["metadata"]["quorate.strategy"]) == (["label", "probabilities"], "soft-vote")
    assert found["bytes"] == file.stat().st_size


def test_what_cannot_be_exported(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = str(endpoint.save().root)
    code, _, err = run(capsys, "iris", "--project", project)
    assert code == 2
    assert "strategies; name one of: soft-vote, hard-vote" in err
    nowhere = str(tmp_path / "missing" / "file.onnx")
    code, _, err = run(capsys, "iris", "--strategy", "line", "--project", project, "--output", nowhere)
    assert code == 2
    assert "cannot be written: No such file or directory" in err


def test_the_python_api_exports_what_answers(endpoint: Endpoint, tmp_path: Path) -> None:
    exported = endpoint.export(tmp_path / "iris.onnx")
    assert exported.metadata["quorate.strategy"] == "soft-vote"
    probabilities = ort.InferenceSession(tmp_path / "iris.onnx").run(["probabilities"], {"input": X})[0]
    np.testing.assert_allclose(probabilities, expected(endpoint.pool), atol=1e-5)
    with pytest.raises(NotFound, match="has no strategy 'other'"):
        endpoint.export(tmp_path / "iris.onnx", "other")


def test_a_member_without_onnx_is_the_reason(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = next(iter(yaml.safe_load(project.home.config.read_text())["endpoints"]["main"]["strategies"]))
    code, _, err = run(capsys, "main", "--strategy", strategy, "--project", str(project.home.root))
    assert code == 2
    assert "is a callable model; expected onnx" in err
