"""The pool as plain files, for programs that know nothing of Quorate: ONNX models and what to say about them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

VARIABLE = "QUORATE_BENCH_POOL"


class PoolFiles(msgspec.Struct, frozen=True):
    """A pool of members that take pixels ``[n, h * w]``, times ``scale``, and answer probabilities ``[n, k]``.

    ``members`` maps a model file to its output; ``fused`` is one file that has all of
    ``fused_outputs``: one a member ``[n, k]``, or one of all members ``[n, m, k]``.
    """

    classes: tuple[str, ...]
    input: str
    scale: float
    members: Mapping[str, str]
    fused: str
    fused_outputs: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write it where :func:`from_environment` is told to look."""
        path.write_bytes(msgspec.json.encode(self))


def from_environment() -> PoolFiles:
    """The pool that the variable ``QUORATE_BENCH_POOL`` names."""
    return msgspec.json.decode(Path(os.environ[VARIABLE]).read_bytes(), type=PoolFiles)


class FiveSessions:
    """Soft vote of members in sessions of their own, run one after the other: for one row the fastest way."""

    def __init__(self, pool: PoolFiles) -> None:
        self.classes = pool.classes
        self._input = pool.input
        self._scale = np.float32(pool.scale)
        self._members = [(open_session(path), [output]) for path, output in pool.members.items()]

    def probabilities(self, instances: Sequence[Any]) -> NDArray[np.float32]:
        """Mean probabilities ``[n, k]`` of nested lists of pixels."""
        feed = {self._input: _pixels(instances, self._scale)}
        return _mean([session.run(names, feed)[0] for session, names in self._members])


class FusedSession:
    """Soft vote of members that are one graph."""

    def __init__(self, pool: PoolFiles) -> None:
        self.classes = pool.classes
        self._input = pool.input
        self._scale = np.float32(pool.scale)
        self._session = open_session(pool.fused)
        self._outputs = list(pool.fused_outputs)

    def probabilities(self, instances: Sequence[Any]) -> NDArray[np.float32]:
        """Mean probabilities ``[n, k]`` of nested lists of pixels."""
        outputs = self.run({self._input: _pixels(instances, self._scale)})
        if len(outputs) == 1 and outputs[0].ndim == 3:
            outputs = list(outputs[0].transpose(1, 0, 2))
        return _mean(outputs)

    def run(self, feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The graph alone: every member's output."""
        outputs: list[NDArray[np.float32]] = self._session.run(self._outputs, feed)
        return outputs


Model = FiveSessions | FusedSession


def open_session(path: str | bytes) -> ort.InferenceSession:
    """A session as one sets it for small models: one thread a run, and none that spins."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors: what is fused away of a graph is no news
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _mean(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    # A plain sum of five small arrays takes less than stacking them for np.mean.
    return sum(outputs[1:], outputs[0]) / np.float32(len(outputs))


def _pixels(instances: Sequence[Any], scale: np.float32) -> NDArray[np.float32]:
    return np.array(instances, np.float32).reshape(len(instances), -1) * scale


class Answers(Protocol):
    """What answers rows with probabilities."""

    classes: tuple[str, ...]

    def probabilities(self, instances: Sequence[Any], /) -> NDArray[np.float32]:
        """Probabilities ``[n, k]``."""


def answer(model: Answers, instances: Sequence[Any]) -> dict[str, Any]:
    """The answer that all systems give, as plain objects."""
    predictions = []
    for row in model.probabilities(instances).tolist():
        confidence = max(row)
        label = model.classes[row.index(confidence)]
        probabilities = dict(zip(model.classes, row, strict=True))
        predictions.append({"label": label, "confidence": confidence, "probabilities": probabilities})
    return {"predictions": predictions}
