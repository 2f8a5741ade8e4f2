"""Estimators saved with skops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes.skops import SkopsRuntime

ROWS = np.random.default_rng(4).normal(size=(30, 4)).astype(np.float32)
LABELS = np.arange(30) % 3
SCORES = OutputSpec("scores", ("0", "1", "2"))


def saved(model: Any, folder: Path, output: OutputSpec, tensors: int = 1, **options: Any) -> Artifact:
    skops.io.dump(model, folder / "m.skops")
    specs = tuple(TensorSpec(f"x{i}", "float32", (None, 4)) for i in range(tensors))
    signature = Signature("array", specs, output)
    return Artifact("m", 1, "skops", folder, ("m.skops",), "sha256:0", signature, specs, "y", options)


def test_classes_come_in_the_order_of_the_signature(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    expected = model.predict_proba(ROWS).astype(np.float32)
    for order in (("0", "1", "2"), ("2", "0", "1")):
        artifact = saved(model, tmp_path, OutputSpec("scores", order))
        got = SkopsRuntime().load(artifact).run({"x0": ROWS})["y"]
        np.testing.assert_array_equal(got, expected[:, [int(label) for label in order]])


@pytest.mark.parametrize("labels", [np.array(["no", "yes"])[LABELS % 2], LABELS % 2 == 1])
def test_labels_of_any_type(labels: np.ndarray, tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, labels)
    artifact = saved(model, tmp_path, OutputSpec("scores", tuple(map(str, sorted(set(labels.tolist()))))))
    assert SkopsRuntime().load(artifact).run({"x0": ROWS})["y"].shape == (30, 2)


def test_regressors_predict_values(tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, ROWS[:, :2])
    got = SkopsRuntime().load(saved(model, tmp_path, OutputSpec("values", names=("a", "b")))).run({"x0": ROWS})["y"]
    np.testing.assert_allclose(got, ROWS[:, :2], atol=1e-6)


def named_function(rows: Any) -> Any:
    return rows


def test_types_that_are_not_trusted_are_refused_by_name(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(ROWS, LABELS)
    artifact = saved(model, tmp_path, SCORES)
    with pytest.raises(FormatRefused, match=r"not trusted: numpy\.nan_to_num; look at their source"):
        SkopsRuntime().load(artifact)
    session = SkopsRuntime().load(saved(model, tmp_path, SCORES, trusted=["numpy.nan_to_num"]))
    assert session.run({"x0": ROWS})["y"].shape == (30, 3)


@pytest.mark.parametrize(
    ("model", "output", "tensors", "options", "told"),
    [
        (LogisticRegression(), OutputSpec("scores", ("0", "1")), 1, {}, "its estimator has 0, 1, 2"),
        (LogisticRegression(), OutputSpec("scores", ("0", "1", "2", "3")), 1, {}, "declares the classes 0, 1, 2, 3"),
        (RidgeClassifier(), SCORES, 1, {}, "RidgeClassifier without predict_proba; wrap it"),
        (LogisticRegression(), SCORES, 2, {}, "takes 2 tensors"),
        (LogisticRegression(), SCORES, 1, {"trusted": "all"}, "sets trusted to 'all'"),
        (LogisticRegression(), SCORES, 1, {"trust": []}, "option 'trust'"),
    ],
)
def test_what_does_not_fit_is_refused_at_load(
    model: Any, output: OutputSpec, tensors: int, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    artifact = saved(model.fit(ROWS, LABELS), tmp_path, output, tensors, **options)
    with pytest.raises(FormatRefused, match=told):
        SkopsRuntime().load(artifact)


def test_what_is_not_skops_is_refused(tmp_path: Path) -> None:
    artifact = saved(LogisticRegression().fit(ROWS, LABELS), tmp_path, SCORES)
    (tmp_path / "m.skops").write_bytes(b"\x80\x05pickle")
    with pytest.raises(FormatRefused, match="is not a skops file"):
        SkopsRuntime().load(artifact)


def test_an_estimator_that_raises_is_a_crash(tmp_path: Path) -> None:
    session = SkopsRuntime().load(saved(LogisticRegression().fit(ROWS, LABELS), tmp_path, SCORES))
    with pytest.raises(MemberCrashed, match="Model 'm' failed in scikit-learn"):
        session.run({"x0": np.full((1, 4), np.nan, np.float32)})
