"""Options in a query string, images in a form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput, MalformedRequest, QuorateError, TooLarge
from quorate.serving.forms import FormReader, query_options
from quorate.serving.inputs import Options

TYPE = b"multipart/form-data; boundary=b"
LIMITS = Limits(rows=3, json_depth=4)


def part(name: str, data: bytes, *more: str) -> bytes:
    """One part of a form, CRLF and all."""
    lines = [f'Content-Disposition: form-data; name="{name}"; filename="x"', *more]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n"


def read(*parts: bytes, end: bytes = b"--b--\r\n") -> tuple[list[bytes], dict[str, Any], Options]:
    return FormReader(TYPE, LIMITS).read(b"".join(parts) + end)


# --- the query ------------------------------------------------------------------------------------


def test_options_and_context_from_a_query() -> None:
    options, context = query_options(b"strategy=soft%20vote&max_ms=12.5&context.user_id=u%C3%A9&context.a.b=")
    assert options == Options(strategy="soft vote", max_ms=12.5)
    assert context == {"user_id": "ué", "a.b": ""}
    assert query_options(b"") == (Options(), {})


@pytest.mark.parametrize("name", ["null", "None", "true", "12"])
def test_a_strategy_is_text_whatever_it_looks_like(name: str) -> None:
    assert query_options(f"strategy={name}".encode())[0].strategy == name


@pytest.mark.parametrize(
    ("query", "error", "path"),
    [
        (b"explain=1", InvalidInput, "query.explain"),
        (b"strategy=a&strategy=b", InvalidInput, "query.strategy"),
        (b"context.a=1&context.a=1", InvalidInput, "query.context.a"),
        (b"max_ms=", InvalidInput, "query.max_ms"),
        (b"max_ms=null", InvalidInput, "query.max_ms"),
        (b"max_ms=nan", InvalidInput, "query.max_ms"),
        (b"max_ms=inf", InvalidInput, "query.max_ms"),
        (b"max_ms=0", InvalidInput, "query.max_ms"),
        (b"max_ms=-5", InvalidInput, "query.max_ms"),
        (b"max_ms=1e9", InvalidInput, "query.max_ms"),
        (b"max_ms=1_0", InvalidInput, "query.max_ms"),
        (b"strategy=%ff", MalformedRequest, "query"),
        (b"strategy=\xff", MalformedRequest, "query"),
        (b"&".join(b"context.a%d=1" % i for i in range(300)), MalformedRequest, "query"),
        (b"&".join(b"context.a%d=1" % i for i in range(65)), TooLarge, "context"),
        (b"context.a=" + b"x" * 1025, TooLarge, "context.a"),
    ],
)
def test_a_bad_query_names_the_parameter(query: bytes, error: type[QuorateError], path: str) -> None:
    with pytest.raises(error) as caught:
        query_options(query)
    assert caught.value.path == path


# --- forms ----------------------------------------------------------------------------------------


def test_files_context_and_options() -> None:
    images, context, options = read(
        part("file", b"one", "Content-Type: image/png"),
        part("options", b'{"strategy": "a", "max_ms": 5}'),
        part("file", b"\r\n--x two\r\n"),
        part("context", b'{"user": "u1"}'),
    )
    assert images == [b"one", b"\r\n--x two\r\n"]
    assert context == {"user": "u1"}
    assert options == Options(strategy="a", max_ms=5)


@given(st.lists(st.binary(min_size=1).filter(lambda data: b"\r\n--b" not in data), min_size=1, max_size=3))
def test_every_byte_of_a_file_arrives(files: list[bytes]) -> None:
    assert read(*(part("file", data) for data in files))[0] == files


def test_header_names_have_no_case_and_the_boundary_may_be_quoted() -> None:
    body = b"--b b\r\nCONTENT-DISPOSITION: form-data; name=file\r\n\r\nx\r\n--b b--\r\nepilogue"
    assert FormReader(b'multipart/form-data; Charset=utf-8; boundary="b b"', LIMITS).read(body)[0] == [b"x"]


@pytest.mark.parametrize(
    ("parts", "error", "path"),
    [
        ([], InvalidInput, "file"),
        ([part("file", b"")], InvalidInput, "file[0]"),
        ([part("file", b"x"), part("file", b"")], InvalidInput, "file[1]"),
        ([part("file", b"x")] * 4, TooLarge, "file"),
        ([part("image", b"x")], InvalidInput, "form.image"),
        ([b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n"], InvalidInput, "form."),
        ([b"--b\r\n\r\nx\r\n"], InvalidInput, "form."),
        ([part("file", b"x"), part("options", b"{}"), part("options", b"{}")], InvalidInput, "options"),
        ([part("file", b"x"), part("options", b'{"max_ms": "5"}')], InvalidInput, "options.max_ms"),
        ([part("file", b"x"), part("options", b'{"explain": true}')], InvalidInput, "options"),
        ([part("file", b"x"), part("options", b"")], MalformedRequest, "options"),
        ([part("file", b"x"), part("context", b"[1]")], InvalidInput, "context"),
        ([part("file", b"x"), part("context", b'{"a": {}}')], InvalidInput, "context[...]"),
        ([part("file", b"x"), part("context", b"[" * 9)], TooLarge, "context"),
        ([part("file", b"x"), part("context", b'{"a": "\xff"}')], MalformedRequest, "context"),
        ([b"--b\r\nno colon\r\n\r\nx\r\n"], MalformedRequest, "body"),
        ([b"--b\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n"], MalformedRequest, "body"),
        ([b"--b\r\nA: " + b"b" * 100_000 + b"\r\n\r\nx\r\n"], MalformedRequest, "body"),
        ([b"preamble without a boundary"], MalformedRequest, "body"),
    ],
)
def test_a_bad_form_names_the_part(parts: list[bytes], error: type[QuorateError], path: str) -> None:
    with pytest.raises(error) as caught:
        read(*parts)
    assert caught.value.path == path


@pytest.mark.parametrize("end", [b"", b"--b", b"--b\r\n", b"--b-"])
def test_a_form_needs_its_end(end: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read(part("file", b"x"), end=end)
    assert caught.value.path == "body"


@pytest.mark.parametrize(
    "kind", [b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=" + b"b" * 71]
)
def test_a_form_needs_a_boundary(kind: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        FormReader(kind, LIMITS)
    assert caught.value.path == "Content-Type"


def test_the_number_of_parts_is_bounded() -> None:
    with pytest.raises(TooLarge) as caught:
        FormReader(TYPE, Limits(rows=10**6)).read(part("file", b"x") * 10_001 + b"--b--\r\n")
    assert caught.value.path == "form"


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_a_client_error(body: bytes) -> None:
    try:
        read(body)
    except (InvalidInput, MalformedRequest, TooLarge) as error:
        assert error.path  # noqa: PT017 - what a random form is refused for differs
