"""Models as artifacts, for the tests of the runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec

INPUT = (TensorSpec("input", "float32", (None, 4)),)
MakeCallable = Callable[..., Artifact]


@pytest.fixture
def make_callable(tmp_path: Path) -> MakeCallable:
    """Write a source with a function ``predict`` and describe it as an artifact; one float per row by default."""

    def make(
        source: str,
        *,
        entry: Any = "predict",
        tensors: tuple[TensorSpec, ...] = INPUT,
        output: OutputSpec | None = None,
        **options: Any,
    ) -> Artifact:
        (tmp_path / "model.py").write_text(dedent(source))
        signature = Signature("array", tensors, output or OutputSpec("values", names=("y",)))
        return Artifact(
            "m",
            1,
            "callable",
            tmp_path,
            ("model.py",),
            "sha256:0",
            signature,
            tensors,
            "y",
            {"entry": entry, **options},
        )

    return make


@pytest.fixture
def rows() -> np.ndarray:
    """Five rows of four numbers that start with 0, 4, 8, …"""
    return np.arange(20, dtype=np.float32).reshape(5, 4)


@pytest.fixture
def make_onnx(tmp_path: Path) -> Callable[..., Artifact]:
    """Write a linear model ``scores = softmax(input · w + b)`` and describe it as an artifact."""
    from onnx import TensorProto, helper, numpy_helper, save

    def make(
        name: str = "m",
        *,
        seed: int = 0,
        opset: int = 17,
        shape: tuple[Any, ...] = (None, 4),
        nodes: tuple[Any, ...] = (),
        declared: dict[str, Any] | None = None,
        external: bool = False,
        **options: Any,
    ) -> Artifact:
        rng = np.random.default_rng(seed)
        weights = [
            numpy_helper.from_array(rng.normal(size=(4, 3)).astype(np.float32), "w"),
            numpy_helper.from_array(rng.normal(size=3).astype(np.float32), "b"),
        ]
        linear = (
            helper.make_node("MatMul", ["input", "w"], ["a"], name="first"),
            helper.make_node("Add", ["a", "b"], ["c"], name="second"),
            helper.make_node("Softmax", ["c"], ["scores"], name="third", axis=1),
            helper.make_node("ArgMax", ["c"], ["label"], name="unused", axis=1, keepdims=0),
        )
        graph = helper.make_graph(
            nodes or linear,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 3]),
                helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            ],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        folder = tmp_path / name
        folder.mkdir()
        data = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0} if external else {}
        save(model, folder / "m.onnx", **data)
        tensors = (TensorSpec("input", "float32", (None, 4)),)
        fields: dict[str, Any] = {
            "files": ("m.onnx", "w.data") if external else ("m.onnx",),
            "signature": Signature("array", tensors, OutputSpec("scores", ("a", "b", "c"))),
            "tensors": tensors,
            "output_name": "scores",
            **(declared or {}),
        }
        return Artifact(name, 1, "onnx", folder, digest="sha256:0", options=options, **fields)

    return make
