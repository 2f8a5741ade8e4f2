"""Rows of a request as a signature's raw input: JSON rows, encoded images and protocol tensors meet here."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import Signature, TensorSpec
from quorate.errors import InvalidInput, TooLarge, UnsupportedMediaType
from quorate.web import json

Context = dict[str, str | int | float | bool | None]
MAX_CONTEXT = 64
MAX_CONTEXT_TEXT = 1024
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}


_LISTS = {list}

MaxMs = Annotated[float, msgspec.Meta(gt=0, le=3_600_000)]
Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
Coverage = Annotated[float, msgspec.Meta(ge=0.5, le=0.999)]


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What a caller may ask of one request."""

    strategy: str | None = None
    max_ms: MaxMs | None = None
    min_confidence: Confidence | None = None
    coverage: Coverage | None = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of a predict request."""

    instances: list[Any]
    context: Context = {}
    options: Options = msgspec.field(default_factory=Options)


class InputReader:
    """Reads the requests of one signature; thread-safe."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._decoder = msgspec.json.Decoder(self._body_type(signature))

    @staticmethod
    def _body_type(signature: Signature) -> type[Body]:
        if signature.input_kind == "array":
            spec = signature.inputs[0]
            row: Any = _scalar(spec)
            for _ in spec.shape[1:]:
                row = list[row]
        elif signature.input_kind == "columns":
            row = dict[str, str | int | float | bool | None]
        else:
            row = Any
        body: type[Any] = msgspec.defstruct(
            "Body", [("instances", list[row])], bases=(Body,), kw_only=True, forbid_unknown_fields=True
        )
        return body

    def decode(self, body: bytes, limits: Limits) -> tuple[Body, dict[str, Any], int]:
        """Read a JSON body: the body, the raw input and the number of rows; client errors name the field."""
        parsed: Body = json.decode(body, depth=limits.json_depth, decoder=self._decoder)
        rows = len(parsed.instances)
        check_rows(rows, limits, path="instances")
        check_context(parsed.context)
        return parsed, self.rows(parsed.instances), rows

    def rows(self, instances: Sequence[Any]) -> dict[str, Any]:
        """Decoded JSON rows as raw input."""
        kind = self.signature.input_kind
        if kind == "image":
            grey = _grey(instances)
            return {"image": [_image_row(row, i) for i, row in enumerate(instances)] if grey is None else grey}
        if kind == "array":
            return {"input": self._array(instances)}
        return self._columns(instances)

    def _array(self, instances: Sequence[Any]) -> NDArray[Any]:
        spec = self.signature.inputs[0]
        try:
            array = np.array(instances, dtype=np.float64 if spec.dtype not in _INTEGERS else object)
        except (ValueError, OverflowError):
            array = np.array((), object)
        if array.ndim != len(spec.shape) or array.dtype == object:
            array = self._careful(instances, spec)
        return tensor(array, spec, path="instances")

    def _careful(self, instances: Sequence[Any], spec: TensorSpec) -> NDArray[Any]:
        """The slow road: find which row is ragged, or an integer that fits no type."""
        rows: list[NDArray[Any]] = []
        for i, row in enumerate(instances):
            try:
                one = np.array(row, dtype=np.float64) if spec.dtype not in _INTEGERS else np.array(row)
            except (ValueError, OverflowError):
                one = np.array((), object)
            if one.dtype == object or not _fits(one.shape, spec.shape[1:]):
                raise InvalidInput(
                    f"Row {i} does not fit {spec}; expected numbers of shape {_shown(spec.shape[1:])}, none missing.",
                    path=f"instances[{i}]",
                )
            if rows and one.shape != rows[0].shape:
                raise InvalidInput(
                    f"Row {i} has shape {list(one.shape)}, row 0 {list(rows[0].shape)}; rows must agree.",
                    path=f"instances[{i}]",
                )
            rows.append(one)
        return np.stack(rows)

    def _columns(self, instances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        for i, row in enumerate(instances):
            for name in row:
                if name not in self._specs:
                    raise InvalidInput(
                        f"Row {i} has an unknown column '{name[:64]}'; expected {', '.join(self._specs)}.",
                        path=f"instances[{i}].{name[:64]}",
                    )
        return {
            name: tensor(_column(instances, spec), spec, path="instances", column=name)
            for name, spec in self._specs.items()
        }

    def encoded(self, images: list[bytes]) -> dict[str, Any]:
        """Encoded images as raw input; :class:`UnsupportedMediaType` where the endpoint takes something else."""
        if self.signature.input_kind != "image":
            raise UnsupportedMediaType(
                f"This endpoint takes {', '.join(str(s) for s in self.signature.inputs)}, not images; "
                "send application/json.",
                path="Content-Type",
            )
        return {"image": images}


def _scalar(spec: TensorSpec) -> Any:
    base: Any = str if spec.dtype == "str" else int if spec.dtype in _INTEGERS - {"bool"} else float
    if spec.dtype == "bool":
        base = bool
    return base | None if spec.nullable else base


def _column(instances: Sequence[Mapping[str, Any]], spec: TensorSpec) -> NDArray[Any]:
    wanted = str if spec.dtype == "str" else bool if spec.dtype == "bool" else (int, float)
    values = []
    for i, row in enumerate(instances):
        value = row.get(spec.name)
        path = f"instances[{i}].{spec.name}"
        if value is None:
            if not spec.nullable:
                raise InvalidInput(
                    f"Row {i} has no value for column '{spec.name}' ({spec.dtype}); send one.", path=path
                )
            value = "" if spec.dtype == "str" else np.nan
        elif not isinstance(value, wanted) or (isinstance(value, bool) and spec.dtype != "bool"):
            raise InvalidInput(
                f"Row {i}: column '{spec.name}' expects {spec.dtype}; got {type(value).__name__}.", path=path
            )
        values.append(value)
    return np.array(values, dtype=object if spec.dtype == "str" else None)


def _image_row(row: Any, index: int) -> Any:
    path = f"instances[{index}]"
    if isinstance(row, dict):
        if set(row) != {"b64"} or not isinstance(row["b64"], str):
            raise InvalidInput(
                f'Row {index} is an object; an image is {{"b64": "…"}} or a nested list of pixels.', path=path
            )
        return unbase64(row["b64"], path=f"{path}.b64")
    if not isinstance(row, list):
        raise InvalidInput(
            f'Row {index} is {_json_type(row)}; an image is {{"b64": "…"}} or a nested list of pixels.', path=path
        )
    return pixels(row, path=path)


def unbase64(text: str, *, path: str) -> bytes:
    """Decode base64 (a ``data:`` URL prefix is dropped); :class:`InvalidInput` with ``path`` otherwise."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"The image is not base64: {str(error).lower()}.", path=path) from None


def pixels(row: Any, *, path: str) -> NDArray[np.uint8]:
    """A nested list as uint8 ``[h, w]`` or ``[h, w, c]``; whole numbers 0 to 255 only."""
    grey = _grey([row])
    if grey is not None:
        return grey.reshape(grey.shape[1:])
    try:
        array = np.array(row)
    except (ValueError, OverflowError):
        array = np.array((), object)
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or array.size == 0:
        raise InvalidInput(
            "The pixels are not a full, nested list [height][width] or [height][width][channels] of numbers; "
            f"got {_shown(array.shape)} of {array.dtype}.",
            path=path,
        )
    return bytes_range(array, path=path)


def _grey(rows: Sequence[Any]) -> NDArray[np.uint8] | None:
    """Nested lists ``[h][w]`` of one size and of whole numbers as uint8 ``[n, h, w]``, all at once; None for others.

    It is the usual kind of pixels, and takes a third of the time that numpy takes to find out what it is.
    """
    if set(map(type, rows)) != _LISTS or len(set(map(len, rows))) != 1:
        return None
    lines = list(chain.from_iterable(rows))
    if set(map(type, lines)) != _LISTS or len(set(map(len, lines))) != 1:
        return None
    first = lines[0]
    if not first or type(first[0]) is not int:
        return None
    try:
        return np.frombuffer(b"".join(map(bytes, lines)), np.uint8).reshape(len(rows), len(rows[0]), len(first))
    except (TypeError, ValueError):  # numbers of another kind, or beyond a byte
        return None


def bytes_range(array: NDArray[Any], *, path: str) -> NDArray[np.uint8]:
    """Numbers as uint8; :class:`InvalidInput` for anything but whole numbers 0 to 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # what does not fit comes out as another number
            cast = array.astype(np.uint8)
    else:
        cast = array.astype(np.uint8)
    if not (cast == array).all():
        raise InvalidInput("Pixels are whole numbers from 0 to 255; got others.", path=path)
    return cast


def tensor(array: NDArray[Any], spec: TensorSpec, *, path: str, column: str | None = None) -> NDArray[Any]:
    """An array as the signature's tensor: shape, dtype and range checked; errors name the first bad row."""
    if spec.dtype == "str":
        if array.dtype.kind not in "OUS":
            raise InvalidInput(f"{spec} expects text; got {array.dtype}.", path=path)
        return array
    if array.dtype.kind not in "iufb":
        raise InvalidInput(f"{spec} expects numbers; got {array.dtype}.", path=path)
    if array.ndim != len(spec.shape) or not _fits(array.shape[1:], spec.shape[1:]):
        raise InvalidInput(
            f"{spec} expects rows of shape {_shown(spec.shape[1:])}; got {_shown(array.shape[1:])}.",
            path=path,
        )
    if spec.dtype in _INTEGERS:
        return _integers(array, spec, path)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(spec.dtype, copy=False)
    bad = ~np.isfinite(cast)
    if spec.nullable:
        bad &= ~np.isnan(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = f"[{where[0]}]" + (f".{column}" if column else "".join(f"[{i}]" for i in where[1:]))
        raise InvalidInput(f"{spec} expects finite numbers; got {array[where]}.", path=path + place)
    return cast


def _integers(array: NDArray[Any], spec: TensorSpec, path: str) -> NDArray[Any]:
    if spec.dtype == "bool":
        if array.dtype != np.bool_:
            raise InvalidInput(f"{spec} expects true or false; got {array.dtype}.", path=path)
        return array
    info = np.iinfo(spec.dtype)
    if array.dtype.kind in "iu":
        bad = (array < info.min) | (array > info.max)
    else:  # the largest integer may have no float, the one above it has
        whole = array.astype(np.float64)
        bad = ~((whole >= info.min) & (whole < float(info.max) + 1) & (whole == np.floor(whole)))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InvalidInput(
            f"{spec} expects whole numbers from {info.min} to {info.max}; got {array[where]}.",
            path=f"{path}[{where[0]}]",
        )
    return array.astype(spec.dtype, copy=False)


def check_rows(rows: int, limits: Limits, *, path: str) -> None:
    """At least one row, at most ``limits.rows``."""
    if rows == 0:
        raise InvalidInput("The request has no rows; send at least one.", path=path)
    if rows > limits.rows:
        raise TooLarge(
            f"The request has {rows} rows; at most {limits.rows} (limits.rows) are taken. Send them in parts.",
            path=path,
        )


def check_context(context: Mapping[str, Any]) -> None:
    """Bounded, because it is recorded with every decision."""
    if len(context) > MAX_CONTEXT:
        raise TooLarge(f"The context has {len(context)} entries; at most {MAX_CONTEXT} are taken.", path="context")
    for key, value in context.items():
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise InvalidInput("A whole number in the context must fit 64 bits; send text.", path=f"context.{key[:64]}")
        if len(key) > MAX_CONTEXT_TEXT or (isinstance(value, str) and len(value) > MAX_CONTEXT_TEXT):
            raise TooLarge(
                f"A context entry is longer than {MAX_CONTEXT_TEXT} characters; send less.", path=f"context.{key[:64]}"
            )


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted, strict=True))


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in shape) + "]"


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "true or false", str: "text"}.get(type(value), "a number")
