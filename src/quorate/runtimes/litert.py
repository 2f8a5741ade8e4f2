"""What a TFLite file takes and answers, and LiteRT's interpreter on it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import TensorSpec
from quorate.errors import FormatRefused
from quorate.flatbuffer import Malformed, View, field
from quorate.runtimes.quantised import Scale
from quorate.runtimes.signature import one_line

_GRAPHS, _TENSORS, _OUTPUTS, _NAME = 2, 0, 2, 3  # fields of a model, of a graph, of a tensor


class Port(NamedTuple):
    """An input or output of the file, first axis rows.

    ``tensor`` is its number in the file, ``spec`` what is exchanged with it: float32 where the file has integers on a
    ``scale``, else the file's own type.
    """

    tensor: int
    spec: TensorSpec
    scale: Scale | None

    def __str__(self) -> str:
        return f"{self.spec}" if self.scale is None else f"{self.spec} as {self.scale}"

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of one row; a length that the file leaves open is 1."""
        return tuple(length or 1 for length in self.spec.shape[1:])

    @property
    def numbers(self) -> int:
        """Numbers per row."""
        return int(np.prod(self.row))


def interpreter(content: bytes, *, name: str, threads: int = 1) -> Any:
    """An interpreter on a file's bytes, its tensors not allocated yet.

    :class:`FormatRefused` where the extra is missing, or LiteRT cannot read the file, which must be well-formed:
    LiteRT trusts its offsets, and the registry has checked them.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise FormatRefused(
            f"Model '{name}' is a TFLite model, which needs the extra 'tflite' ({one_line(error)}); run: "
            "pip install 'quorate[tflite]'.",
            path=name,
        ) from None
    try:
        return Interpreter(model_content=content, num_threads=threads)
    except Exception as error:  # LiteRT raises ValueError and RuntimeError alike
        raise FormatRefused(
            f"Model '{name}' is not a TFLite file that LiteRT can load ({one_line(error)}); convert it again, with "
            "built-in operators only.",
            path=name,
        ) from error


def ports(found: Any, *, name: str) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs of an interpreter; :class:`FormatRefused` for what is neither numbers nor on one scale."""
    inputs = tuple(_port(details, name) for details in found.get_input_details())
    outputs = tuple(_port(details, name) for details in found.get_output_details())
    return inputs, outputs


def inspect_tflite(path: Path, output: str | None = None) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The inputs and outputs that a TFLite file declares, the first of which is the tensor ``output`` where named."""
    content = path.read_bytes()
    if output is not None:
        content = answering(content, output, name=path.name)
    return ports(interpreter(content, name=path.name), name=path.name)


def _port(details: Mapping[str, Any], name: str) -> Port:
    dtype = np.dtype(details["dtype"])
    tensor = str(details["name"])
    lengths = tuple(int(length) for length in details["shape_signature"])
    if not lengths:  # older files do not sign their shapes
        lengths = tuple(int(length) for length in details["shape"])
    if dtype.kind not in "fiub" or not lengths:
        raise FormatRefused(
            f"Model '{name}' has '{tensor}' of type {dtype.name} and shape {list(lengths)}; expected numbers, first "
            "axis rows; convert it without it.",
            path=name,
        )
    quantised = details["quantization_parameters"]
    steps, zeros = quantised["scales"], quantised["zero_points"]
    if len(steps) > 1:
        raise FormatRefused(
            f"Model '{name}' has '{tensor}' on {len(steps)} scales; inputs and outputs need one; convert it again.",
            path=name,
        )
    scale = None
    if dtype.kind in "iu" and len(steps) == 1 and steps[0] > 0:
        scale = Scale(dtype, float(steps[0]), int(zeros[0]))
    shape = (None, *(length if length > 0 else None for length in lengths[1:]))
    return Port(int(details["index"]), TensorSpec(tensor, "float32" if scale else dtype.name, shape), scale)


def answering(content: bytes, tensor: str, *, name: str) -> bytes:
    """A TFLite file whose first output is the tensor of that name, which may be any that it computes.

    Only the number of the tensor is written into the list of outputs, so a network's features can be had without
    converting it anew. :class:`FormatRefused` if there is no such tensor, or the file is none.
    """
    view = View(content)
    try:
        graph = view.fields(view.tables(field(view.fields(view.follow(0)), _GRAPHS))[0])
        names = [view.text(field(view.fields(each), _NAME)) for each in view.tables(field(graph, _TENSORS))]
        outputs = view.numbers(field(graph, _OUTPUTS), "i")
        own = [index for index in outputs if names[index] == tensor]
    except (Malformed, IndexError) as error:
        raise FormatRefused(f"Model '{name}' is not a TFLite file ({error}); convert it again.", path=name) from None
    found = own or [index for index, each in enumerate(names) if each == tensor]
    if len(found) != 1 or not outputs:
        known = ", ".join(names[index] for index in outputs)
        raise FormatRefused(
            f"Model '{name}' has {len(found)} tensors '{tensor}'; expected the name of one tensor. Its outputs are: "
            f"{known or 'none'}.",
            path=name,
        )
    if outputs[0] == found[0]:
        return content
    start, _ = view.vector(field(graph, _OUTPUTS), 4)
    swapped = [found[0], *(outputs[0] if index == found[0] else index for index in outputs[1:])]
    return content[:start] + struct.pack(f"<{len(swapped)}i", *swapped) + content[start + 4 * len(swapped) :]


class Runner:
    """One interpreter that answers so many rows at a time; used by one thread at a time.

    ``rows_of`` are the file's inputs with the shape of one row, ``output`` is the index of the tensor that it answers.
    """

    __slots__ = ("_inputs", "_interpreter", "_output", "rows")

    def __init__(
        self, content: bytes, rows_of: Sequence[tuple[Port, tuple[int, ...]]], output: int, *, name: str, threads: int
    ) -> None:
        self._interpreter = interpreter(content, name=name, threads=threads)
        self._inputs = rows_of
        self._output = output
        self.rows = 0

    def size(self, rows: int) -> None:
        """Make it one of that many rows; raises what LiteRT raises where the file cannot have them."""
        if rows == self.rows:
            return
        self.rows = 0
        for port, shape in self._inputs:
            self._interpreter.resize_tensor_input(port.tensor, (rows, *shape))
        self._interpreter.allocate_tensors()
        self.rows = rows

    def run(self, tensors: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The output's own numbers for tensors ``[rows, …]`` of the file's types; a copy."""
        for (port, _), tensor in zip(self._inputs, tensors, strict=True):
            self._interpreter.set_tensor(port.tensor, tensor)
        self._interpreter.invoke()
        found: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return found
