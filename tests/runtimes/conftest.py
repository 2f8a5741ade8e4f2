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
