"""Every kind of bad request is a 4xx that names what is wrong, on both ports, and harms nobody else."""

from __future__ import annotations

import base64
import gzip
import io
import json
import socket
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
PNG = (SAMPLES / "7.png").read_bytes()
JPEG = (SAMPLES / "5.jpg").read_bytes()
DIGITS = "/v1/endpoints/digits/predict"
NUMBERS = "/v1/endpoints/numbers/predict"
PEOPLE = "/v1/endpoints/people/predict"
INFER = "/v2/models/digits/infer"
INFER_NUMBERS = "/v2/models/numbers/infer"
OUTCOMES = "/v1/outcomes"
APPLY = "/v1/endpoints/apply"
BOMB = [("a", "x"), *((chr(98 + i), f"*{chr(97 + i)}") for i in range(8))]  # 9 to the power of 9 elements
KNOWN_ID = "01a1fbbc-5837-7000-8000-000000000000"
PIXELS = [[0] * 8] * 8

SOURCE = b"""
import numpy as np
def predict(input):
    return np.full((len(input), 2), 0.5, np.float32)
"""
MORE = """
pools:
  numbers: {task: classification, members: [halves]}
  people: {task: classification, members: [columns]}
"""
ENDPOINTS = """
  numbers: {pool: numbers, strategies: {mean: {kind: mean}}}
  people: {pool: people, strategies: {mean: {kind: mean}}}
"""


@dataclass(frozen=True)
class Bad:
    """One bad request, and what the answer must say. ``role`` is the key that goes with it, None for none.

    ``path`` is None only for a configuration that cannot be parsed: there the detail begins with file and line.
    ``raw`` is sent as it is, for what an HTTP client would refuse to send; ``KEY`` and ``PORT`` in it are filled in.
    """

    name: str
    status: int
    code: str
    path: str | None
    url: str = DIGITS
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    port: str = "inference"
    role: str | None = "admin"
    raw: bytes | None = None


def js(name: str, status: int, code: str, path: str, body: Any, url: str = DIGITS, **more: Any) -> Bad:
    """A JSON request; text and bytes go as they are."""
    text = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    return Bad(name, status, code, path, url, text, headers, **more)


def rows(name: str, path: str, instances: Any, url: str = DIGITS, status: int = 422, **more: Any) -> Bad:
    """A JSON predict request that is wrong in its rows."""
    code = {422: "invalid_input", 413: "too_large"}[status]
    return js(name, status, code, path, {"instances": instances}, url, **more)


def image(name: str, status: int, code: str, path: str, body: bytes, kind: str = "image/png", **more: Any) -> Bad:
    """A raw image request."""
    return Bad(name, status, code, path, body=body, headers={"content-type": kind}, **more)


def form(name: str, status: int, code: str, path: str, body: bytes, boundary: str = "; boundary=b") -> Bad:
    """A multipart request; ``body`` has LF for CRLF."""
    kind = "multipart/form-data" + boundary
    return Bad(name, status, code, path, body=body.replace(b"\n", b"\r\n"), headers={"content-type": kind})


def infer(name: str, status: int, code: str, path: str, tensor: Any, url: str = INFER_NUMBERS, **top: Any) -> Bad:
    """An Open Inference Protocol request with one input, changed from a good one."""
    good = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    return js(name, status, code, path, {"inputs": [{**good, **tensor}], **top}, url)


def binary(name: str, status: int, code: str, path: str, tensor: Any, tail: bytes, length: str | None = None) -> Bad:
    """The same with the input's bytes behind the JSON."""
    given = {"name": "input", "shape": [1, 4], "datatype": "FP32", **tensor}
    head = json.dumps({"inputs": [given]}).encode()
    headers = {"inference-header-content-length": length or str(len(head))}
    return Bad(name, status, code, path, INFER_NUMBERS, head + tail, headers)


def wire(name: str, status: int, code: str, path: str, text: str, body: bytes = b"", port: str = "inference") -> Bad:
    """A request byte by byte; ``text`` has LF for CRLF."""
    return Bad(name, status, code, path, raw=text.replace("\n", "\r\n").encode("latin-1") + body, port=port)


def png(width: int, height: int) -> bytes:
    """A picture of so many black pixels, in few bytes."""
    found = io.BytesIO()
    Image.new("1", (width, height)).save(found, "PNG")
    return found.getvalue()


def liar() -> bytes:
    """A PNG of 64x64 pixels whose header says that there are 2,000,000,000 times as many, and whose checksum agrees."""
    header = b"IHDR" + (2_000_000).to_bytes(4, "big") * 2 + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNG[33:]


def b64(data: bytes) -> dict[str, str]:
    """An image as a JSON row."""
    return {"b64": base64.b64encode(data).decode()}


def part(name: str, data: bytes) -> bytes:
    """One part of a form with the boundary ``b``."""
    return b'--b\nContent-Disposition: form-data; name="' + name.encode() + b'"; filename="f"\n\n' + data + b"\n"


CRLF_FREE = b"\x89PNG no newline in here"
MALFORMED, INVALID, LARGE = "malformed_request", "invalid_input", "too_large"
HEAD = "POST /v1/endpoints/digits/predict HTTP/1.1\nHost: localhost:PORT\nX-API-Key: KEY\n"

BAD = [
    # --- JSON -----------------------------------------------------------------------------------------
    js("empty body", 400, MALFORMED, "body", b""),
    js("truncated JSON", 400, MALFORMED, "body", b'{"instances": [[[0, 1'),
    js("two documents", 400, MALFORMED, "body", b'{"instances": []} {}'),
    js("single quotes", 400, MALFORMED, "body", b"{'instances': []}"),
    js("NaN", 400, MALFORMED, "body", b'{"instances": [[NaN, 1, 2, 3]]}', NUMBERS),
    js("Infinity", 400, MALFORMED, "body", b'{"instances": [[Infinity, 1, 2, 3]]}', NUMBERS),
    js("minus infinity", 400, MALFORMED, "body", b'{"instances": [[-Infinity, 1, 2, 3]]}', NUMBERS),
    js("invalid UTF-8", 400, MALFORMED, "body", b'{"instances": [{"b64": "\xff\xfe"}]}'),
    js("lone surrogate", 400, MALFORMED, "body", b'{"instances": [], "context": {"a": "\\ud800"}}'),
    js("UTF-16", 400, MALFORMED, "body", '{"instances": []}'.encode("utf-16")),
    js("not an object", 422, INVALID, "body", [1, 2, 3]),
    js("null", 422, INVALID, "body", None),
    js("no instances", 422, INVALID, "body", {}),
    js("unknown field", 422, INVALID, "body", {"instances": [PIXELS], "instance": 1}),
    js("instances of a wrong type", 422, INVALID, "instances", {"instances": "7"}),
    js("1,000 deep", 413, LARGE, "body", b'{"instances": ' + b"[" * 1000 + b"]" * 1000 + b"}"),
    js("a million deep", 413, LARGE, "body", b"[" * 1_000_000),
    js("a million objects deep", 413, LARGE, "body", b'{"a":' * 1_000_000),
    js("context of a wrong type", 422, INVALID, "context", {"instances": [PIXELS], "context": [1]}),
    js("nested context", 422, INVALID, "context[...]", {"instances": [PIXELS], "context": {"a": {"b": 1}}}),
    js(
        "context too wide",
        413,
        LARGE,
        "context",
        {"instances": [PIXELS], "context": dict.fromkeys(map(str, range(65)))},
    ),
    js("context too long", 413, LARGE, "context.a", {"instances": [PIXELS], "context": {"a": "x" * 1025}}),
    js("unknown option", 422, INVALID, "options", {"instances": [PIXELS], "options": {"explain": True}}),
    js("max_ms as text", 422, INVALID, "options.max_ms", {"instances": [PIXELS], "options": {"max_ms": "50"}}),
    js("max_ms of zero", 422, INVALID, "options.max_ms", {"instances": [PIXELS], "options": {"max_ms": 0}}),
    js("max_ms below zero", 422, INVALID, "options.max_ms", {"instances": [PIXELS], "options": {"max_ms": -1}}),
    js("max_ms of a year", 422, INVALID, "options.max_ms", {"instances": [PIXELS], "options": {"max_ms": 3e10}}),
    js("unknown strategy", 404, "not_found", "options.strategy", {"instances": [PIXELS], "options": {"strategy": "x"}}),
    js(
        "strategy of a wrong type",
        422,
        INVALID,
        "options.strategy",
        {"instances": [PIXELS], "options": {"strategy": 1}},
    ),
    js("options twice", 422, INVALID, "query", {"instances": [PIXELS]}, DIGITS + "?strategy=soft-vote"),
    # --- rows -----------------------------------------------------------------------------------------
    rows("no rows", "instances", []),
    rows("too few numbers", "instances", [[1, 2, 3]], NUMBERS),
    rows("too many numbers", "instances", [[1, 2, 3, 4, 5]], NUMBERS),
    rows("ragged rows", "instances[1]", [[1, 2, 3, 4], [1, 2]], NUMBERS),
    rows("rows too flat", "instances[0]", [1, 2, 3, 4], NUMBERS),
    rows("rows too deep", "instances[0][0]", [[[1, 2, 3, 4]]], NUMBERS),
    rows("text for a number", "instances[0][1]", [[1, "2", 3, 4]], NUMBERS),
    rows("null for a number", "instances[0][1]", [[1, None, 3, 4]], NUMBERS),
    rows("true for a number", "instances[0][1]", [[1, True, 3, 4]], NUMBERS),
    rows("beyond float32", "instances[0][1]", [[1, 1e39, 3, 4]], NUMBERS),
    js("beyond float64", 422, INVALID, "instances[0][0]", b'{"instances": [[1e400, 2, 3, 4]]}', NUMBERS),
    js("309 digits", 413, LARGE, "body", b'{"instances": [[' + b"9" * 309 + b", 2, 3, 4]]}", NUMBERS),
    js("a million digits", 413, LARGE, "body", b'{"instances": [[' + b"9" * 1_000_000 + b", 2, 3, 4]]}", NUMBERS),
    rows("an object for an array", "instances[0]", [{"a": 1}], NUMBERS),
    rows("too many rows", "instances", [[1, 2, 3, 4]] * 10_001, NUMBERS, 413),
    rows("an array for an object", "instances[0]", [[1, 2]], PEOPLE),
    rows("unknown column", "instances[0].height", [{"age": 1, "member": True, "height": 2}], PEOPLE),
    rows("missing column", "instances[1].age", [{"age": 1, "member": True}, {"member": True}], PEOPLE),
    rows("null column", "instances[0].age", [{"age": None, "member": True}], PEOPLE),
    rows("text for a numeric column", "instances[0].age", [{"age": "old", "member": True}], PEOPLE),
    rows("a number for a boolean column", "instances[0].member", [{"age": 1, "member": 1}], PEOPLE),
    rows("nested column", "instances[0][...]", [{"age": [1], "member": True}], PEOPLE),
    rows("ragged pixels", "instances[0]", [[[0, 1], [0]]]),
    rows("one line of pixels", "instances[0]", [[0, 1, 2]]),
    rows("pixels too deep", "instances[0]", [[[[[0]]]]]),
    rows("pixels with five channels", "instances[0]", [[[[0] * 5] * 8] * 8]),
    rows("no pixels", "instances[1]", [PIXELS, []]),
    rows("negative pixels", "instances[0]", [[[-1, 2], [3, 4]]]),
    rows("pixels above 255", "instances[0]", [[[256, 2], [3, 4]]]),
    rows("half pixels", "instances[0]", [[[0.5, 2], [3, 4]]]),
    rows("huge pixels", "instances[0]", [[[10**30, 2], [3, 4]]]),
    rows("pixels of text", "instances[0]", [[["a", "b"], ["c", "d"]]]),
    rows("a number for an image", "instances[0]", [7]),
    rows("an unknown image object", "instances[0]", [{"url": "http://example.org/7.png"}]),
    rows("b64 of a wrong type", "instances[0]", [{"b64": 7}]),
    rows("b64 of other letters", "instances[0].b64", [{"b64": "%%%%"}]),
    rows("b64 cut short", "instances[0].b64", [{"b64": b64(PNG)["b64"][:-3]}]),
    rows("b64 of nothing", "instances[0]", [{"b64": ""}]),
    rows("b64 of text", "instances[0]", [b64(b"not an image")]),
    rows("b64 of a truncated PNG, second", "instances[1]", [b64(PNG), b64(PNG[:-40])]),
    rows("b64 bomb", "instances[0]", [b64(png(20_000, 20_000))], status=413),
    # --- images ---------------------------------------------------------------------------------------
    image("no image", 422, INVALID, "body", b""),
    image("text as an image", 422, INVALID, "body[0]", b"just some text"),
    image("truncated JPEG", 422, INVALID, "body[0]", JPEG[: len(JPEG) // 2], "image/jpeg"),
    image("truncated PNG", 422, INVALID, "body[0]", PNG[: len(PNG) // 2]),
    image("JPEG of zeros", 422, INVALID, "body[0]", JPEG[:200] + bytes(5000), "image/jpeg"),
    image("PNG without data", 422, INVALID, "body[0]", PNG.replace(b"IDAT", b"IDAX")),
    image("PNG bomb", 413, LARGE, "body[0]", png(20_000, 20_000)),
    image("PNG that lies about its size", 413, LARGE, "body[0]", liar()),
    image("SVG", 422, INVALID, "body[0]", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    image("image for numbers", 415, "unsupported_media_type", "Content-Type", PNG, url=NUMBERS),
    image("unknown option in the query", 422, INVALID, "query.explain", PNG, url=DIGITS + "?explain=1"),
    image("option twice in the query", 422, INVALID, "query.max_ms", PNG, url=DIGITS + "?max_ms=5&max_ms=6"),
    image("max_ms as text in the query", 422, INVALID, "query.max_ms", PNG, url=DIGITS + "?max_ms=soon"),
    image("max_ms as NaN in the query", 422, INVALID, "query.max_ms", PNG, url=DIGITS + "?max_ms=nan"),
    image("broken query", 400, MALFORMED, "query", PNG, url=DIGITS + "?strategy=%ff"),
    image("query without end", 400, MALFORMED, "query", PNG, url=DIGITS + "?" + "a&" * 300),
    # --- forms ----------------------------------------------------------------------------------------
    form("form without a boundary", 400, MALFORMED, "Content-Type", b"", ""),
    form("form with an endless boundary", 400, MALFORMED, "Content-Type", b"", "; boundary=" + "b" * 71),
    form("form that is none", 400, MALFORMED, "body", b"hello"),
    form("empty form body", 400, MALFORMED, "body", b""),
    form("form without an end", 400, MALFORMED, "body", part("file", CRLF_FREE)),
    form("form without files", 422, INVALID, "file", b"--b--\n"),
    form("form with another field", 422, INVALID, "form.photo", part("photo", CRLF_FREE) + b"--b--\n"),
    form("form with an empty file", 422, INVALID, "file[0]", part("file", b"") + b"--b--\n"),
    form("form with text as a file", 422, INVALID, "file[0]", part("file", b"text") + b"--b--\n"),
    form(
        "form with a broken context",
        400,
        MALFORMED,
        "context",
        part("file", CRLF_FREE) + part("context", b"{") + b"--b--\n",
    ),
    form(
        "form with a deep context",
        413,
        LARGE,
        "context",
        part("file", CRLF_FREE) + part("context", b"[" * 999) + b"--b--\n",
    ),
    form(
        "form with unknown options",
        422,
        INVALID,
        "options",
        part("file", CRLF_FREE) + part("options", b'{"x": 1}') + b"--b--\n",
    ),
    form(
        "form with two options",
        422,
        INVALID,
        "options",
        part("file", CRLF_FREE) + part("options", b"{}") * 2 + b"--b--\n",
    ),
    form("form with a broken part", 400, MALFORMED, "body", b"--b\nContent-Disposition\n\nx\n--b--\n"),
    # --- bodies and headers ---------------------------------------------------------------------------
    js("45 MB", 413, LARGE, "body", b'{"instances": [' + b" " * 45_000_000 + b"]}"),
    js("gzip bomb", 413, LARGE, "body", gzip.compress(bytes(40_000_000)), headers={"content-encoding": "gzip"}),
    js("gzip that is none", 400, MALFORMED, "body", b"plain", headers={"content-encoding": "gzip"}),
    js("gzip cut short", 400, MALFORMED, "body", gzip.compress(b"{}" * 99)[:-9], headers={"content-encoding": "gzip"}),
    js("deflate bomb", 413, LARGE, "body", zlib.compress(bytes(40_000_000)), headers={"content-encoding": "deflate"}),
    js(
        "unknown encoding", 415, "unsupported_media_type", "Content-Encoding", b"{}", headers={"content-encoding": "br"}
    ),
    js("wrong media type", 415, "unsupported_media_type", "Content-Type", b"{}", headers={"content-type": "text/xml"}),
    js(
        "form-encoded",
        415,
        "unsupported_media_type",
        "Content-Type",
        b"a=1",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    js("idempotency key with blanks", 400, MALFORMED, "Idempotency-Key", b"{}", headers={"idempotency-key": "a b"}),
    js("idempotency key too long", 400, MALFORMED, "Idempotency-Key", b"{}", headers={"idempotency-key": "a" * 256}),
    # --- routes and methods ---------------------------------------------------------------------------
    js("unknown endpoint", 404, "not_found", "endpoint", {"instances": [PIXELS]}, "/v1/endpoints/nope/predict"),
    js("unknown route", 404, "not_found", "path", {}, "/v1/predictions"),
    js("climbing path", 404, "not_found", "path", {}, "/v1/endpoints/..%2f..%2fetc/predict"),
    js("wrong method", 405, "method_not_allowed", "method", b"", method="GET"),
    js("DELETE", 405, "method_not_allowed", "method", b"", method="DELETE"),
    js("POST to a page", 405, "method_not_allowed", "method", b"{}", "/docs"),
    # --- keys, hosts, origins -------------------------------------------------------------------------
    js("no key", 401, "unauthenticated", "Authorization", {"instances": [PIXELS]}, role=None),
    js("unknown key", 401, "unauthenticated", "Authorization", {}, role=None, headers={"x-api-key": "qk_guess"}),
    js("basic auth", 401, "unauthenticated", "Authorization", {}, role=None, headers={"authorization": "Basic YTpi"}),
    js("key with a wrong role", 403, "forbidden", "Authorization", {"instances": [PIXELS]}, role="outcome"),
    js("outcome with a wrong role", 403, "forbidden", "Authorization", {}, OUTCOMES, role="predict"),
    js("foreign host", 403, "forbidden", "Host", {"instances": [PIXELS]}, headers={"host": "evil.example"}),
    js(
        "foreign origin", 403, "forbidden", "Origin", {"instances": [PIXELS]}, headers={"origin": "http://evil.example"}
    ),
    js("opaque origin", 403, "forbidden", "Origin", {"instances": [PIXELS]}, headers={"origin": "null"}),
    # --- Open Inference Protocol ----------------------------------------------------------------------
    js("OIP: truncated", 400, MALFORMED, "body", b'{"inputs": [', INFER),
    js("OIP: no inputs", 422, INVALID, "inputs", {"inputs": []}, INFER),
    js("OIP: inputs of a wrong type", 422, INVALID, "inputs", {"inputs": {}}, INFER),
    js("OIP: unknown model", 404, "not_found", "model_name", {"inputs": []}, "/v2/models/nope/infer"),
    js("OIP: unknown version", 404, "not_found", "model_version", {"inputs": []}, "/v2/models/svm/versions/99/infer"),
    js("OIP: version of letters", 404, "not_found", "model_version", {}, "/v2/models/svm/versions/x/infer"),
    js("OIP: unknown revision", 404, "not_found", "model_version", {}, "/v2/models/digits/versions/99/infer"),
    js("OIP: unknown route", 404, "not_found", "path", {}, "/v2/models/digits/explain"),
    js("OIP: wrong method", 405, "method_not_allowed", "method", b"", INFER, method="GET"),
    js(
        "OIP: wrong media type",
        415,
        "unsupported_media_type",
        "Content-Type",
        b"{}",
        INFER,
        headers={"content-type": "text/csv"},
    ),
    js("OIP: no key", 401, "unauthenticated", "Authorization", {}, INFER, role=None),
    js("OIP: index of a wrong type", 422, INVALID, "ready", {"ready": 1}, "/v2/repository/index"),
    infer("OIP: unknown input", 422, INVALID, "inputs.x", {"name": "x"}),
    infer("OIP: unknown datatype", 422, INVALID, "inputs[0].datatype", {"datatype": "FLOAT"}),
    infer("OIP: text for numbers", 422, INVALID, "inputs.input", {"datatype": "BYTES", "data": ["a"] * 4}),
    infer("OIP: shape and data differ", 422, INVALID, "inputs[0].data", {"shape": [1, 3]}),
    infer("OIP: another shape", 422, INVALID, "inputs.input", {"shape": [2, 2]}),
    infer("OIP: no rows", 422, INVALID, "inputs[0].shape", {"shape": [0, 4], "data": []}),
    infer("OIP: negative shape", 422, INVALID, "inputs[0].shape", {"shape": [-1, 4]}),
    infer("OIP: scalar shape", 422, INVALID, "inputs[0].shape", {"shape": []}),
    infer("OIP: nine dimensions", 422, INVALID, "inputs[0].shape", {"shape": [1] * 9}),
    infer("OIP: huge shape", 413, LARGE, "inputs[0].shape", {"shape": [2**30, 2**30]}),
    infer("OIP: shape beyond all bounds", 422, INVALID, "inputs[0].shape", {"shape": [10**100, 4]}),
    infer("OIP: shape of floats", 422, INVALID, "inputs[0].shape[0]", {"shape": [1.5, 4]}),
    infer("OIP: no data", 422, INVALID, "inputs[0].data", {"data": None}),
    infer("OIP: ragged data", 422, INVALID, "inputs[0].data", {"data": [[1, 2], [3]]}),
    infer("OIP: null in data", 422, INVALID, "inputs[0].data", {"data": [1, None, 3, 4]}),
    infer(
        "OIP: number beyond its datatype", 422, INVALID, "inputs[0].data", {"datatype": "INT8", "data": [1, 2, 3, 999]}
    ),
    infer("OIP: half a number", 422, INVALID, "inputs[0].data", {"datatype": "INT32", "data": [1, 2, 3, 4.5]}),
    infer("OIP: beyond FP32", 422, INVALID, "inputs.input[0][3]", {"data": [1, 2, 3, 1e39]}),
    infer("OIP: unknown output", 422, INVALID, "outputs[0].name", {}, outputs=[{"name": "logits"}]),
    infer(
        "OIP: unknown output parameter",
        422,
        INVALID,
        "outputs[0].parameters",
        {},
        outputs=[{"name": "label", "parameters": {"classification": 3}}],
    ),
    infer("OIP: unknown parameter", 422, INVALID, "parameters.sequence_id", {}, parameters={"sequence_id": 1}),
    infer("OIP: nested parameter", 422, INVALID, "parameters[...]", {}, parameters={"strategy": {}}),
    infer("OIP: timeout of zero", 422, INVALID, "parameters.timeout", {}, parameters={"timeout": 0}),
    infer("OIP: strategy of a wrong type", 422, INVALID, "parameters.strategy", {}, parameters={"strategy": 7}),
    infer(
        "OIP: strategy for a model",
        422,
        INVALID,
        "parameters.strategy",
        {},
        "/v2/models/halves/infer",
        parameters={"strategy": "mean"},
    ),
    infer(
        "OIP: image of text",
        422,
        INVALID,
        "inputs.image[0]",
        {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]},
        INFER,
    ),
    infer(
        "OIP: image not base64",
        422,
        INVALID,
        "inputs.image.data[0]",
        {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["%"]},
        INFER,
    ),
    infer(
        "OIP: image of one dimension",
        422,
        INVALID,
        "inputs.image.shape",
        {"name": "image", "shape": [4], "datatype": "UINT8"},
        INFER,
    ),
    binary(
        "OIP: too few bytes",
        400,
        MALFORMED,
        "inputs[0].parameters.binary_data_size",
        {"parameters": {"binary_data_size": 12}},
        bytes(12),
    ),
    binary(
        "OIP: size beyond the body",
        400,
        MALFORMED,
        "inputs[0].parameters.binary_data_size",
        {"parameters": {"binary_data_size": 16}},
        bytes(8),
    ),
    binary("OIP: bytes left over", 400, MALFORMED, "inputs", {"parameters": {"binary_data_size": 16}}, bytes(20)),
    binary(
        "OIP: negative size",
        400,
        MALFORMED,
        "inputs[0].parameters.binary_data_size",
        {"parameters": {"binary_data_size": -1}},
        b"",
    ),
    binary(
        "OIP: size as text",
        400,
        MALFORMED,
        "inputs[0].parameters.binary_data_size",
        {"parameters": {"binary_data_size": "16"}},
        bytes(16),
    ),
    binary(
        "OIP: NaN in bytes",
        422,
        INVALID,
        "inputs.input[0][0]",
        {"parameters": {"binary_data_size": 16}},
        np.float32([np.nan, 1, 2, 3]).tobytes(),
    ),
    binary(
        "OIP: data twice",
        422,
        INVALID,
        "inputs[0].data",
        {"parameters": {"binary_data_size": 16}, "data": [1, 2, 3, 4]},
        bytes(16),
    ),
    binary(
        "OIP: broken text elements",
        400,
        MALFORMED,
        "inputs[0].data",
        {"datatype": "BYTES", "parameters": {"binary_data_size": 8}},
        b"\xff\xff\xff\x7fabcd",
    ),
    binary("OIP: header beyond the body", 400, MALFORMED, "Inference-Header-Content-Length", {}, b"", "99999"),
    binary("OIP: header of letters", 400, MALFORMED, "Inference-Header-Content-Length", {}, b"", "many"),
    binary("OIP: header cuts the JSON", 400, MALFORMED, "body", {}, b"", "9"),
    # --- outcomes -------------------------------------------------------------------------------------
    js("outcome: truncated", 400, MALFORMED, "body", b'[{"id"', OUTCOMES),
    js("outcome: a number", 422, INVALID, "body", b"7", OUTCOMES),
    js("outcome: no outcomes", 422, INVALID, "body", [], OUTCOMES),
    js("outcome: a list of lists", 422, INVALID, "body", [[1]], OUTCOMES),
    js(
        "outcome: wrong media type",
        415,
        "unsupported_media_type",
        "Content-Type",
        b"{}",
        OUTCOMES,
        headers={"content-type": "image/png"},
    ),
    js("outcome: too many", 413, LARGE, "body", [{}] * 10_001, OUTCOMES),
    js("outcome: no id", 422, INVALID, "id", {"truth": "7"}, OUTCOMES),
    js("outcome: an id that is none", 422, INVALID, "id", {"id": "7", "truth": "7"}, OUTCOMES),
    js("outcome: nothing said", 422, INVALID, "body", {"id": KNOWN_ID}, OUTCOMES),
    js("outcome: two things said", 422, INVALID, "body", {"id": KNOWN_ID, "truth": "7", "reward": 1}, OUTCOMES),
    js("outcome: negative row", 422, INVALID, "row", {"id": KNOWN_ID, "truth": "7", "row": -1}, OUTCOMES),
    js("outcome: in the future", 422, INVALID, "at", {"id": KNOWN_ID, "truth": "7", "at": 1e11}, OUTCOMES),
    js("outcome: reward as text", 422, INVALID, "reward", {"id": KNOWN_ID, "reward": "much"}, OUTCOMES),
    js("outcome: unknown field", 422, INVALID, "label", {"id": KNOWN_ID, "truth": "7", "label": 1}, OUTCOMES),
    # --- the wire -------------------------------------------------------------------------------------
    wire("no HTTP", 400, MALFORMED, "request", "hello\n\n"),
    wire("unknown method", 400, MALFORMED, "request", "BREW /docs HTTP/1.1\nHost: localhost:PORT\n\n"),
    wire("negative length", 400, MALFORMED, "request", HEAD + "Content-Length: -1\n\n"),
    wire("two lengths", 400, MALFORMED, "request", HEAD + "Content-Length: 1\nContent-Length: 2\n\n", b"{}"),
    wire(
        "length and chunks",
        400,
        MALFORMED,
        "request",
        HEAD + "Content-Length: 2\nTransfer-Encoding: chunked\n\n",
        b"0\r\n\r\n",
    ),
    wire("broken chunk", 400, MALFORMED, "request", HEAD + "Transfer-Encoding: chunked\n\n", b"zz\r\n{}\r\n0\r\n\r\n"),
    wire("length beyond all numbers", 400, MALFORMED, "request", HEAD + "Content-Length: " + "9" * 30 + "\n\n"),
    wire("line break in a header", 400, MALFORMED, "request", HEAD + "X-A: a\rb\n\n"),
    wire("no host", 400, MALFORMED, "Host", "GET /docs HTTP/1.1\n\n"),
    wire("two hosts", 400, MALFORMED, "Host", "GET /docs HTTP/1.1\nHost: localhost\nHost: evil.example\n\n"),
    wire("a head of 70 kB", 400, MALFORMED, "request", HEAD + "X-A: " + "a" * 70_000 + "\n\n"),
    wire("a head without end", 400, MALFORMED, "request", HEAD + "X-A: " + "a" * 70_000),
    wire(
        "bytes in the path",
        404,
        "not_found",
        "path",
        "GET /v1/%ff%fe HTTP/1.1\nHost: localhost:PORT\nX-API-Key: KEY\n\n",
    ),
    # --- the control port -----------------------------------------------------------------------------
    js("control: unknown route", 404, "not_found", "path", {}, "/v1/nothing", port="control"),
    js("control: wrong method", 405, "method_not_allowed", "method", b"", "/v1/models", method="PUT", port="control"),
    js("control: unknown model", 404, "not_found", "name", b"", "/v1/models/nope", method="GET", port="control"),
    js("control: unknown version", 404, "not_found", "version", b"", "/v1/models/svm/99", method="GET", port="control"),
    js("control: version of letters", 422, INVALID, "version", b"", "/v1/models/svm/x", method="GET", port="control"),
    js("control: a name that is none", 422, INVALID, "name", b"", "/v1/models/..%5c", method="GET", port="control"),
    js("control: unknown endpoint", 404, "not_found", "name", b"", "/v1/endpoints/nope", method="GET", port="control"),
    js(
        "control: unknown decision",
        404,
        "not_found",
        "id",
        b"",
        f"/v1/decisions/{KNOWN_ID}",
        method="GET",
        port="control",
    ),
    js("control: a decision id that is none", 422, INVALID, "id", b"", "/v1/decisions/7", method="GET", port="control"),
    js("control: limit of letters", 422, INVALID, "limit", b"", "/v1/audit?limit=x", method="GET", port="control"),
    js("control: limit beyond", 422, INVALID, "limit", b"", "/v1/audit?limit=99999", method="GET", port="control"),
    js(
        "control: CSV as configuration",
        415,
        "unsupported_media_type",
        "Content-Type",
        b"a",
        APPLY,
        port="control",
        headers={"content-type": "text/csv"},
    ),
    Bad(
        "control: broken YAML",
        422,
        "invalid_config",
        None,
        APPLY,
        b"pools: [",
        {"content-type": "application/yaml"},
        port="control",
    ),
    Bad(
        "control: YAML bomb",
        422,
        "invalid_config",
        None,
        APPLY,
        "".join(f"{name}: &{name} [{', '.join([inner] * 9)}]\n" for name, inner in BOMB).encode(),
        {"content-type": "application/yaml"},
        port="control",
    ),
    Bad(
        "control: 45 MB of YAML",
        413,
        LARGE,
        "body",
        APPLY,
        b"#" * 45_000_000,
        {"content-type": "application/yaml"},
        port="control",
    ),
    Bad("control: If-Match of letters", 400, MALFORMED, "If-Match", APPLY, b"", {"if-match": "now"}, port="control"),
    Bad("control: overtaken", 409, "conflict", "If-Match", APPLY, b"", {"if-match": '"999"'}, port="control"),
    js(
        "control: no key",
        401,
        "unauthenticated",
        "Authorization",
        b"",
        "/v1/models",
        method="GET",
        port="control",
        role=None,
    ),
    js(
        "control: wrong role",
        403,
        "forbidden",
        "Authorization",
        b"",
        "/v1/models",
        method="GET",
        port="control",
        role="predict",
    ),
    js("control: reading key changes", 403, "forbidden", "Authorization", b"", APPLY, port="control", role="operate"),
    js(
        "control: foreign host",
        403,
        "forbidden",
        "Host",
        b"",
        "/v1/models",
        method="GET",
        port="control",
        headers={"host": "evil.example"},
    ),
    js(
        "control: foreign origin",
        403,
        "forbidden",
        "Origin",
        b"",
        APPLY,
        port="control",
        headers={"origin": "http://evil.example"},
    ),
    wire("control: no HTTP", 400, MALFORMED, "request", "hello\n\n", port="control"),
    wire(
        "control: two hosts",
        400,
        MALFORMED,
        "Host",
        "GET /docs HTTP/1.1\nHost: localhost\nHost: evil.example\n\n",
        port="control",
    ),
]


class Site:
    """A server with keys, and the two ways to send it something."""

    def __init__(self, server: Any, keys: dict[str, str]) -> None:
        self.server = server
        self.keys = keys
        self.bases = {"inference": server.url, "control": server.control}
        self.pids = server.pids()

    def send(self, bad: Bad) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the parsed body of the answer."""
        if bad.raw is not None:
            return self._send_raw(bad)
        headers = dict(bad.headers)
        if bad.role is not None:
            headers.setdefault("x-api-key", self.keys[bad.role])
        answer = self.server.http.request(bad.method, self.bases[bad.port] + bad.url, content=bad.body, headers=headers)
        return answer.status_code, dict(answer.headers), answer.json()

    def _send_raw(self, bad: Bad) -> tuple[int, dict[str, str], Any]:
        place = urlsplit(self.bases[bad.port])
        assert bad.raw is not None
        text = bad.raw.replace(b"PORT", str(place.port).encode()).replace(b"KEY", self.keys["admin"].encode())
        with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(status.split()[1]), headers, json.loads(body)

    def good(self, port: str) -> httpx.Response:
        """A request that is right."""
        headers = {"x-api-key": self.keys["admin"]}
        if port == "control":
            return self.server.http.get(f"{self.server.control}/v1/models", headers=headers)
        return self.server.http.post(f"{self.server.url}{DIGITS}", json={"instances": [PIXELS]}, headers=headers)


@pytest.fixture(scope="module")
def site(module_server: Any, module_digits: Path, new_key: Any) -> Site:
    """The digits endpoint, one that takes numbers and one that takes columns, and a key for every role."""
    home = Home(module_digits)
    registry = Registry(home.registry, SystemClock())
    output = OutputSpec("scores", ("no", "yes"))
    four = TensorSpec("input", "float32", (None, 4))
    columns = (TensorSpec("age", "float32", (None,)), TensorSpec("member", "bool", (None,)))
    for name, signature, tensor, steps in (
        ("halves", Signature("array", (four,), output), four, []),
        (
            "columns",
            Signature("columns", columns, output),
            TensorSpec("input", "float32", (None, 2)),
            [{"kind": "matrix", "version": 1, "columns": ["age", "member"]}],
        ),
    ):
        draft = Manifest(
            name=name,
            format="callable",
            signature=signature,
            tensors=(tensor,),
            output_name="output",
            preprocess=steps,
            options={"entry": "predict"},
        )
        registry.register(draft, {"model.py": SOURCE})
    text = home.config.read_text()
    home.config.write_text(text.replace("pools:", MORE.strip("\n"), 1) + ENDPOINTS)
    keys = {role: new_key(module_digits, role) for role in ("predict", "outcome", "operate", "admin")}
    return Site(module_server(module_digits), keys)


def test_there_are_enough_kinds_and_each_has_a_name() -> None:
    names = [bad.name for bad in BAD]
    assert len(set(names)) == len(names) >= 80


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name.replace(" ", "-")) for bad in BAD])
def test_bad_input(site: Site, bad: Bad) -> None:
    status, headers, found = site.send(bad)
    assert status == bad.status, found
    if bad.port == "inference" and bad.url.startswith("/v2"):
        assert headers["content-type"] == "application/json"
        assert set(found) == {"error"}
        assert found["error"].startswith(f"{bad.path}: "), found
    else:
        assert headers["content-type"] == "application/problem+json"
        assert found["code"] == bad.code
        assert found["status"] == bad.status
        assert found.get("path") == bad.path, found
        assert bad.path is not None or found["detail"].startswith("quorate.yaml:")
        assert found["request_id"] == headers["x-request-id"]
    assert site.good(bad.port).status_code == 200


def test_afterwards_the_same_processes_still_serve(site: Site) -> None:
    assert site.server.pids() == site.pids
    assert "Traceback" not in site.server.log()
