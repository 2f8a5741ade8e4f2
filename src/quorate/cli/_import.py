"""What ``quorate models import`` reads: files, signature, steps, options, held-out rows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from quorate.codecs import sample as sample_codec
from quorate.codecs import state as state_codec
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ConfigError
from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes.onnx import inspect_onnx
from quorate.training.register import register_model, register_state


@dataclasses.dataclass(frozen=True)
class Request:
    """The command's arguments, as given."""

    name: str
    files: Sequence[Path]
    format: str | None
    signature: Path | None
    preprocess: Path | None
    classes: str | None
    output: str | None
    options: Sequence[str]
    sample: Path | None


def import_model(registry: Registry, request: Request) -> tuple[Manifest, list[str]]:
    """Register what the request names; also returns notices about what was worked out rather than given."""
    notices: list[str] = []
    files = _files(request.files)
    kind = request.format
    if kind is None:
        kind = formats.guess(files)
        notices.append(f"Format: {kind}, by the content of {', '.join(files)}.")
    if kind == "state":
        state = state_codec.decode({name: formats.read(name, path) for name, path in files.items()})
        return register_state(registry, name=request.name, state=state), notices
    options = dict(map(_option, request.options))
    formats.check(kind, files, options)
    steps = [] if request.preprocess is None else _document(request.preprocess, list[dict[str, Any]], "--preprocess")
    signature = _signature(request, kind, files, steps)
    if request.signature is None:
        notices.append(f"Signature: {', '.join(map(str, signature.inputs))}, as the file says.")
    raw, reference = None, None
    if request.sample is not None:
        raw, reference = sample_codec.decode_rows(_bytes(request.sample, "--sample"))
    notices.append(_gate(raw is not None, reference is not None))
    manifest = register_model(
        registry,
        name=request.name,
        format=kind,
        files=files,
        signature=signature,
        output_name=request.output,
        preprocess=steps,
        options=options,
        sample_raw=raw,
        reference_output=reference,
    )
    return manifest, notices


def _gate(rows: bool, reference: bool) -> str:
    if reference:
        return "Checked against the sample's outputs."
    what = "the sample's rows" if rows else "rows made up from the signature"
    return f"Checked on {what} for consistency only; give --sample with an array 'output' to check its answers."


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """Names relative to the folder the files have in common."""
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return {path.absolute().relative_to(root).as_posix(): path for path in paths}


def _signature(request: Request, kind: str, files: Mapping[str, Path], steps: Sequence[Any]) -> Signature:
    classes = tuple(label.strip() for label in request.classes.split(",")) if request.classes else None
    if request.signature is not None:
        signature: Signature = _document(request.signature, Signature, "--signature")
        if classes is None:
            return signature
        return dataclasses.replace(signature, output=OutputSpec("scores", classes))
    if kind != "onnx" or steps or classes is None:
        raise ConfigError(
            "The raw input and the output of the model are not known: give --signature FILE; only an ONNX model "
            "without --preprocess can do with --classes a,b,c.",
            path="--signature",
        )
    inputs, _ = inspect_onnx(next(path for name, path in files.items() if name.endswith(".onnx")))
    if len(inputs) != 1:
        raise ConfigError(
            f"The model has {len(inputs)} inputs ({', '.join(map(str, inputs))}); give --signature FILE.",
            path="--signature",
        )
    tensor = TensorSpec("input", inputs[0].dtype, inputs[0].shape)
    return Signature("array", (tensor,), OutputSpec("scores", classes))


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{text}' is not an option; expected key=value, the value as in YAML.", path="--option")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"The value of the option '{key}' is not YAML: {_one_line(error)}.", path="--option"
        ) from None


def _document(path: Path, into: Any, flag: str) -> Any:
    """A JSON or YAML file as a typed value; :class:`ConfigError` naming the file and what is wrong in it."""
    try:
        found = yaml.safe_load(_bytes(path, flag))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not JSON or YAML: {_one_line(error)}.", path=flag) from None
    try:
        value = msgspec.convert(found, into)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.", path=flag) from None
    unknown = _unknown(found, msgspec.to_builtins(value))
    if unknown is not None:
        raise ConfigError(f"{path}: there is no '{unknown}' in a {flag.removeprefix('--')}; remove it.", path=flag)
    return value


def _unknown(given: Any, known: Any, at: str = "") -> str | None:
    """The path of the first key in ``given`` that is not in ``known``."""
    if isinstance(given, dict):
        for key, value in given.items():
            where = f"{at}.{key}" if at else str(key)
            found = where if key not in known else _unknown(value, known[key], where)
            if found is not None:
                return found
    elif isinstance(given, list):
        for index, (value, other) in enumerate(zip(given, known, strict=True)):
            found = _unknown(value, other, f"{at}[{index}]")
            if found is not None:
                return found
    return None


def _bytes(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", path=flag) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
