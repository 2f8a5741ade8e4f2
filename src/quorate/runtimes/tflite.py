"""TFLite models in LiteRT, quantised ones above all: small networks that take a millisecond or ten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, FloatArray, Tensors, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed, SignatureViolation
from quorate.runtimes import adapt
from quorate.runtimes.base import Runtime, Session
from quorate.runtimes.head import SUFFIX as HEAD
from quorate.runtimes.head import Head, read_head
from quorate.runtimes.litert import Port, Runner, answering, interpreter, ports
from quorate.runtimes.signature import InputCheck, as_answer, check_options, one_line, only_file, whole_option

THREADS = "intra_op_threads"
MAX_THREADS = 256

Pair = tuple[Port, TensorSpec]


class TfliteSession(Session):
    """One loaded file, with as many interpreters as there were runs at the same time.

    An interpreter belongs to one run at a time and keeps the number of rows that it was last sized to: sizing it anew
    costs about what a run does, so runs take one of their size where there is one.
    """

    def __init__(
        self, artifact: Artifact, content: bytes, inputs: Sequence[Pair], output: Port, head: Head | None
    ) -> None:
        self._artifact = artifact
        self._content = content
        self._inputs = inputs
        self._output = output
        self._head = head
        self._threads = whole_option(artifact, THREADS, 1, MAX_THREADS) or 1
        self._softmax = adapt.answers_logits(artifact)
        self._alone = adapt.runs_alone(artifact)
        self._check = InputCheck(artifact.name, artifact.tensors)
        self._lock = threading.Lock()
        self._idle: list[Runner] | None = []

    def run(self, inputs: Tensors) -> Tensors:
        """See :class:`Session`; the answer is float32 ``[n, width]`` under the artifact's output name."""
        inputs = self._check.named(inputs)
        rows = self._check(inputs)
        head = self._head  # it may be closed meanwhile
        tensors = [self._own(port, spec, inputs[spec.name]) for port, spec in self._inputs]
        try:
            if self._alone:
                each = [self._once([tensor[row : row + 1] for tensor in tensors], 1) for row in range(rows)]
                values = np.concatenate(each)
            else:
                values = self._once(tensors, rows)
        except MemberCrashed:
            raise
        except Exception as error:  # LiteRT raises ValueError and RuntimeError alike
            raise MemberCrashed(
                f"Model '{self._artifact.name}' failed in LiteRT ({one_line(error)}).", path=self._artifact.name
            ) from error
        return {self._artifact.output_name: self._answer(values, head, rows)}

    def try_sizes(self) -> None:
        """Make sure that the file can have the rows that it will be asked for; raises what LiteRT raises."""
        runner = self._take(1)
        if not self._alone:
            runner.size(2)
        runner.size(1)
        self._give(runner)

    def close(self) -> None:
        """See :class:`Session`; a run that is under way in another thread ends first."""
        with self._lock:
            self._idle = None
            self._content, self._head = b"", None

    def _own(self, port: Port, spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
        """An input in the file's own type."""
        if port.scale is None or array.dtype != np.float32:
            return array
        if np.isnan(array.max()):  # integers have none, and it must not become one
            raise SignatureViolation(
                f"Model '{self._artifact.name}' takes '{spec.name}' as {port.scale}, which has no NaN; send numbers.",
                path=spec.name,
            )
        return port.scale.integers(array)

    def _once(self, tensors: Sequence[NDArray[Any]], rows: int) -> NDArray[Any]:
        runner = self._take(rows)
        runner.size(rows)  # one that fails is not given back
        values = runner.run(tensors)
        self._give(runner)
        return values

    def _take(self, rows: int) -> Runner:
        with self._lock:
            idle = self._idle
            if idle is None:
                raise MemberCrashed(f"Model '{self._artifact.name}' is closed.", path=self._artifact.name)
            if idle:
                fitting = [place for place, runner in enumerate(idle) if runner.rows == rows]
                return idle.pop(fitting[-1] if fitting else 0)
            content = self._content
        shapes = [(port, tuple(length or 1 for length in spec.shape[1:])) for port, spec in self._inputs]
        return Runner(content, shapes, self._output.tensor, name=self._artifact.name, threads=self._threads)

    def _give(self, runner: Runner) -> None:
        with self._lock:
            if self._idle is not None:
                self._idle.append(runner)

    def _answer(self, values: NDArray[Any], head: Head | None, rows: int) -> FloatArray:
        scale = self._output.scale
        found = values.reshape(rows, -1) if values.size and values.size % rows == 0 else values
        if scale is not None:
            found = scale.real(found)
        if head is not None and found.shape[1:] == head.weights.shape[:1]:
            found = head(np.asarray(found, np.float32))
        answer = as_answer(self._artifact, found, rows)
        if self._softmax:
            return adapt.softmax(answer)
        if scale is not None and head is None and self._artifact.signature.output.kind == "scores":
            return scale.shares(answer)
        return answer


class TfliteRuntime(Runtime):
    """Loads ``.tflite`` files, with a linear head in an ``.npz`` beside it where there is one.

    ``output_name`` may be any tensor that the file computes, such as the features before its own classes. Integers on a
    scale are numbers to who asks: inputs are rounded to the scale, answers are what the integers stand for, and
    probabilities that were rounded sum to 1 again. Options: ``intra_op_threads`` (1), ``activation`` and ``rows``
    (:mod:`quorate.runtimes.adapt`).
    """

    name = "tflite"
    formats = frozenset({"tflite"})

    def load(self, artifact: Artifact) -> Session:
        """See :class:`Runtime`; also refuses a file whose own tensors are not those the artifact declares."""
        check_options(artifact, (THREADS, *adapt.OPTIONS))
        name = artifact.name
        whole_option(artifact, THREADS, 1, MAX_THREADS)
        path = only_file(artifact, ".tflite")
        content = answering(path.read_bytes(), artifact.output_name, name=name)
        inputs, outputs = ports(interpreter(content, name=name), name=name)
        head = None
        if any(file.endswith(HEAD) for file in artifact.files):
            head = read_head(only_file(artifact, HEAD), name=name)
        _check_output(artifact, outputs[0], head)
        session = TfliteSession(artifact, content, _paired(artifact, inputs), outputs[0], head)
        try:
            session.try_sizes()
        except Exception as error:  # LiteRT raises ValueError and RuntimeError alike
            way_out = "" if adapt.runs_alone(artifact) else "; set the option rows to alone (`--rows alone`)"
            raise FormatRefused(
                f"Model '{name}' cannot be sized to any number of rows ({one_line(error)}){way_out}.", path=name
            ) from error
        return session


def _paired(artifact: Artifact, inputs: Sequence[Port]) -> Sequence[Pair]:
    """The file's inputs with the tensors that are declared for them; one takes the one, whatever their names."""
    declared = {spec.name: spec for spec in artifact.tensors}
    if len(inputs) == len(declared) == 1:
        declared = {inputs[0].spec.name: artifact.tensors[0]}
    pairs = [(port, declared[port.spec.name]) for port in inputs if port.spec.name in declared]
    if not len(pairs) == len(inputs) == len(declared) or not all(_accepts(port, spec) for port, spec in pairs):
        raise FormatRefused(
            f"Model '{artifact.name}' declares {', '.join(map(str, artifact.tensors))}, but its file takes "
            f"{', '.join(map(str, inputs)) or 'nothing'}; register it again with the file's own tensors.",
            path=artifact.name,
        )
    return pairs


def _accepts(port: Port, declared: TensorSpec) -> bool:
    types = {port.spec.dtype, port.scale.dtype.name if port.scale else port.spec.dtype}
    own, shape = port.spec.shape[1:], declared.shape[1:]
    return (
        declared.dtype in types
        and len(shape) == len(own)
        and all(length is not None and mine in (None, length) for mine, length in zip(own, shape, strict=True))
    )


def _check_output(artifact: Artifact, output: Port, head: Head | None) -> None:
    name, width = artifact.name, artifact.signature.output.width
    if output.scale is None and not output.spec.dtype.startswith("float"):
        raise FormatRefused(
            f"Model '{name}' answers {output}; expected float32, or integers on a scale; convert it again.", path=name
        )
    if head is None:
        if output.numbers != width:
            raise FormatRefused(
                f"Model '{name}' must answer {width} numbers a row; its file has {output}. Name another output, or add "
                "a head.",
                path=name,
            )
    elif head.weights.shape != (output.numbers, width):
        raise FormatRefused(
            f"Model '{name}' has a head {list(head.weights.shape)} behind {output}; expected "
            f"{[output.numbers, width]}.",
            path=name,
        )
