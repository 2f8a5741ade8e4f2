"""Export: ONNX where it answers as the estimator does, else skops, always with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from quorate.errors import InvalidInput
from quorate.runtimes.onnx import open_session
from quorate.training import export
from quorate.training.export import INPUT, OPSET, answers, output_spec, to_artifact

X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(5, random_state=0),
        ExtraTreesClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
        MLPClassifier((8,), max_iter=20, random_state=0),
        CalibratedClassifierCV(OneVsRestClassifier(SVC()), ensemble=False),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_classifiers_become_onnx_that_answers_the_same(estimator: Any) -> None:
    fitted = estimator.fit(X, LABELS)
    found = to_artifact(fitted, X[::7])
    assert (found.format, found.reason, found.options) == ("onnx", None, {})
    assert str(found.tensors[0]) == "input[N,4] float32"
    session = open_session(found.files["model.onnx"], name="test")
    assert [output.name for output in session.get_outputs()] == [found.output_name]
    got = session.run([found.output_name], {INPUT: X})[0]
    np.testing.assert_allclose(got, fitted.predict_proba(X), atol=1e-4)
    assert output_spec(fitted).classes == ("setosa", "versicolor", "virginica")


def test_all_models_have_the_same_opset_so_that_they_can_be_fused() -> None:
    import onnx

    for estimator in (LogisticRegression(), RandomForestClassifier(3), MLPClassifier((4,), max_iter=5)):
        model = onnx.load_from_string(to_artifact(estimator.fit(X, LABELS), X[:9]).files["model.onnx"])
        versions = [(entry.domain, entry.version) for entry in model.opset_import]
        assert len(versions) == len(set(versions))
        assert dict(versions)[""] == OPSET[""]


def test_the_same_estimator_gives_the_same_bytes() -> None:
    fitted = RandomForestClassifier(3, random_state=0).fit(X, LABELS)
    assert to_artifact(fitted, X[:9]).files == to_artifact(fitted, X[:9]).files


def test_regressors_answer_values() -> None:
    fitted = LinearRegression().fit(X[:, :3], X[:, 3])
    found = to_artifact(fitted, X[:, :3])
    assert found.format == "onnx"
    assert output_spec(fitted).names == ("value",)
    got = open_session(found.files["model.onnx"], name="test").run([found.output_name], {INPUT: X[:, :3]})[0]
    np.testing.assert_allclose(got, answers(fitted, X[:, :3]), atol=1e-4)
    assert output_spec(LinearRegression().fit(X[:, :2], X[:, 2:])).names == ("value_0", "value_1")


def test_a_conversion_that_answers_otherwise_falls_back_to_skops_and_says_by_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import skops.io

    fitted, other = LogisticRegression(C=1.0).fit(X, LABELS), LogisticRegression(C=0.5).fit(X, LABELS)
    convert = export._to_onnx
    monkeypatch.setattr(export, "_to_onnx", lambda _, features: convert(other, features))
    found = to_artifact(fitted, X)
    assert found.format == "skops"
    assert found.reason is not None
    assert "does not answer the same: off by up to 0." in found.reason
    loaded = skops.io.loads(found.files["model.skops"], trusted=found.options.get("trusted", []))
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_what_cannot_be_converted_falls_back_to_skops_and_says_why() -> None:
    fitted = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(X, LABELS)
    found = to_artifact(fitted, X)
    assert found.format == "skops"
    assert found.reason is not None
    assert "cannot be converted to ONNX" in found.reason


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (LogisticRegression(), "not fitted"),
        (RidgeClassifier().fit(X, LABELS), "CalibratedClassifierCV"),
        (StandardScaler().fit(X), "not a scikit-learn classifier or regressor"),
        ("model", "not a scikit-learn classifier or regressor"),
        (RandomForestClassifier(2).fit(X, np.stack([Y, Y], axis=1)), "several labels"),
    ],
    ids=["unfitted", "no probabilities", "transformer", "text", "multilabel"],
)
def test_what_is_no_usable_estimator_is_refused(estimator: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        to_artifact(estimator, X)
