"""ONNX models in ONNX Runtime: the one runtime that runs inside a worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from quorate.core.types import Artifact, Tensors, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes import adapt
from quorate.runtimes.base import Runtime, Session
from quorate.runtimes.signature import InputCheck, as_answer, check_options, one_line, only_file, whole_option

CPU = ("CPUExecutionProvider",)
MAX_THREADS = 256

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

ort.disable_telemetry_events()


def open_session(
    model: Path | bytes, *, name: str, threads: int = 1, providers: Sequence[str] = CPU
) -> ort.InferenceSession:
    """An inference session set for serving; :class:`FormatRefused` if ONNX Runtime cannot read the model.

    One thread per run by default, because the lanes of a worker already use the cores; idle threads sleep instead of
    spinning. The memory arena stays on: it is faster for large activations, and unlike the heap it goes back to the
    system as a whole when the session is closed.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=list(providers)
        )
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise FormatRefused(
            f"Model '{name}' is not an ONNX file that ONNX Runtime {ort.__version__} can load "
            f"({one_line(error)}); export it again.",
            path=name,
        ) from error


def inspect_onnx(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs an ONNX file declares itself.

    :class:`FormatRefused` if it is not a model, or has an input or output that is not a tensor.
    """
    return tensor_specs(open_session(path, name=path.name), name=path.name)


def tensor_specs(session: ort.InferenceSession, *, name: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of a session; a length that is not a number is any length."""
    inputs = tuple(_spec(node, name) for node in session.get_inputs())
    outputs = tuple(_spec(node, name) for node in session.get_outputs())
    return inputs, outputs


def _spec(node: ort.NodeArg, name: str) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        hint = "; export it with options={'zipmap': False}" if node.type.startswith("seq(map(") else ""
        raise FormatRefused(
            f"Model '{name}' has '{node.name}' of type {node.type}; expected a tensor{hint}.", path=name
        )
    return TensorSpec(node.name, dtype, tuple(d if isinstance(d, int) else None for d in node.shape))


class OnnxSession(Session):
    """One loaded ONNX model."""

    def __init__(self, session: ort.InferenceSession, artifact: Artifact) -> None:
        self._session: ort.InferenceSession | None = session
        self._artifact = artifact
        self._outputs = [artifact.output_name]
        self._softmax = adapt.answers_logits(artifact)
        self._alone = adapt.runs_alone(artifact)
        self._check = InputCheck(artifact.name, artifact.tensors)

    def run(self, inputs: Tensors) -> Tensors:
        """See :class:`Session`; the answer is float32 ``[n, width]`` under the artifact's output name."""
        inputs = self._check.named(inputs)
        rows = self._check(inputs)
        session = self._session
        if session is None:
            raise MemberCrashed(f"Model '{self._artifact.name}' is closed.", path=self._artifact.name)
        try:
            if self._alone and rows > 1:
                value = adapt.run_alone(session.run, self._outputs, inputs, rows)[0]
            else:
                value = session.run(self._outputs, inputs)[0]
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise MemberCrashed(
                f"Model '{self._artifact.name}' failed in ONNX Runtime ({one_line(error)}).", path=self._artifact.name
            ) from error
        answer = as_answer(self._artifact, value, rows)
        return {self._artifact.output_name: adapt.softmax(answer) if self._softmax else answer}

    def close(self) -> None:
        """See :class:`Session`; a run that is under way in another thread ends first."""
        self._session = None


class OnnxRuntime(Runtime):
    """Loads ``.onnx`` files by path, so weights in files beside it are found (and only there).

    Options: ``intra_op_threads`` (1), ``providers`` (the CPU only), ``activation`` and ``rows``
    (:mod:`quorate.runtimes.adapt`).
    """

    name = "onnx"
    formats = frozenset({"onnx"})

    def load(self, artifact: Artifact) -> Session:
        """See :class:`Runtime`; also refuses a file whose own tensors are not those the artifact declares."""
        check_options(artifact, ("intra_op_threads", "providers", *adapt.OPTIONS))
        path = only_file(artifact, ".onnx")
        threads = whole_option(artifact, "intra_op_threads", 1, MAX_THREADS)
        session = open_session(path, name=artifact.name, threads=threads or 1, providers=_providers(artifact))
        inputs, outputs = tensor_specs(session, name=artifact.name)
        _check_tensors(artifact, inputs)
        _check_output(artifact, outputs)
        return OnnxSession(session, artifact)


def _providers(artifact: Artifact) -> Sequence[str]:
    wanted: Any = artifact.options.get("providers", CPU)
    available = ort.get_available_providers()
    if isinstance(wanted, str) or not wanted or not set(wanted) <= set(available):
        raise FormatRefused(
            f"Model '{artifact.name}' asks for the providers {wanted!r}; expected some of {', '.join(available)}.",
            path=f"{artifact.name}.options.providers",
        )
    return tuple(wanted)


def _check_tensors(artifact: Artifact, inputs: Sequence[TensorSpec]) -> None:
    alone = adapt.runs_alone(artifact)
    for spec in inputs:
        first = spec.shape[0] if spec.shape else 0
        if first is not None and not (alone and first == 1):
            way_out = " or set the option rows to alone (`--rows alone`)" if first == 1 else ""
            raise FormatRefused(
                f"Model '{artifact.name}' fixes the first axis of its input {spec.name}{list(spec.shape)}; "
                f"expected any number of rows; export it again with a dynamic batch axis{way_out}.",
                path=artifact.name,
            )
    own = {spec.name: spec for spec in inputs}
    declared = {spec.name: spec for spec in artifact.tensors}
    if own.keys() != declared.keys() or not all(_accepts(own[name], spec) for name, spec in declared.items()):
        raise FormatRefused(
            f"Model '{artifact.name}' declares {_listed(artifact.tensors)}, but its file takes {_listed(inputs)}; "
            "register it again with the file's own tensors.",
            path=artifact.name,
        )


def _accepts(own: TensorSpec, declared: TensorSpec) -> bool:
    return (
        own.dtype == declared.dtype
        and len(own.shape) == len(declared.shape)
        and all(size is None or size == other for size, other in zip(own.shape[1:], declared.shape[1:], strict=True))
    )


def _check_output(artifact: Artifact, outputs: Sequence[TensorSpec]) -> None:
    spec = next((spec for spec in outputs if spec.name == artifact.output_name), None)
    if spec is None:
        raise FormatRefused(
            f"Model '{artifact.name}' has no output '{artifact.output_name}'; its file has {_listed(outputs)}.",
            path=artifact.name,
        )
    width = artifact.signature.output.width
    fits = len(spec.shape) == 2 and spec.shape[1] in (None, width)
    if not fits and not (width == 1 and len(spec.shape) == 1):
        raise FormatRefused(
            f"Model '{artifact.name}' must answer {spec.name}[N,{width}]; its file has {spec}.", path=artifact.name
        )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs)) or "nothing"
