"""Members from LightGBM and XGBoost: exported with parity, alone and in scikit-learn's pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from quorate.errors import InvalidInput
from quorate.runtimes.onnx import open_session
from quorate.training import boosters
from quorate.training.estimator import Estimator
from quorate.training.export import INPUT, answers, to_artifact
from quorate.training.trainer import Rows

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
CLASSES = ("setosa", "versicolor", "virginica")
LIGHT: dict[str, Any] = {"n_estimators": 5, "num_leaves": 5, "verbose": -1, "n_jobs": 1, "deterministic": True}
EXTREME: dict[str, Any] = {"n_estimators": 5, "max_depth": 2, "n_jobs": 1}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "estimator",
    [
        LGBMClassifier(**LIGHT),
        XGBClassifier(**EXTREME),
        make_pipeline(StandardScaler(), LGBMClassifier(**LIGHT)),
    ],
    ids=["lightgbm", "xgboost", "in a pipeline"],
)
def test_classifiers_become_onnx(estimator: Any, classes: int) -> None:
    chosen = classes > Y
    rows = Rows({INPUT: X[chosen]}, Y[chosen], CLASSES[:classes])
    (member,) = Estimator("m", estimator).fit(rows)
    exported = member.export(rows.inputs)
    assert (exported.format, exported.reason) == ("onnx", None)
    session = open_session(exported.files["model.onnx"], name="m")
    got = session.run([exported.output_name], {INPUT: X[chosen]})[0]
    assert got.shape == (chosen.sum(), classes)
    np.testing.assert_allclose(got, member.answers(rows.inputs), atol=1e-5)
    assert (got.argmax(axis=1) == Y[chosen]).mean() > 0.8


@pytest.mark.parametrize("estimator", [LGBMRegressor(**LIGHT), XGBRegressor(**EXTREME)], ids=["lightgbm", "xgboost"])
def test_regressors_become_onnx(estimator: Any) -> None:
    fitted = estimator.fit(X[:, :3], X[:, 3])
    exported = to_artifact(fitted, X[:, :3])
    assert (exported.format, exported.reason) == ("onnx", None)
    got = open_session(exported.files["model.onnx"], name="m").run([exported.output_name], {INPUT: X[:, :3]})[0]
    np.testing.assert_allclose(got, answers(fitted, X[:, :3]), rtol=1e-4)


def test_what_the_converter_does_not_know_is_told() -> None:
    rows = Rows({INPUT: X}, Y, CLASSES)
    (member,) = Estimator("m", XGBClassifier(**EXTREME, booster="dart")).fit(rows)
    exported = member.export(rows.inputs)
    assert exported.format == "skops"
    assert "it cannot be converted to ONNX" in str(exported.reason)


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = Rows({INPUT: X}, Y, CLASSES)
    for estimator in (LGBMClassifier(**LIGHT), XGBClassifier(**EXTREME)):
        first, second = (Estimator("m", estimator).fit(rows)[0].export(rows.inputs).files for _ in range(2))
        assert first == second


def test_weights_of_rows_are_heeded() -> None:
    heavy = np.where(Y == 0, 1.0, 1e-6)
    rows = Rows({INPUT: X}, Y, CLASSES, heavy / heavy.sum())
    (member,) = Estimator("m", XGBClassifier(**EXTREME)).fit(rows)
    assert (member.answers(rows.inputs).argmax(axis=1) == 0).mean() > 0.9


def test_xgboost_must_see_every_class() -> None:
    rows = Rows({INPUT: X[:100]}, Y[:100], CLASSES)
    with pytest.raises(InvalidInput, match="'m' learned the classes 0, 1; the signature has setosa"):
        Estimator("m", XGBClassifier(**EXTREME)).fit(rows)


def test_what_they_come_from_is_part_of_the_recipe() -> None:
    assert Estimator("m", LogisticRegression()).libraries == ("scikit-learn", "skl2onnx")
    light = Estimator("m", make_pipeline(StandardScaler(), LGBMClassifier())).libraries
    assert light == ("scikit-learn", "skl2onnx", "lightgbm", "onnxmltools")
    extreme = Estimator("m", XGBClassifier()).libraries
    assert extreme[:3] == ("scikit-learn", "skl2onnx", "onnxmltools")
    assert extreme[3].startswith("xgboost")


def test_without_onnxmltools_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError("No module named 'onnxmltools'", name="onnxmltools")

    monkeypatch.setattr(boosters, "_register", missing)
    exported = to_artifact(LogisticRegression(max_iter=500).fit(X, Y), X)
    assert exported.format == "onnx", "which does not need it"
    with pytest.raises(InvalidInput, match=r"LGBMClassifier needs the package 'onnxmltools' to become ONNX"):
        boosters.register_converters(LGBMClassifier())
