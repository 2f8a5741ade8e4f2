"""What ``quorate models import`` reads: files, signature, steps, options, held-out rows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from quorate.codecs import state as state_codec
from quorate.core.types import OutputSpec, Signature
from quorate.errors import ConfigError
from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.foreign import check_batches, import_onnx
from quorate.training.foreign_common import chosen_options
from quorate.training.foreign_tflite import import_tflite
from quorate.training.held import Held, read_held
from quorate.training.labels import read_labels
from quorate.training.pictures import Wishes
from quorate.training.register import ADAPTED, register_model, register_state


@dataclasses.dataclass(frozen=True)
class Request:
    """The command's arguments, as given."""

    name: str
    files: Sequence[Path]
    format: str | None = None
    signature: Path | None = None
    preprocess: Path | None = None
    labels: str | None = None
    wishes: Wishes = dataclasses.field(default_factory=Wishes)
    softmax: bool = False
    rows: str | None = None
    output: str | None = None
    options: Sequence[str] = ()
    sample: Sequence[Path] = ()
    answers: Path | None = None


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
    _check(request, kind)
    options = dict(map(_option, request.options)) | chosen_options(softmax=request.softmax, rows=request.rows)
    labels: tuple[str, ...] | None = None
    if request.labels is not None:
        labels, more = read_labels(request.labels)
        notices += more
    held: Held | None = None
    if request.sample:
        held, more = read_held(request.sample, request.answers)
        notices += more
    importing = {"onnx": import_onnx, "tflite": import_tflite}.get(kind)
    if request.signature is None and request.preprocess is None and importing is not None and labels is not None:
        manifest, more = importing(
            registry,
            name=request.name,
            files=files,
            labels=labels,
            wishes=request.wishes,
            output=request.output,
            options=options,
            held=held,
        )
        return manifest, [*notices, *more, _gate(held)]
    formats.check(kind, files, options)
    if kind == "onnx":
        check_batches(files, options)
    steps = [] if request.preprocess is None else _document(request.preprocess, list[dict[str, Any]], "--preprocess")
    manifest = register_model(
        registry,
        name=request.name,
        format=kind,
        files=files,
        signature=_signature(request, labels),
        output_name=request.output,
        preprocess=steps,
        options=options,
        sample_raw=None if held is None else held.raw,
        reference_output=None if held is None else held.output,
    )
    return manifest, [*notices, _gate(held)]


def _check(request: Request, kind: str) -> None:
    """That nothing was said that would be ignored."""
    if request.wishes.any and (request.signature is not None or request.preprocess is not None):
        raise ConfigError(
            "How pictures are made is said by --preset, --size, --scale … or by --signature and --preprocess, not by "
            "both.",
            path="--preset",
        )
    if kind not in ADAPTED and (request.wishes.any or request.softmax or request.rows):
        raise ConfigError(
            f"--preset and its like, --softmax and --rows are for ONNX and TFLite models; these files are {kind}.",
            path="--format",
        )
    if request.answers is not None and not request.sample:
        raise ConfigError("--answers belong to pictures; name those with --sample.", path="--answers")
    if request.wishes.any and request.labels is None:
        raise ConfigError("A classifier needs its labels; give --labels FILE or a,b,c.", path="--labels")


def _gate(held: Held | None) -> str:
    if held is not None and held.output is not None:
        return "Checked against the sample's outputs."
    what = "rows made up from the signature" if held is None else "the sample's rows"
    return (
        f"Checked on {what} for consistency only; give the answers expected there (--answers, or 'output' in the .npz) "
        "to check them."
    )


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """Names relative to the folder the files have in common."""
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return {path.absolute().relative_to(root).as_posix(): path for path in paths}


def _signature(request: Request, labels: tuple[str, ...] | None) -> Signature:
    if request.signature is None:
        raise ConfigError(
            "The raw input and the output of the model are not known: give --signature FILE; only an ONNX or "
            "TFLite model without --preprocess can do with --labels a,b,c.",
            path="--signature",
        )
    signature: Signature = _document(request.signature, Signature, "--signature")
    if labels is None:
        return signature
    return dataclasses.replace(signature, output=OutputSpec("scores", labels))


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
