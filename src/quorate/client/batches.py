"""Batches as a client sends them: rows as lines, in parts that any worker reads whole before it is heard."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from quorate.client.answers import Answer, Prediction, parsed
from quorate.client.errors import QuorateClientError
from quorate.client.inputs import image_bytes, rows_list, to_json
from quorate.client.requests import Options, Request
from quorate.client.retries import Reply
from quorate.errors import InvalidInput, QuorateError

if TYPE_CHECKING:
    from quorate.client.inputs import Image, Rows

NDJSON = "application/x-ndjson"
PART_BYTES = 512 * 1024
"""Below the mebibyte that a worker reads ahead, so that sending never waits for an answer to be read."""

PART_ROWS = 4096
_LATER = frozenset({"not_ready", "overloaded"})


class RowError(QuorateClientError):
    """The server could not answer this row; the others are not affected."""


@dataclasses.dataclass(frozen=True, slots=True)
class BatchRow:
    """One result of ``batch``: ``row`` is its number in the input, and either ``prediction`` or ``error`` is set.

    Outcomes are told about ``decision`` and ``decision_row``. ``strategy`` and ``degraded`` are None where blind.
    ``endpoint`` is who answered, where a front was asked.
    """

    row: int
    prediction: Prediction | None = None
    error: QuorateError | None = None
    decision: str | None = None
    decision_row: int | None = None
    revision: int | None = None
    strategy: str | None = None
    degraded: bool | None = None
    endpoint: str | None = None

    @property
    def label(self) -> str | None:
        """The prediction's label."""
        return None if self.prediction is None else self.prediction.label

    def answer(self, endpoint: str) -> Answer | None:
        """This row as an answer of its own."""
        if self.prediction is None or self.decision is None:
            return None
        return Answer(
            self.decision, self.endpoint or endpoint, (self.prediction,), strategy=self.strategy, degraded=self.degraded
        )


class _Error(msgspec.Struct):
    code: str
    detail: str
    path: str | None = None


class _Line(msgspec.Struct):
    row: int
    prediction: Prediction | None = None
    error: _Error | None = None
    decision: str | None = None
    decision_row: int | None = None
    revision: int | None = None
    strategy: str | None = None
    degraded: bool | None = None
    endpoint: str | None = None


class _Summary(msgspec.Struct):
    complete: bool
    error: _Error | None = None


class _Last(msgspec.Struct):
    summary: _Summary


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Rows of one request; ``lines`` are those that can be sent, ``errors`` the others, by their place among all."""

    first: int
    count: int
    lines: Sequence[bytes]
    errors: Mapping[int, QuorateError]

    def rows(self, answered: Sequence[bytes]) -> list[BatchRow]:
        """The part's results, in order, from the lines of a whole answer."""
        sent = iter(answered)
        found: list[BatchRow] = []
        for i in range(self.count):
            if i in self.errors:
                found.append(BatchRow(self.first + i, error=self.errors[i]))
                continue
            line = parsed(next(sent, b""), _Line)
            error = line.error and RowError(line.error.detail, code=line.error.code, path=line.error.path)
            values = {name: getattr(line, name) for name in _Line.__struct_fields__}
            found.append(BatchRow(**{**values, "row": self.first + i, "error": error}))
        return found


def parts(rows: Rows | None, images: Iterable[Image] | None, context: Mapping[str, Any] | None) -> Iterator[Part]:
    """Cut any number of rows into parts; only one part is held."""
    if (rows is None) == (images is None):
        raise InvalidInput("Give either rows or images.", path="rows")
    lines: list[bytes] = []
    errors: dict[int, QuorateError] = {}
    first = count = size = 0
    for found in _lines(rows, images, context):
        if isinstance(found, QuorateError):
            errors[count] = found
        else:
            if lines and size + len(found) > PART_BYTES:
                yield Part(first, count, lines, errors)
                first, count, size, lines, errors = first + count, 0, 0, [], {}
            lines.append(found)
            size += len(found)
        count += 1
        if count >= PART_ROWS:
            yield Part(first, count, lines, errors)
            first, count, size, lines, errors = first + count, 0, 0, [], {}
    if count:
        yield Part(first, count, lines, errors)


def request(endpoint: str, options: Options, part: Part) -> Request:
    """A part as a request; the context is in its rows, where it keeps its types and is not logged with the URL."""
    query = urlencode(options.asked())
    path = f"/v1/endpoints/{quote(endpoint, safe='')}/batch"
    headers = {"content-type": NDJSON, "accept": NDJSON}
    return Request("POST", f"{path}?{query}" if query else path, headers, b"\n".join(part.lines))


def judged(request: Request, reply: Reply) -> Reply:
    """A batch's answer that is not whole, as the problem it is; any other reply as it is."""
    if request.headers.get("accept") != NDJSON or reply.status != 200:
        return reply
    last = reply.body.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        summary = msgspec.json.decode(last, type=_Last).summary
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _problem(503, "The answer of a batch ended in the middle.", "bad_reply")
    if summary.complete:
        return reply
    error = summary.error or _Error("internal", "The batch was not answered to its end.")
    status = 503 if error.code in _LATER else 500 if error.code == "internal" else 422
    return _problem(status, error.detail, error.code)


def _problem(status: int, detail: str, code: str) -> Reply:
    return Reply(status, {}, msgspec.json.encode({"detail": detail, "code": code}))


def _lines(
    rows: Rows | None, images: Iterable[Image] | None, context: Mapping[str, Any] | None
) -> Iterator[bytes | QuorateError]:
    more = {"context": dict(context)} if context else {}
    for number, row in enumerate(_each(rows) if rows is not None else images or ()):
        try:
            if images is not None:
                data = image_bytes(row, path=f"images[{number}]")
                row = {"b64": base64.b64encode(data).decode()}
            yield to_json({"instance": row, **more})
        except InvalidInput as error:
            yield error


def _each(rows: Rows) -> Iterable[Any]:
    """Rows one by one; only a frame or an array, which is in memory anyway, is taken as a whole."""
    whole = hasattr(rows, "columns") or hasattr(rows, "tolist") or isinstance(rows, str | bytes | Mapping)
    return rows_list(rows) if whole or not isinstance(rows, Iterable) else rows
