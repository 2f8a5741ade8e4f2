"""What can go wrong between a client and a server, and how a reply becomes such an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quorate.errors import QuorateError

_SHOWN = 200


class QuorateClientError(QuorateError):
    """Base of what the client raises about a request that left it.

    ``status`` is the HTTP status (None: no reply came), ``code`` the problem's stable code, ``path`` the field that is
    wrong, ``message`` the sentence to show, ``request_id`` what to look for in the server's log, ``retry_after``
    seconds where the server said so. What is wrong before anything is sent (a missing file, NaN) is a
    :class:`~quorate.errors.InvalidInput` instead.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "internal",
        path: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class RequestRefused(QuorateClientError):
    """The request is wrong, or not allowed (4xx); sending it again changes nothing."""


class Shed(QuorateClientError):
    """The server refuses on purpose to protect the rest (429), still so after the retries."""


class ServerUnavailable(QuorateClientError):
    """No connection, no reply in time, or a server that starts or drains (502, 503), still so after the retries."""


class ServerFailed(QuorateClientError):
    """The server could not answer this request (500; 504 ``no_quorum``), or the reply makes no sense."""


def of_reply(status: int, headers: Mapping[str, str], body: bytes) -> QuorateClientError:
    """The error that a reply with a status other than 2xx means; ``headers`` have lower-case names."""
    problem = _problem(body)
    detail = problem.get("detail") or problem.get("error")
    code = problem.get("code")
    path = problem.get("path")
    request_id = problem.get("request_id") or headers.get("x-request-id")
    return _kind(status)(
        detail if isinstance(detail, str) and detail else _foreign(status, body),
        status=status,
        code=code if isinstance(code, str) else f"http_{status}",
        path=path if isinstance(path, str) else None,
        request_id=request_id if isinstance(request_id, str) else None,
        retry_after=_seconds(headers.get("retry-after")),
    )


def _kind(status: int) -> type[QuorateClientError]:
    if status == 429:
        return Shed
    if status in (502, 503):
        return ServerUnavailable
    return RequestRefused if 400 <= status < 500 else ServerFailed


def _problem(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _foreign(status: int, body: bytes) -> str:
    text = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    said = f" and the text '{text}'" if text else ""
    return f"The reply has status {status}{said}, which is no answer of Quorate; check the URL and what is in between."


def _seconds(text: str | None) -> float | None:
    # A date is allowed too (RFC 9110), but Quorate sends seconds, and other clocks are no friends of ours.
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
