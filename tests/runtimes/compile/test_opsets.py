"""Models of mixed operator sets share one version of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from quorate.errors import FormatRefused
from quorate.runtimes.compile import compile_pool, opsets, verify_graph

Make = Callable[..., Any]


def model(operator: str, version: int, *, domain: str = "ai.onnx.ml", **attributes: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
    )
    opset_imports = [helper.make_opsetid(domain, version), helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset_imports, ir_version=8)


def test_trees_of_several_exporters(make_member: Make) -> None:
    """Versions 1 and 3 of ai.onnx.ml: the newer one only adds to what trees can say."""
    from skl2onnx import to_onnx

    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    members = []
    for version, opset in ((1, 9), (3, 17)):
        forest = RandomForestClassifier(5, random_state=version).fit(rows, labels)
        exported = to_onnx(forest, rows[:1], options={"zipmap": False}, target_opset={"": opset, "ai.onnx.ml": version})
        del exported.opset_import[:]
        exported.opset_import.extend([helper.make_opsetid("ai.onnx.ml", version), helper.make_opsetid("", opset)])
        members.append(make_member(f"v{version}", exported.SerializeToString(), 4, 3, output="probabilities"))
    graph = compile_pool(members)
    found = opsets.opsets(onnx.load_from_string(graph.model))
    assert found["ai.onnx.ml"] == 3
    assert verify_graph(graph, members, {"X": rows}) <= 1e-6


def test_an_operator_that_a_newer_version_gave_up_keeps_the_older_one() -> None:
    tree = {"nodes_nodeids": [0], "nodes_treeids": [0], "nodes_modes": ["LEAF"], "nodes_featureids": [0]}
    models = {
        "trees": model("TreeEnsembleRegressor", 3, n_targets=1, **tree),
        "scaler": model("Scaler", 5, offset=[0.0], scale=[1.0]),
    }
    assert opsets.unify(models)["ai.onnx.ml"] == 3, "trees have another operator since version 5; a scaler has not"


def test_what_means_something_else_is_refused() -> None:
    models = {
        "old": model("LabelEncoder", 1, classes_strings=["a"]),
        "new": model("LabelEncoder", 2, keys_floats=[0.0], values_floats=[1.0]),
    }
    with pytest.raises(FormatRefused, match=r"'old' cannot be fused: it uses version 1 of .*ai\.onnx\.ml") as caught:
        opsets.unify(models)
    assert caught.value.path == "old"
