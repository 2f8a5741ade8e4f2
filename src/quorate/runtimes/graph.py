"""A pool's members in one ONNX graph: one run returns the output of every member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quorate.core.types import FloatArray, Tensors
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes import adapt
from quorate.runtimes.onnx import open_session, tensor_specs
from quorate.runtimes.signature import InputCheck, one_line

STACKED = "members"
"""The name of a compiled graph's one output, float32 ``[n, m, k]``."""


class GraphSession:
    """A compiled pool, loaded from a file or from memory; thread-safe, keeps row order.

    ``members`` are the names on the second axis, in order (:class:`~quorate.runtimes.compile.CompiledGraph`), ``name``
    is for messages; ``inputs`` are the graph's own tensors. A graph that the previous release compiled has an output
    for each member: then ``outputs`` maps names to tensors, and ``alone`` runs one row at a time.
    :class:`FormatRefused` if it is not such a graph. A run fails as a whole only; what one member answered is for the
    caller to check (:func:`~quorate.runtimes.signature.usable`).
    """

    def __init__(
        self,
        model: Path | bytes,
        members: Sequence[str],
        *,
        outputs: Mapping[str, str] | None = None,
        name: str = "pool",
        threads: int = 1,
        alone: bool = False,
    ) -> None:
        session = open_session(model, name=name, threads=threads)
        self.members = tuple(members)
        self.inputs, own = tensor_specs(session, name=name)
        self._outputs = [STACKED] if outputs is None else [outputs[member] for member in self.members]
        missing = sorted(set(self._outputs) - {spec.name for spec in own})
        if missing:
            raise FormatRefused(f"Graph '{name}' has no output '{missing[0]}'; compile the pool again.", path=name)
        width = next((spec.shape[1] for spec in own if spec.name == STACKED and len(spec.shape) == 3), None)
        if outputs is None and width != len(self.members):
            raise FormatRefused(
                f"Graph '{name}' answers for {width} members; expected {len(self.members)}; compile the pool again.",
                path=name,
            )
        self._session: ort.InferenceSession | None = session
        self._apart = outputs is not None
        self._check = InputCheck(name, self.inputs)
        self._name = name
        self._alone = alone

    def run(self, inputs: Tensors) -> FloatArray:
        """The members' outputs, float32 ``[n, m, k]``, C-contiguous, in the order of ``members``.

        :class:`SignatureViolation` if the inputs are not the graph's, :class:`MemberCrashed` if the run fails.
        """
        inputs = self._check.named(inputs)
        rows = self._check(inputs)
        session = self._session
        if session is None:
            raise MemberCrashed(f"Graph '{self._name}' is closed.", path=self._name)
        try:
            if self._alone and rows > 1:
                found = adapt.run_alone(session.run, self._outputs, inputs, rows)
            else:
                found = session.run(self._outputs, inputs)
            if self._apart:
                return _stacked(found, rows)
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise MemberCrashed(
                f"Graph '{self._name}' failed in ONNX Runtime ({one_line(error)}).", path=self._name
            ) from error
        stacked: FloatArray = found[0]
        if stacked.shape[0] != rows:
            raise MemberCrashed(
                f"Graph '{self._name}' answered {stacked.shape[0]} rows; expected {rows}.", path=self._name
            )
        return stacked

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._session = None


def _stacked(outputs: Sequence[NDArray[Any]], rows: int) -> FloatArray:
    """Outputs ``[n, k]``, or ``[n]`` where k is 1, side by side."""
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is not usable
        return np.stack([np.asarray(each, np.float32).reshape(rows, -1) for each in outputs], axis=1)
