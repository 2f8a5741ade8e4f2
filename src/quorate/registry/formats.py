"""The allow-list: which artifacts may enter the registry, judged by their content and not by their names.

Nothing here runs, unpickles or imports what it judges.
"""

from __future__ import annotations

import ast
import io
import json
import posixpath
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quorate import flatbuffer
from quorate.errors import FormatRefused
from quorate.registry import skops_types
from quorate.registry.blobs import check_names
from quorate.registry.onnx_wire import Malformed, external_locations
from quorate.registry.refusals import refuse_known
from quorate.registry.tflite_wire import check_tflite, is_tflite

Files = Mapping[str, bytes | Path]

STATE_FILES = frozenset({"state.json", "arrays.npz"})
HEAD_ARRAYS = ["bias.npy", "weights.npy"]


class Format(NamedTuple):
    """One allowed format: what it is in words, and what raises :class:`FormatRefused` if files are not it."""

    what: str
    check: Callable[[Files, Mapping[str, Any]], None]


def check(name: str, files: Files, options: Mapping[str, Any]) -> None:
    """Raise :class:`FormatRefused` unless ``files`` (relative name to content or path) are of format ``name``."""
    check_names(files)
    if name not in FORMATS:
        refuse_all_known(files)
        raise FormatRefused(f"There is no format '{name}'; expected one of {', '.join(FORMATS)}.", path="format")
    try:
        FORMATS[name].check(files, options)
    except FormatRefused:
        refuse_all_known(files)  # says better what it is and what to do
        raise


def guess(files: Files) -> str:
    """The one format these files can be of, by their content; :class:`FormatRefused` if there is none."""
    check_names(files)
    if set(files) == STATE_FILES:
        return "state"
    refuse_all_known(files)
    if sum(name.endswith(".py") for name in files) == 1:
        return "callable"
    for name, content in files.items():
        data = read(name, content)
        if _is_onnx(data):
            return "onnx"
        if _is_skops(data):
            return "skops"
        if is_tflite(data):
            return "tflite"
    raise FormatRefused(
        f"{', '.join(files)}: no allowed format; expected " + "; ".join(f.what for f in FORMATS.values()) + "."
    )


def read(name: str, content: bytes | Path) -> bytes:
    """One file's bytes; :class:`FormatRefused` if it cannot be read."""
    if isinstance(content, bytes):
        return content
    try:
        return content.read_bytes()
    except OSError as error:
        raise FormatRefused(f"The model file '{name}' cannot be read from {content}: {error.strerror}.") from error


def refuse_all_known(files: Files) -> None:
    """Raise :class:`FormatRefused` with the way out if a file is of a format known to be unsafe or unsupported."""
    for name, content in files.items():
        refuse_known(name, read(name, content))


def _check_onnx(files: Files, options: Mapping[str, Any]) -> None:
    main = _only(files, ".onnx", "An ONNX model is one file that ends in .onnx, and its weights")
    data = read(main, files[main])
    try:
        locations = external_locations(data)
    except Malformed as error:
        raise FormatRefused(f"'{main}' is not an ONNX model: {error}; export it again.", path=main) from None
    inside = posixpath.dirname(main)
    named = {main}
    for location in locations:
        target = posixpath.normpath(posixpath.join(inside, location))
        if location.startswith("/") or "\\" in location or ".." in location.split("/") or target not in files:
            raise FormatRefused(
                f"'{main}' keeps weights in {location[:200]!r}, which is not among the model's files; expected one of "
                f"{', '.join(sorted(set(files) - {main})) or 'none'}. Add that file to the import, or save the model "
                "with its weights inside.",
                path=main,
            )
        named.add(target)
    if stray := sorted(set(files) - named):
        raise FormatRefused(f"'{main}' does not use {', '.join(stray)}; leave those files out.", path=stray[0])


def _is_onnx(data: bytes) -> bool:
    try:
        external_locations(data)
    except Malformed:
        return False
    return True


def _check_skops(files: Files, options: Mapping[str, Any]) -> None:
    name = _only(files, ".skops", "A skops model is one file that ends in .skops")
    data = read(name, files[name])
    if len(files) > 1 or not _is_skops(data):
        raise FormatRefused(
            f"{', '.join(files)}: expected one zip archive with schema.json; save the estimator with "
            "skops.io.dump(estimator, file).",
            path=name,
        )
    trusted = options.get("trusted", [])
    if not isinstance(trusted, list) or not all(isinstance(item, str) for item in trusted):
        raise FormatRefused(f"The option 'trusted' is a list of type names; got {trusted!r}.", path="options.trusted")
    skops_types.check(name, data, trusted)


def _check_tflite(files: Files, options: Mapping[str, Any]) -> None:
    main = _only(files, ".tflite", "A TFLite model is one file that ends in .tflite, and at most one head, in .npz")
    try:
        check_tflite(read(main, files[main]))
    except flatbuffer.Malformed as error:
        raise FormatRefused(f"'{main}' is not a TFLite model: {error}; convert it again.", path=main) from None
    others = sorted(set(files) - {main})
    if not others:
        return
    archive = _zip(read(others[0], files[others[0]]))
    found = sorted(archive.namelist()) if archive is not None else None
    if len(others) > 1 or not others[0].endswith(".npz") or found != HEAD_ARRAYS:
        raise FormatRefused(
            f"'{main}' comes with {', '.join(others)}; expected at most one head, which is an .npz file with "
            f"{' and '.join(HEAD_ARRAYS)}. Leave the others out.",
            path=others[0],
        )


def _check_callable(files: Files, options: Mapping[str, Any]) -> None:
    name = _only(files, ".py", "A Python callable is one file that ends in .py, and the data it reads")
    for other in files:
        if other != name:
            refuse_known(other, read(other, files[other]))
    try:
        tree = ast.parse(read(name, files[name]), name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormatRefused(f"'{name}' is not Python source: {error}.", path=name) from None
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    entry = options.get("entry")
    if entry not in defined:
        raise FormatRefused(
            f"'{name}' has no top-level function or class {entry!r}; it defines {', '.join(defined) or 'none'}. "
            "Name the one to call in the option 'entry'.",
            path="options.entry",
        )


def _check_state(files: Files, options: Mapping[str, Any]) -> None:
    if set(files) != STATE_FILES:
        raise FormatRefused(f"A state is the files {', '.join(sorted(STATE_FILES))}; got {', '.join(sorted(files))}.")
    contents = {name: read(name, content) for name, content in files.items()}
    try:
        document = json.loads(contents["state.json"])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise FormatRefused("'state.json' is not a state: expected a JSON object with 'kind'.", path="state.json")
    archive = _zip(contents["arrays.npz"])
    if archive is None or not all(entry.endswith(".npy") for entry in archive.namelist()):
        raise FormatRefused("'arrays.npz' is not an archive of .npy arrays; save it again.", path="arrays.npz")


def _only(files: Files, suffix: str, rule: str) -> str:
    found = [name for name in files if name.endswith(suffix)]
    if len(found) != 1:
        raise FormatRefused(f"{rule}; got {', '.join(files)}. Rename the file, or register each model by itself.")
    return found[0]


def _zip(data: bytes) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return None


def _is_skops(data: bytes) -> bool:
    archive = _zip(data)
    return archive is not None and "schema.json" in archive.namelist()


FORMATS: dict[str, Format] = {
    "onnx": Format("an ONNX model with its external weights", _check_onnx),
    "skops": Format("a skops file", _check_skops),
    "tflite": Format("a TFLite model, with a head where it has one", _check_tflite),
    "callable": Format("a .py file with the option entry", _check_callable),
    "state": Format("state.json and arrays.npz", _check_state),
}
