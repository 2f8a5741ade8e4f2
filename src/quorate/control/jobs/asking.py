"""One piece of a job as one request to the inference port: plain HTTP of the standard library, in a thread."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from quorate.codecs.batch import NDJSON, Row
from quorate.control.jobs.inputs import Piece

TIMEOUT_S = 120.0
OPTIONS = ("strategy", "max_ms", "min_confidence", "coverage")
"""What is asked of all rows of a job, beside its context."""

_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_ROWS_AGAIN = frozenset({"overloaded", "not_ready"})
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Refused(Exception):
    """The port refuses what this job asks; asking again changes nothing."""


class NotNow(Exception):
    """No whole answer came; asking again may help."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where a job asks, and with which key (None: none is needed)."""

    url: str
    key: str | None

    def ask(self, endpoint: str, asked: Mapping[str, Any], piece: Piece, *, request_id: str) -> list[Row]:
        """The rows of a piece, numbered from 0; :class:`Refused` or :class:`NotNow` where there are none."""
        if piece.fault is not None:
            return [{"row": 0, "error": {"code": "too_large", "detail": piece.fault, "path": "instance"}}]
        try:
            status, body = self._send(endpoint, asked, piece, request_id)
        except (OSError, http.client.HTTPException) as error:
            raise NotNow(f"the inference port did not answer ({error})") from None
        if status != 200:
            said = _detail(body)
            raise (NotNow if status in _AGAIN else Refused)(said or f"the inference port answered {status}")
        return _rows(body)

    def _send(self, endpoint: str, asked: Mapping[str, Any], piece: Piece, request_id: str) -> tuple[int, bytes]:
        where = urlsplit(self.url)
        query = {name: asked[name] for name in OPTIONS if asked.get(name) is not None}
        query |= {f"context.{key}": value for key, value in (asked.get("context") or {}).items()}
        headers = {"content-type": piece.media_type, "accept": NDJSON, "x-request-id": request_id}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port or 80, timeout=TIMEOUT_S)
        try:
            path = f"/v1/endpoints/{quote(endpoint, safe='')}/batch"
            connection.request("POST", f"{path}?{urlencode(query)}" if query else path, piece.body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class Asked(threading.Thread):
    """A piece under way; a daemon, so that no request holds the exit up."""

    def __init__(self, port: Port, endpoint: str, asked: Mapping[str, Any], piece: Piece, request_id: str) -> None:
        super().__init__(name="job-piece", daemon=True)
        self.piece = piece
        self._ask = partial(port.ask, endpoint, asked, piece, request_id=request_id)
        self._rows: list[Row] = []
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Ask."""
        try:
            self._rows = self._ask()
        except Exception as error:
            self._error = error

    def result(self) -> list[Row]:
        """The rows, once they are there; raises what asking raised."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._rows


def _rows(body: bytes) -> list[Row]:
    """An answer's rows; one that is not whole, or has rows that were shed, is none at all: none is told twice."""
    lines = body.splitlines()
    try:
        rows = [_decode(line) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotNow("the answer ended in the middle") from None
    summary = rows.pop()["summary"] if rows and "summary" in rows[-1] else None
    if summary is None:
        raise NotNow("the answer ended in the middle")
    if not summary["complete"]:
        error = summary.get("error", {})
        kind = NotNow if error.get("code") in ("not_ready", "overloaded", "internal") else Refused
        raise kind(error.get("detail", "the answer is not complete"))
    shed = next((row["error"] for row in rows if row.get("error", {}).get("code") in _ROWS_AGAIN), None)
    if shed is not None:
        raise NotNow(shed["detail"])
    return rows


def _detail(body: bytes) -> str | None:
    try:
        found = json.loads(body).get("detail")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
