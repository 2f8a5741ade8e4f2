"""Requests that are not JSON: options in a query string, images in a multipart form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from python_multipart import multipart
from python_multipart.exceptions import MultipartParseError

from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput, MalformedRequest, TooLarge
from quorate.serving.inputs import Confidence, Context, MaxMs, Options, check_context, check_rows
from quorate.web import json

_OPTIONS = ("strategy", "max_ms", "min_confidence")
_MAX_PARTS = 10_000
_context_decoder = msgspec.json.Decoder(Context)
_options_decoder = msgspec.json.Decoder(Options)


def query_options(query: bytes) -> tuple[Options, dict[str, Any]]:
    """``strategy``, ``max_ms``, ``min_confidence`` and ``context.KEY`` from a query string; all else is an error."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=256, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise MalformedRequest(
            "The query is not name=value pairs of percent-encoded UTF-8, 256 at most.", path="query"
        ) from None
    given: dict[str, str] = {}
    context: dict[str, Any] = {}
    for name, value in pairs:
        target, key = (context, name.removeprefix("context.")) if name.startswith("context.") else (given, name)
        if target is given and name not in _OPTIONS:
            raise InvalidInput(
                f"There is no option '{name[:64]}'; expected {', '.join(_OPTIONS)} or context.KEY.",
                path=f"query.{name[:64]}",
            )
        if key in target:
            raise InvalidInput(f"'{name[:64]}' is given twice; send it once.", path=f"query.{name[:64]}")
        target[key] = value
    check_context(context)
    options = Options(
        given.get("strategy"),
        _number(given, "max_ms", MaxMs, "a number of milliseconds above 0, an hour at most"),
        _number(given, "min_confidence", Confidence, "a number from 0 to 1"),
    )
    return options, context


def _number(given: Mapping[str, str], name: str, kind: Any, expected: str) -> Any:
    if name not in given:
        return None
    try:
        return msgspec.convert(given[name], kind, strict=False)
    except msgspec.ValidationError:
        raise InvalidInput(f"{name} is {expected}; got '{given[name][:32]}'.", path=f"query.{name}") from None


class _Part:
    __slots__ = ("data", "field", "name", "value")

    def __init__(self) -> None:
        self.name = b""
        self.value = b""
        self.field = b""
        self.data = bytearray()


class FormReader:
    """Reads ``multipart/form-data``: ``file`` (repeatable), ``context`` and ``options`` (JSON)."""

    def __init__(self, content_type: bytes, limits: Limits) -> None:
        self._limits = limits
        _, options = multipart.parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary or len(boundary) > 70:
            raise MalformedRequest(
                "multipart/form-data needs a boundary of 1 to 70 characters in its Content-Type.", path="Content-Type"
            )
        self._boundary = boundary
        self._parts: list[_Part] = []
        self._complete = False

    def read(self, body: bytes) -> tuple[list[bytes], dict[str, Any], Options]:
        """Images, context and options; client errors name the part."""
        for part in self._parse(body):
            if part.field not in (b"file", b"context", b"options"):
                name = part.field.decode("utf-8", "replace")[:64]
                raise InvalidInput(
                    f"There is no form field '{name}'; expected file, context or options.", path=f"form.{name}"
                )
        images = [bytes(p.data) for p in self._parts if p.field == b"file"]
        check_rows(len(images), self._limits, path="file")
        for i, image in enumerate(images):
            if not image:
                raise InvalidInput(f"File {i} is empty; send one encoded image.", path=f"file[{i}]")
        context = self._json(b"context", _context_decoder) or {}
        check_context(context)
        return images, context, self._json(b"options", _options_decoder) or Options()

    def _json(self, field: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
        found = [p for p in self._parts if p.field == field]
        if not found:
            return None
        name = field.decode()
        if len(found) > 1:
            raise InvalidInput(f"The form field '{name}' is given twice; send it once.", path=name)
        try:
            return json.decode(bytes(found[0].data), depth=self._limits.json_depth, decoder=decoder)
        except (MalformedRequest, InvalidInput, TooLarge) as error:
            inner = "" if error.path in (None, "body") else f".{error.path}".replace(".[", "[")
            raise type(error)(error.message, path=name + inner) from None

    def _parse(self, body: bytes) -> list[_Part]:
        parser = multipart.MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, a, b: self._add("name", data[a:b]),
                "on_header_value": lambda data, a, b: self._add("value", data[a:b]),
                "on_header_end": self._header,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )
        try:
            parser.write(body)
            parser.finalize()
        except MultipartParseError as error:
            raise MalformedRequest(f"The body is not multipart/form-data: {error}.", path="body") from None
        if not self._complete:
            raise MalformedRequest("The multipart body ends before its closing boundary.", path="body")
        return self._parts

    def _begin(self) -> None:
        if len(self._parts) >= _MAX_PARTS:
            raise TooLarge(f"The form has more than {_MAX_PARTS} parts; send it in pieces.", path="form")
        self._parts.append(_Part())

    def _add(self, slot: str, data: bytes) -> None:
        part = self._parts[-1]
        setattr(part, slot, getattr(part, slot) + data)

    def _header(self) -> None:
        part = self._parts[-1]
        if part.name.lower() == b"content-disposition":
            _, options = multipart.parse_options_header(part.value)
            part.field = options.get(b"name", b"")
        part.name = part.value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1].data += data[start:end]

    def _end(self) -> None:
        self._complete = True
