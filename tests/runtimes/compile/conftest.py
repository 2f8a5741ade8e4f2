"""Members made from scikit-learn estimators, for the tests of the pool compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec

Member = tuple[str, Artifact]
MakeMember = Callable[..., Member]


@pytest.fixture
def make_member(tmp_path: Path) -> MakeMember:
    """Write an ONNX model and describe it as a member that takes ``[n, features]`` and answers ``k`` numbers a row."""

    def make(name: str, model: bytes, features: int, k: int, *, output: str = "", scores: bool = True) -> Member:
        import onnx

        loaded = onnx.load_from_string(model)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.onnx").write_bytes(model)
        tensors = (TensorSpec(loaded.graph.input[0].name, "float32", (None, features)),)
        labels = tuple(map(str, range(k)))
        spec = OutputSpec("scores", classes=labels) if scores else OutputSpec("values", names=labels)
        signature = Signature("array", tensors, spec)
        own = output or loaded.graph.output[-1].name
        return name, Artifact(name, 1, "onnx", folder, ("m.onnx",), "sha256:0", signature, tensors, own)

    return make


@pytest.fixture
def make_estimator(make_member: MakeMember) -> MakeMember:
    """A member from a fitted estimator, by skl2onnx."""

    def make(name: str, estimator: Any, rows: np.ndarray) -> Member:
        from skl2onnx import to_onnx
        from sklearn.base import is_classifier

        scores = is_classifier(estimator)
        model = to_onnx(
            estimator,
            rows[:1].astype(np.float32),
            options={id(estimator): {"zipmap": False}} if scores else None,
            target_opset={"": 21, "ai.onnx.ml": 3},
        )
        k = len(estimator.classes_) if scores else 1
        return make_member(name, model.SerializeToString(), rows.shape[1], k, scores=scores)

    return make
