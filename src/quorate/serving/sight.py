"""What is seen of a request before it is known which endpoint reads it: its form at once, its content where asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from quorate.codecs.snapshot import Limits
from quorate.core.types import InputKind, Scalar, Signature
from quorate.errors import QuorateError
from quorate.preprocess.glance import glance, size
from quorate.serving import facts
from quorate.serving.forms import FormReader, query_options
from quorate.serving.inputs import Context, InputReader, unbase64
from quorate.web import json


class Sight:
    """The content of an input, each part found out when it is asked for, and once. Nothing here raises for a client's
    mistake: what does not fit is not known, and the endpoint says what is wrong."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._read: dict[int, tuple[Signature, Mapping[str, Any] | None]] = {}

    @property
    def picture(self) -> Any:
        """The first row's picture, encoded or as pixels; None where it is none."""
        return None

    def missing(self, signature: Signature | None) -> float | None:
        """Share of values that are missing; by the signature of who reads it, where that is known."""
        if signature is None:
            return self._nulls
        raw = self.raw(signature)
        return None if raw is None else facts.missing(raw, signature)

    @property
    def _nulls(self) -> float | None:
        return None

    def raw(self, signature: Signature) -> Mapping[str, Any] | None:
        """As raw input of that signature; None where it does not fit."""
        known = self._read.get(id(signature))
        if known is None:
            try:
                found = self._as(signature)
            except QuorateError:
                found = None
            known = self._read[id(signature)] = (signature, found)
        return known[1]

    def _as(self, signature: Signature) -> Mapping[str, Any] | None:
        return None

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the picture."""
        return size(self.picture)

    @cached_property
    def pixels(self) -> tuple[float | None, ...] | None:
        """Brightness, contrast and sharpness of the picture."""
        return glance(self.picture, max_pixels=self._limits.image_pixels)


class JsonSight(Sight):
    """Rows as JSON texts."""

    def __init__(self, rows: Sequence[bytes | msgspec.Raw], limits: Limits) -> None:
        super().__init__(limits)
        self._rows = [bytes(row) for row in rows]

    @cached_property
    def picture(self) -> Any:
        """See :class:`Sight`; pixels as lists cannot be told from other numbers, so only an encoded one is known."""
        if kind_of(self._rows[0]) != "image":
            return None
        try:
            return unbase64(msgspec.json.decode(self._rows[0], type=dict[str, str])["b64"], path="instances[0]")
        except (msgspec.DecodeError, QuorateError):
            return None

    @cached_property
    def _nulls(self) -> float | None:
        """Share of nulls among the values of all rows; 0 for pictures."""
        if kind_of(self._rows[0]) == "image":
            return 0.0
        absent = total = 0
        for row in self._rows:
            waiting: list[Any] = [msgspec.json.decode(row)]
            while waiting:
                value = waiting.pop()
                if isinstance(value, list | dict):
                    waiting.extend(value.values() if isinstance(value, dict) else value)
                else:
                    total, absent = total + 1, absent + (value is None)
        return absent / total if total else 0.0

    def _as(self, signature: Signature) -> Mapping[str, Any] | None:
        return InputReader(signature).decode(b'{"instances":[' + b",".join(self._rows) + b"]}", self._limits)[1]


class ImageSight(Sight):
    """Encoded pictures."""

    def __init__(self, images: Sequence[bytes], limits: Limits) -> None:
        super().__init__(limits)
        self._images = list(images)

    @property
    def picture(self) -> Any:
        """See :class:`Sight`."""
        return self._images[0]

    @property
    def _nulls(self) -> float | None:
        return 0.0

    def _as(self, signature: Signature) -> Mapping[str, Any] | None:
        return {"image": self._images} if signature.input_kind == "image" else None


class RawSight(Sight):
    """What was read already, by a signature that all endpoints of the front share."""

    def __init__(self, raw: Mapping[str, Any], limits: Limits) -> None:
        super().__init__(limits)
        self._raw = raw

    @property
    def picture(self) -> Any:
        """See :class:`Sight`."""
        pictures = self._raw.get("image")
        return None if pictures is None else pictures[0]

    def _as(self, signature: Signature) -> Mapping[str, Any] | None:
        return self._raw


class Seen(NamedTuple):
    """What is known of a request before an endpoint reads it; ``kind`` is that of its first row.

    ``sight`` is its content; None where that could not be looked at.
    """

    kind: InputKind | None
    rows: int
    size: int
    arrived: float
    context: Mapping[str, Scalar]
    sight: Sight | None = None


class _Fields(msgspec.Struct):
    """What a front reads of a JSON body; the endpoint reads all of it, and says what is wrong with it."""

    instances: list[msgspec.Raw]
    context: Context = {}


_FIELDS = msgspec.json.Decoder(_Fields)


def look(body: bytes, media_type: str, content_type: bytes, query: bytes, arrived: float, limits: Limits) -> Seen:
    """What a front sees of a request to predict; client errors name the field."""
    size = len(body)
    if media_type in ("application/json", ""):
        read: _Fields = json.decode(body, depth=limits.json_depth, decoder=_FIELDS)
        rows = read.instances
        kind = kind_of(bytes(rows[0])) if rows else None
        return Seen(kind, len(rows), size, arrived, read.context, JsonSight(rows, limits) if rows else None)
    if media_type == "multipart/form-data":
        images, context, _ = FormReader(content_type, limits).read(body)
        return Seen("image", len(images), size, arrived, context, ImageSight(images, limits))
    _, context = query_options(query)
    return Seen("image", 1, size, arrived, context, ImageSight([body], limits))


def kind_of(row: bytes) -> InputKind | None:
    """What a row of JSON is: an object is a picture if it has ``b64``, else columns; lists are numbers (or pixels)."""
    if row.startswith(b"["):
        return "array"
    if not row.startswith(b"{"):
        return None
    try:
        keys = msgspec.json.decode(row, type=dict[str, msgspec.Raw]).keys()
    except msgspec.DecodeError:
        return None
    return "image" if keys == {"b64"} else "columns"
