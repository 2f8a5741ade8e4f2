"""The bridge into the registry: nothing is registered that does not answer as the model it was made from."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.codecs import sample as sample_codec
from quorate.codecs import state as state_codec
from quorate.core.types import Artifact, FloatArray, Signature, State, TensorSpec
from quorate.errors import ConfigError, MemberError, ParityError, RegistryError
from quorate.preprocess.pipeline import Pipeline
from quorate.registry import formats
from quorate.registry.blobs import digest_of
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.runtimes.base import Runtime, Session
from quorate.training import parity
from quorate.training.parity import Raw

SAMPLE_ROWS = 32
_BATCH = 256
_NO_PIXEL_LIMIT = 1 << 40
_GIT_TIMEOUT = 5.0

# Module to distribution: whichever of these is loaded had a part in the model.
_LIBRARIES = {
    "quorate": "quorate",
    "numpy": "numpy",
    "scipy": "scipy",
    "onnxruntime": "onnxruntime",
    "onnx": "onnx",
    "skl2onnx": "skl2onnx",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "torch": "torch",
    "ai_edge_litert": "ai-edge-litert",
}


ADAPTED = frozenset({"onnx", "tflite"})
"""Formats whose runtimes have the options of :mod:`quorate.runtimes.adapt`."""

_NO_SCORES = {
    True: "if these are logits, set the option activation to softmax (`--softmax`), else calibrate the model",
    False: "end it with a softmax, or calibrate the model",
}
_NOT_ALONE = {
    True: "a network that was quantised dynamically is served with the option rows set to alone (`--rows alone`)",
    False: "",
}


def register_model(
    registry: Registry,
    *,
    name: str,
    format: str,
    files: Mapping[str, bytes | Path],
    signature: Signature,
    tensors: Sequence[TensorSpec] | None = None,
    output_name: str | None = None,
    preprocess: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
    sample_raw: Mapping[str, Any] | None = None,
    reference_output: NDArray[Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    data_digest: str | None = None,
    parent: str | None = None,
    notes: Mapping[str, str] | None = None,
    tolerance: float = parity.TOLERANCE,
    keep: int = SAMPLE_ROWS,
) -> Manifest:
    """Prove the artifact on held-out raw rows, as serving will run it, and register it as the next version of ``name``.

    ``files`` maps relative names to content; ``sample_raw`` are raw rows as :meth:`Pipeline.apply` takes them and
    ``reference_output`` [n, k] what the original model says to them. Without a reference the artifact must only be
    consistent with itself; without rows they are made up from the signature. ``tensors`` and ``output_name`` are
    read from ONNX files, and follow from the preprocessing otherwise, where they are not given; a TFLite file's
    output is read from it too. The first ``keep`` rows are registered with the model, for warm-up and probes.

    :class:`FormatRefused` if the format is not allowed, :class:`ParityError` with the figures if the answers differ,
    :class:`ConfigError` if the preprocessing is wrong; then no version was made.
    """
    if reference_output is not None and sample_raw is None:
        raise RegistryError("A reference output needs the raw rows it belongs to.", path="sample")
    options = dict(options or {})
    formats.check(format, files, options)
    pipeline = _pipeline(preprocess, signature)
    raw = parity.plain(sample_raw, signature) if sample_raw is not None else parity.generated(signature)
    digests = {file: registry.blobs.put(content) for file, content in files.items()}
    folder = registry.blobs.checkout(digests)
    if format == "onnx":
        tensors, output_name = _onnx_ends(folder, digests, signature, tensors, output_name)
        if options.get(adapt.ROWS) == adapt.ALONE:  # one row to the file is any number to who asks
            tensors = [dataclasses.replace(spec, shape=(None, *spec.shape[1:])) for spec in tensors]
    elif format == "tflite":
        output_name = _tflite_output(folder, digests, signature, output_name)
    artifact = Artifact(
        name=name,
        version=0,
        format=format,
        folder=folder,
        files=tuple(sorted(digests)),
        digest=digest_of(digests),
        signature=signature,
        tensors=tuple(tensors) if tensors is not None else _fed(pipeline, raw),
        output_name=output_name or "output",
        options=options,
    )
    output = _proved(artifact, pipeline, raw, reference_output, tolerance)
    rows = {key: value[:keep] for key, value in raw.items()}
    return registry.register(
        Manifest(
            name=name,
            format=format,
            signature=signature,
            tensors=artifact.tensors,
            output_name=artifact.output_name,
            preprocess=pipeline.to_spec(),
            options=options,
            sample=registry.blobs.put(sample_codec.encode(rows, output[:keep])),
            metrics={key: float(value) for key, value in (metrics or {}).items()},
            data_digest=data_digest,
            commit=_commit(registry.root),
            libraries=_libraries(),
            parent=parent,
            notes=dict(notes or {}),
        ),
        {file: folder / file for file in digests},
    )


def register_state(
    registry: Registry,
    *,
    name: str,
    state: State,
    metrics: Mapping[str, float] | None = None,
    data_digest: str | None = None,
    parent: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> Manifest:
    """Register a combiner's fitted state as the next version of ``name``."""
    files = state_codec.encode(state)
    state_codec.decode(files)
    return registry.register(
        Manifest(
            name=name,
            kind="state",
            format="state",
            metrics={key: float(value) for key, value in (metrics or {}).items()},
            data_digest=data_digest,
            commit=_commit(registry.root),
            libraries=_libraries(),
            parent=parent,
            notes=dict(notes or {}),
        ),
        files,
    )


def _pipeline(preprocess: Sequence[Mapping[str, Any]], signature: Signature) -> Pipeline:
    pipeline = Pipeline.from_spec(preprocess)
    if pipeline.input_kind is None and signature.input_kind == "image":
        raise ConfigError("A model of images needs preprocessing steps; start with 'decode'.", path="preprocess")
    if pipeline.input_kind not in (None, signature.input_kind):
        raise ConfigError(
            f"The preprocessing starts from {pipeline.input_kind}, the signature says {signature.input_kind}; "
            "make them agree.",
            path="preprocess",
        )
    return pipeline


def _onnx_ends(
    folder: Path,
    files: Mapping[str, str],
    signature: Signature,
    tensors: Sequence[TensorSpec] | None,
    output_name: str | None,
) -> tuple[Sequence[TensorSpec], str]:
    from quorate.runtimes.onnx import inspect_onnx

    inputs, outputs = inspect_onnx(folder / next(file for file in files if file.endswith(".onnx")))
    if output_name is None:
        width = signature.output.width
        fitting = [
            spec.name
            for spec in outputs
            if spec.dtype.startswith("float")
            and (spec.shape[1:] in ((None,), (width,)) or (width == 1 and len(spec.shape) == 1))
        ]
        if len(fitting) != 1:
            raise RegistryError(
                f"Which output carries the {width} {signature.output.kind} is not clear: the model has "
                f"{', '.join(map(str, outputs))}; name one (`--output`).",
                path="output_name",
            )
        output_name = fitting[0]
    return inputs if tensors is None else tensors, output_name


def _tflite_output(folder: Path, files: Mapping[str, str], signature: Signature, output_name: str | None) -> str:
    from quorate.runtimes.head import SUFFIX, read_head
    from quorate.runtimes.litert import inspect_tflite

    _, outputs = inspect_tflite(folder / next(file for file in files if file.endswith(".tflite")), output_name)
    if output_name is not None:
        return output_name
    head = next((file for file in files if file.endswith(SUFFIX)), None)
    width = signature.output.width if head is None else len(read_head(folder / head, name=head).weights)
    fitting = [port.spec.name for port in outputs if port.numbers == width]
    if len(fitting) != 1:
        raise RegistryError(
            f"Which output carries {width} numbers is not clear: the model has {', '.join(map(str, outputs))}; name "
            "one, or any other tensor of the file (`--output`).",
            path="output_name",
        )
    return fitting[0]


def _fed(pipeline: Pipeline, raw: Raw) -> tuple[TensorSpec, ...]:
    """The tensors that the preprocessing hands to the artifact."""
    arrays = pipeline.apply({name: value[:1] for name, value in raw.items()}, max_pixels=_NO_PIXEL_LIMIT, path="sample")
    return tuple(
        TensorSpec(name, {"U": "str", "S": "bytes"}.get(array.dtype.kind, array.dtype.name), (None, *array.shape[1:]))
        for name, array in arrays.items()
    )


def _proved(
    artifact: Artifact, pipeline: Pipeline, raw: Raw, reference: NDArray[Any] | None, tolerance: float
) -> FloatArray:
    runtime: Runtime = plugins.load("runtimes", artifact.format)()
    session = runtime.load(artifact)
    expected = artifact.signature.output
    adapts = artifact.format in ADAPTED
    try:

        def predict(rows: Raw) -> NDArray[Any]:
            return _answer(session, artifact, pipeline, rows)

        output = np.concatenate([predict(rows) for rows in parity.batches(raw, _BATCH)])
        parity.check_sound(expected, output, len(next(iter(raw.values()))), remedy=_NO_SCORES[adapts])
        if reference is not None:
            parity.check_against(expected, output, reference, tolerance)
        parity.check_rows(expected, predict, raw, output, remedy=_NOT_ALONE[adapts])
    finally:
        session.close()
    if adapts and adapt.answers_logits(artifact):
        _check_logits(artifact, runtime, pipeline, {name: value[: parity.SINGLE_ROWS] for name, value in raw.items()})
    return output


def _check_logits(artifact: Artifact, runtime: Runtime, pipeline: Pipeline, rows: Raw) -> None:
    options = {key: value for key, value in artifact.options.items() if key != adapt.ACTIVATION}
    bare = dataclasses.replace(artifact, options=options)
    session = runtime.load(bare)
    try:
        output = _answer(session, bare, pipeline, rows)
        parity.check_sound(artifact.signature.output, output, len(output))
    except ParityError:
        return  # no probabilities yet
    finally:
        session.close()
    raise ParityError(
        "The artifact answers probabilities already, and a second softmax would flatten them; leave the option "
        "activation out (`--softmax`).",
        path="options.activation",
    )


def _answer(session: Session, artifact: Artifact, pipeline: Pipeline, rows: Raw) -> NDArray[Any]:
    tensors = pipeline.apply(rows, max_pixels=_NO_PIXEL_LIMIT, path="sample")
    try:
        found = session.run(tensors)
    except MemberError as error:
        given = ", ".join(f"{name}{list(array.shape)} {array.dtype}" for name, array in tensors.items())
        raise ParityError(f"The artifact cannot answer held-out rows; it was given {given}: {error}") from error
    return np.asarray(found[artifact.output_name])


def _libraries() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for module, distribution in _LIBRARIES.items():
        if module in sys.modules:
            try:
                found[distribution] = version(distribution)
            except PackageNotFoundError:
                continue  # a variant under another name (onnxruntime-gpu)
    return found


def _commit(folder: Path) -> str | None:
    """The commit of the Git work tree ``folder`` is in, ``-dirty`` if files were changed since, or None."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
