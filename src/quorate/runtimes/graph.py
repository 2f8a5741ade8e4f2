"""A pool's members in one ONNX graph: one run returns the output of every member."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from quorate.core.types import Tensors
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes import adapt
from quorate.runtimes.onnx import open_session, tensor_specs
from quorate.runtimes.signature import InputCheck, one_line


class GraphSession:
    """A compiled pool, loaded from a file or from memory; thread-safe, keeps row order.

    ``outputs`` maps each member to its output tensor (:class:`~quorate.runtimes.compile.CompiledGraph`), ``name`` is
    for messages; ``alone`` runs one row at a time; ``inputs`` are the graph's own tensors. :class:`FormatRefused` if it
    is not such a graph. A run fails
    as a whole only; what one member answered is for the caller to check
    (:func:`~quorate.runtimes.signature.as_answer`, :func:`~quorate.runtimes.signature.usable`).
    """

    def __init__(
        self,
        model: Path | bytes,
        outputs: Mapping[str, str],
        *,
        name: str = "pool",
        threads: int = 1,
        alone: bool = False,
    ) -> None:
        session = open_session(model, name=name, threads=threads)
        self.inputs, own = tensor_specs(session, name=name)
        missing = sorted(set(outputs.values()) - {spec.name for spec in own})
        if missing:
            raise FormatRefused(f"Graph '{name}' has no output '{missing[0]}'; compile the pool again.", path=name)
        self._session: ort.InferenceSession | None = session
        self._members = tuple(outputs)
        self._outputs = list(outputs.values())
        self._check = InputCheck(name, self.inputs)
        self._name = name
        self._alone = alone

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Each member's output as the graph gives it, by member name, first axis rows.

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
            return dict(zip(self._members, found, strict=True))
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise MemberCrashed(
                f"Graph '{self._name}' failed in ONNX Runtime ({one_line(error)}).", path=self._name
            ) from error

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._session = None
