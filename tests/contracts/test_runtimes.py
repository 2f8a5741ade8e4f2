"""Every runtime keeps the contract, and the contract's checks can fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.core.types import Artifact, OutputSpec, Signature, Tensors, TensorSpec
from quorate.errors import MemberCrashed, SignatureViolation
from quorate.runtimes.base import Runtime, Session
from quorate.runtimes.signature import InputCheck
from quorate.testing.runtime import check_runtime

FEATURES, HIDDEN, CLASSES = 64, 8192, ("0", "1", "2")
TENSORS = (TensorSpec("input", "float32", (None, FEATURES)),)
ROWS = np.random.default_rng(1).normal(size=(6, FEATURES)).astype(np.float32)


def artifact(folder: Path, form: str, file: str, output: OutputSpec | None = None, **options: Any) -> Artifact:
    signature = Signature("array", TENSORS, output or OutputSpec("scores", CLASSES))
    return Artifact("m", 1, form, folder, (file,), "sha256:0", signature, TENSORS, "scores", options)


def weights() -> tuple[np.ndarray, np.ndarray]:
    """A wide two-layer net: 2 MB, so that memory can be judged."""
    rng = np.random.default_rng(0)
    wide = rng.normal(scale=0.1, size=(FEATURES, HIDDEN)).astype(np.float32)
    return wide, rng.normal(scale=0.01, size=(HIDDEN, len(CLASSES))).astype(np.float32)


def net(rows: np.ndarray) -> np.ndarray:
    wide, last = weights()
    scores = np.exp(np.maximum(rows @ wide, 0) @ last)
    return scores / scores.sum(axis=1, keepdims=True)


def onnx_case(folder: Path) -> tuple[Artifact, np.ndarray]:
    from onnx import TensorProto, helper, numpy_helper, save

    wide, last = weights()
    nodes = [
        helper.make_node("MatMul", ["input", "wide"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "last"], ["c"]),
        helper.make_node("Softmax", ["c"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, len(CLASSES)])],
        [numpy_helper.from_array(wide, "wide"), numpy_helper.from_array(last, "last")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
    return artifact(folder, "onnx", "m.onnx"), net(ROWS)


def skops_case(folder: Path) -> tuple[Artifact, np.ndarray]:
    import skops.io
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(2)
    rows = rng.normal(size=(8000, FEATURES)).astype(np.float32)
    model = KNeighborsClassifier(7, algorithm="brute").fit(rows, rng.integers(0, 3, size=len(rows)))
    skops.io.dump(model, folder / "m.skops")
    return artifact(folder, "skops", "m.skops"), model.predict_proba(ROWS)


SOURCE = """
import numpy as np
from pathlib import Path

class Net:
    def __init__(self):
        stored = np.load(Path(__file__).parent / "weights.npz")
        self.wide, self.last = stored["wide"], stored["last"]

    def __call__(self, input):
        scores = np.exp(np.maximum(input @ self.wide, 0) @ self.last)
        return scores / scores.sum(axis=1, keepdims=True)
"""


def callable_case(folder: Path) -> tuple[Artifact, np.ndarray]:
    wide, last = weights()
    np.savez(folder / "weights.npz", wide=wide, last=last)
    (folder / "m.py").write_text(SOURCE)
    return artifact(folder, "callable", "m.py", entry="Net"), net(ROWS)


def tflite_case(folder: Path) -> tuple[Artifact, np.ndarray]:
    pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")
    from quorate.testing.tflite import dense_network

    wide, last = weights()
    (folder / "m.tflite").write_bytes(dense_network(last, np.zeros(len(CLASSES)), hidden=wide))
    return artifact(folder, "tflite", "m.tflite"), net(ROWS)


CASES: dict[str, Callable[[Path], tuple[Artifact, np.ndarray]]] = {
    "onnx": onnx_case,
    "skops": skops_case,
    "callable": callable_case,
    "tflite": tflite_case,
}


def test_every_runtime_is_in_the_table() -> None:
    assert set(CASES) == set(plugins.names("runtimes"))


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str, tmp_path: Path) -> None:
    model, expected = CASES[name](tmp_path)
    runtime = plugins.load("runtimes", name)
    assert runtime.name == name
    check_runtime(runtime, model, {"input": ROWS}, expected)


# --- the checks can fail: one good runtime, and what each way of breaking it must be told -------------


def same(rows: np.ndarray) -> np.ndarray:
    return rows


def nothing(inputs: Tensors) -> None:
    pass


@dataclass
class Ways:
    """How :class:`Toy` is broken."""

    answer: Callable[[np.ndarray], Any] = same
    before: Callable[[Tensors], None] = nothing
    shared: bool = False
    unchecked: bool = False
    wrong_error: bool = False
    close_once: bool = False
    runs_closed: bool = False
    keeps: bool = False
    name: str = "scores"


def toy(ways: Ways) -> type[Runtime]:
    class ToySession(Session):
        def __init__(self, model: Artifact) -> None:
            self.check = InputCheck("toy", model.tensors)
            self.weights: np.ndarray | None = np.ones((512, 1024))  # 4 MB
            self.kept: np.ndarray | None = self.weights
            self.rows = ROWS

        def run(self, inputs: Tensors) -> Tensors:
            if self.weights is None and not ways.runs_closed:
                raise MemberCrashed("closed")
            try:
                if not ways.unchecked:
                    self.check(inputs)
            except SignatureViolation as error:
                raise ValueError("bad") if ways.wrong_error else error from None
            rows = next(iter(inputs.values()), ROWS)
            if ways.shared:
                self.rows = rows
                time.sleep(0.002)  # lets the other threads in, as a long run would
                rows = self.rows
            ways.before(inputs)
            return {ways.name: ways.answer(np.asarray(rows, np.float32)[:, :3].copy())}

        def close(self) -> None:
            if ways.close_once and self.weights is None:
                raise RuntimeError("closed already")
            self.weights = None
            if not ways.keeps:
                self.kept = None

    class Toy(Runtime):
        name = "toy"
        formats = frozenset({"toy"})

        def load(self, model: Artifact) -> Session:
            return ToySession(model)

    return Toy


def spoil(inputs: Tensors) -> None:
    inputs["input"][0] = 0


BROKEN: dict[str, tuple[Ways, str]] = {
    "sound": (Ways(), ""),
    "other output": (Ways(name="other"), "must return 'scores'"),
    "a list": (Ways(lambda rows: rows.tolist()), "must be an array"),
    "float64": (Ways(lambda rows: rows.astype(float)), "must be float32"),
    "narrow": (Ways(lambda rows: rows[:, :2]), "must be \\[n, 3\\]"),
    "wrong": (Ways(lambda rows: rows + 0.01), "not the expected ones"),
    "sorted": (Ways(lambda rows: rows[np.argsort(rows[:, 0])]), "order of the rows"),
    "batch mean": (Ways(lambda rows: rows - rows.mean(axis=0) * (len(rows) != 6)), "alone is answered differently"),
    "changes rows": (Ways(before=spoil), "changes its input 'input'"),
    "changes names": (Ways(before=lambda inputs: inputs.update(more=ROWS)), "changes its dictionary"),
    "shares": (Ways(shared=True), "not thread-safe"),
    "takes anything": (Ways(unchecked=True), "must raise a MemberError"),
    "raises ValueError": (Ways(wrong_error=True), "no tensor must raise a MemberError; got ValueError"),
    "close once": (Ways(close_once=True), "second close raises"),
    "runs closed": (Ways(runs_closed=True), "after close must raise"),
    "keeps memory": (Ways(keeps=True), "close keeps"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_checks_can_fail(name: str, tmp_path: Path) -> None:
    ways, told = BROKEN[name]
    model = artifact(tmp_path, "toy", "none")
    inputs = {"input": np.sort(ROWS, axis=0)}
    if not told:
        check_runtime(toy(ways), model, inputs, inputs["input"][:, :3])
        return
    with pytest.raises(AssertionError, match=told):
        check_runtime(toy(ways), model, inputs, inputs["input"][:, :3])


def test_a_table_row_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    model = artifact(tmp_path, "toy", "none")
    with pytest.raises(AssertionError, match="at least 4 rows"):
        check_runtime(toy(Ways()), model, {"input": ROWS[:3]}, ROWS[:3, :3])
    with pytest.raises(AssertionError, match="answers differ"):
        check_runtime(toy(Ways()), model, {"input": ROWS}, np.ones((6, 3), np.float32))
    with pytest.raises(AssertionError, match="does not declare"):
        check_runtime(toy(Ways()), artifact(tmp_path, "onnx", "none"), {"input": ROWS}, ROWS[:, :3])
