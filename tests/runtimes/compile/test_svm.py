"""Support vector machines as matrix products answer as the operators that they replace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, SVR, NuSVC

from quorate.runtimes.compile import CompiledGraph, compile_pool, verify_graph
from quorate.runtimes.compile import svm as rewrites
from quorate.runtimes.graph import GraphSession

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:sklearn")
Make = Callable[..., Any]


def digits(classes: int = 10, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Rows in 0..1, whose products in float32 are not exact."""
    rows, labels = load_digits(return_X_y=True)
    chosen = labels < classes
    return (rows[chosen][:count] / 16).astype(np.float32), labels[chosen][:count]


def operators(graph: CompiledGraph) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(graph.model).graph.node)


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        (CalibratedClassifierCV(OneVsRestClassifier(SVC(C=10)), ensemble=False, cv=2), 10),
        (CalibratedClassifierCV(SVC(), ensemble=True, cv=2), 10),
        (CalibratedClassifierCV(SVC(kernel="poly", coef0=1.0, degree=2), ensemble=False, cv=2), 4),
        (CalibratedClassifierCV(SVC(kernel="poly"), ensemble=False, cv=2), 3),
        (CalibratedClassifierCV(SVC(kernel="sigmoid"), ensemble=False, cv=2), 3),
        (CalibratedClassifierCV(SVC(kernel="linear"), ensemble=True, cv=3), 2),
        (CalibratedClassifierCV(SVC(), ensemble=True, cv=3), 2),
    ],
    ids=["one-vs-rest", "folds", "poly 2", "poly 3", "sigmoid", "linear, two classes", "folds, two classes"],
)
def test_calibrated_machines(make_estimator: Make, estimator: Any, classes: int) -> None:
    rows, labels = digits(classes)
    estimator.fit(rows[:200], labels[:200])
    members = [make_estimator("svm", estimator, rows)]
    held = {"input": rows[200:]}
    before, after = compile_pool(members), compile_pool(members, held)
    assert after.rewritten["svm"] > 0
    found = operators(after)
    assert "SVMClassifier" not in found
    assert found.total() < operators(before).total()
    assert verify_graph(after, members, held) <= 5e-6
    got = GraphSession(after.model, after.members).run({"input": rows[200:]})[:, 0]
    np.testing.assert_allclose(got, estimator.predict_proba(rows[200:]), atol=1e-5)
    single = [GraphSession(after.model, after.members).run({"input": rows[i : i + 1]})[:, 0] for i in (200, 201)]
    np.testing.assert_allclose(np.concatenate(single), got[:2], atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("machine", [SVC, NuSVC])
def test_platts_probabilities_are_coupled_by_the_operator_itself(make_member: Make, machine: Any, classes: int) -> None:
    """``SVMClassifier`` with prob_a stays, on decision values instead of pictures."""
    rows, labels = digits(classes)
    coupled = machine(probability=True, random_state=0) if machine is SVC else machine(nu=0.1, probability=True)
    coupled.fit(rows[:200], labels[:200])
    from skl2onnx import to_onnx

    model = to_onnx(coupled, rows[:1], options={"zipmap": False}, target_opset={"": 21, "ai.onnx.ml": 3})
    members = [make_member("svm", model.SerializeToString(), 64, classes)]
    held = {"input": rows[200:]}
    after = compile_pool(members, held)
    assert after.rewritten == {"svm": 1}
    (node,) = (node for node in onnx.load_from_string(after.model).graph.node if node.op_type == "SVMClassifier")
    vectors = next(attribute for attribute in node.attribute if attribute.name == "support_vectors")
    pairs = classes * (classes - 1) // 2
    assert len(vectors.floats) == pairs * (pairs + 1), "one unit vector a pair"
    assert verify_graph(after, members, held) <= 5e-6


def test_regressors(make_estimator: Make) -> None:
    rows, labels = digits()
    members = [
        make_estimator(kernel, SVR(kernel=kernel, C=0.01).fit(rows[:150], labels[:150]), rows)
        for kernel in ("rbf", "poly", "linear")
    ]
    held = {"input": rows[150:]}
    after = compile_pool(members, held)
    assert after.rewritten == {"rbf": 1, "poly": 1, "linear": 1}
    assert "SVMRegressor" not in operators(after)
    assert verify_graph(after, members, held) <= 5e-6


def test_without_rows_to_compare_on_nothing_is_rewritten(make_estimator: Make) -> None:
    rows, labels = digits(3)
    members = [make_estimator("svm", CalibratedClassifierCV(SVC(), cv=2).fit(rows, labels), rows)]
    graph = compile_pool(members)
    assert graph.rewritten == {}
    assert operators(graph)["SVMClassifier"] == 2
    assert verify_graph(graph, members, {"input": rows}) <= 1e-6


def test_a_rewrite_that_answers_otherwise_is_not_used(
    make_estimator: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows, labels = digits(3)
    estimator = CalibratedClassifierCV(SVC(), cv=2).fit(rows, labels)
    members = [make_estimator("svm", estimator, rows), make_estimator("other", estimator, rows)]
    right, calls = rewrites._balanced, []

    def wrong_once(terms: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.zeros(len(terms), np.int64) if len(calls) == 1 else right(terms)

    monkeypatch.setattr(rewrites, "_balanced", wrong_once)
    graph = compile_pool(members, {"input": rows})
    assert set(graph.rewritten) == {"other"}
    assert "Member 'svm' keeps its own operators" in caplog.text
    assert operators(graph)["SVMClassifier"] == 2
    assert verify_graph(graph, members, {"input": rows}) <= 1e-5


def test_equal_support_vectors_are_one(make_estimator: Make) -> None:
    rows, labels = digits()
    estimator = CalibratedClassifierCV(OneVsRestClassifier(SVC(C=10)), ensemble=False, cv=2).fit(rows, labels)
    machines = estimator.calibrated_classifiers_[0].estimator.estimators_
    distinct = len({vector.tobytes() for machine in machines for vector in machine.support_vectors_})
    assert distinct < sum(len(machine.support_vectors_) for machine in machines)
    graph = compile_pool([make_estimator("svm", estimator, rows)], {"input": rows})
    shapes = [tuple(tensor.dims) for tensor in onnx.load_from_string(graph.model).graph.initializer]
    assert (65, distinct) in shapes
    assert (distinct, 10) in shapes


def test_a_label_of_two_classes_is_left_to_the_operator(make_member: Make) -> None:
    """Its rule is not the sign of the decision value alone."""
    rows, labels = digits(2)
    machine = SVC().fit(rows, labels)
    node = helper.make_node(
        "SVMClassifier",
        ["input"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_ints=[0, 1],
        coefficients=machine.dual_coef_.ravel().tolist(),
        kernel_params=[0.05, 0.0, 3.0],
        kernel_type="RBF",
        rho=machine.intercept_.tolist(),
        support_vectors=machine.support_vectors_.ravel().tolist(),
        vectors_per_class=machine.n_support_.tolist(),
    )
    graph = helper.make_graph(
        [node, helper.make_node("Cast", ["label"], ["y"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    members = [make_member("svm", model, 64, 1, scores=False)]
    compiled = compile_pool(members, {"input": rows})
    assert compiled.rewritten == {}
    assert verify_graph(compiled, members, {"input": rows}) == 0.0


def test_sums_in_balanced_order_are_exact_where_others_are_not() -> None:
    rng = np.random.default_rng(0)
    terms = np.concatenate([rng.uniform(1, 10, (300, 3)), -rng.uniform(1, 10, (300, 3))])
    order = rewrites._balanced(terms)
    assert sorted(order.tolist()) == list(range(600))
    as_it_is, balanced = np.abs(np.cumsum(terms, axis=0)).max(), np.abs(np.cumsum(terms[order], axis=0)).max()
    assert balanced < as_it_is / 10
