"""Errors over HTTP: the one table from error code to status, and RFC 9457 problem JSON.

>>> from quorate.errors import NotFound
>>> problem(NotFound("There is no endpoint 'x'.", path="endpoint"), request_id="r1").status
404
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from quorate.errors import MemberError, MethodNotAllowed, NotReady, Overloaded, QuorateError

Headers = list[tuple[bytes, bytes]]

MEDIA_TYPE = "application/problem+json"

TABLE: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "Malformed request"),
    "unauthenticated": (401, "Key missing or unknown"),
    "forbidden": (403, "Not allowed"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "conflict": (409, "Conflict with the present state"),
    "too_large": (413, "Limit exceeded"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "invalid_input": (422, "Invalid input"),
    "overloaded": (429, "Overloaded"),
    "internal": (500, "Internal error"),
    "not_ready": (503, "Not ready"),
    "no_quorum": (504, "No quorum in time"),
    # Only the control port meets these: they are about a project, not a request.
    "invalid_config": (422, "Invalid configuration"),
    "registry": (409, "Refused by the registry"),
    "format_refused": (422, "Model format refused"),
    "parity": (422, "Model does not answer as its original"),
    "integrity": (500, "Stored bytes are damaged"),
    "store": (503, "Store unavailable"),
    "journal": (503, "Journal unavailable"),
}
"""Error code -> (HTTP status, title). A member's error is not here: it never reaches a client."""

INTERNAL_DETAIL = "The server failed to answer this request; its log has the cause under this request id."
_MAX_DETAIL = 2000


class Response(NamedTuple):
    """A whole HTTP response, in the types ASGI takes."""

    status: int
    headers: Headers
    body: bytes


def status_of(error: BaseException) -> tuple[int, str, str]:
    """``(status, title, code)``; anything that is not in the table is an internal error."""
    code = error.code if isinstance(error, QuorateError) and not isinstance(error, MemberError) else "internal"
    status, title = TABLE.get(code, TABLE["internal"])
    return status, title, code


def document(error: BaseException, *, request_id: str) -> dict[str, Any]:
    """The problem as a mapping: type, title, status, detail, code, request_id, and path where one field is wrong."""
    status, title, code = status_of(error)
    fields: dict[str, Any] = {
        "type": f"urn:quorate:problem:{code}",
        "title": title,
        "status": status,
        "detail": _detail(error, code),
        "code": code,
        "request_id": request_id,
    }
    if code != "internal" and isinstance(error, QuorateError) and error.path is not None:
        fields["path"] = _text(error.path, 500)
    return fields


def problem(error: BaseException, *, request_id: str) -> Response:
    """The RFC 9457 response to an error; an exception that is not ours shows nothing of its inside."""
    body = msgspec.json.encode(document(error, request_id=request_id))
    return _respond(error, MEDIA_TYPE.encode(), body, request_id)


def oip_problem(error: BaseException, *, request_id: str) -> Response:
    """The same error as the Open Inference Protocol wants it: ``{"error": detail}``."""
    body = msgspec.json.encode({"error": sentence(error)})
    return _respond(error, b"application/json", body, request_id)


def sentence(error: BaseException) -> str:
    """The error as one line: the field that is wrong, where there is one, and what is wrong with it."""
    _, _, code = status_of(error)
    detail = _detail(error, code)
    path = error.path if isinstance(error, QuorateError) and code != "internal" else None
    return f"{_text(path, 500)}: {detail}" if path else detail


def _respond(error: BaseException, media_type: bytes, body: bytes, request_id: str) -> Response:
    status = status_of(error)[0]
    headers: Headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode("latin-1", "replace")),
    ]
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    if isinstance(error, Overloaded | NotReady) and error.retry_after is not None:
        # Whole seconds only (RFC 9110), and never 0: that would invite an immediate retry.
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="quorate"'))
    return Response(status, headers, body)


def _detail(error: BaseException, code: str) -> str:
    return INTERNAL_DETAIL if code == "internal" else _text(str(error), _MAX_DETAIL)


def _text(text: str, limit: int) -> str:
    # A message may quote what the client sent, lone surrogates included; those have no UTF-8.
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
