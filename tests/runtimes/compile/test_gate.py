"""What fails the gate is compiled again without rewritten operators, and refused if that fails too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from quorate.errors import ParityError
from quorate.runtimes.compile import compile_verified, gate

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:sklearn")
Make = Callable[..., Any]
ROWS, LABELS = load_iris(return_X_y=True)
ROWS = ROWS.astype(np.float32)
INPUTS = {"X": ROWS}


@pytest.fixture
def members(make_estimator: Make) -> Any:
    machine = CalibratedClassifierCV(SVC(), cv=2).fit(ROWS, LABELS)
    line = LogisticRegression(max_iter=500).fit(ROWS, LABELS)
    return [make_estimator("machine", machine, ROWS), make_estimator("line", line, ROWS)]


def spoilt(graph: Any) -> Any:
    """The graph with one weight moved."""
    model = onnx.load_from_string(graph.model)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "LinearClassifier" and attribute.name == "intercepts":
                attribute.floats[0] += 0.01
    return replace(graph, model=model.SerializeToString())


def test_rewritten_graphs_pass(members: Any) -> None:
    assert set(compile_verified(members, INPUTS).rewritten) == {"machine"}


def test_a_rewritten_graph_that_fails_is_compiled_again(
    members: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compile_pool = gate.compile_pool
    monkeypatch.setattr(
        gate, "compile_pool", lambda m, rows=None: compile_pool(m) if rows is None else spoilt(compile_pool(m, rows))
    )
    graph = compile_verified(members, INPUTS)
    assert graph.rewritten == {}
    assert "compiled again without rewritten operators: Member 'line' answers differently" in caplog.text


def test_a_graph_that_fails_in_every_form_is_refused(members: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_pool = gate.compile_pool
    monkeypatch.setattr(gate, "compile_pool", lambda m, rows=None: spoilt(compile_pool(m, rows)))
    with pytest.raises(ParityError, match="Member 'line' answers differently in the fused graph") as caught:
        compile_verified(members, INPUTS)
    assert caught.value.path == "line"
