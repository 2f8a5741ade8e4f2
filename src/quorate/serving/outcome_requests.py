"""The body of a request that reports outcomes: one of them, a list, or lines of NDJSON, any number of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput, Overloaded, QuorateError, TooLarge
from quorate.serving.bulk.feed import Feed
from quorate.serving.bulk.ndjson import Lines
from quorate.serving.meters import Meters
from quorate.serving.outcomes import OutcomeDesk
from quorate.web import json

NDJSON = "application/x-ndjson"
AT_ONCE = 1000
LISTED = 10_000
"""Rejected lines that an answer names; more are only counted."""

_RESULTS = ("accepted", "duplicate", "pending")
_object = msgspec.json.Decoder(dict[str, Any])


async def take(desk: OutcomeDesk, meters: Meters, body: bytes, limits: Limits) -> dict[str, Any]:
    """Hand outcomes to the desk and count what became of them; its answer.

    Raises client errors about the body as a whole, and about an outcome that came alone.
    """
    items = json.decode(body, depth=limits.json_depth)
    alone = isinstance(items, dict)
    if alone:
        items = [items]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput("The body is an outcome object or a list of them.", path="body")
    if not items:
        raise InvalidInput("The list of outcomes is empty; send at least one.", path="body")
    if len(items) > limits.rows:
        raise TooLarge(
            f"The request has {len(items)} outcomes; at most {limits.rows} (limits.rows) are taken. Send parts, or "
            f"lines as {NDJSON}.",
            path="body",
        )
    taken = await desk.accept(items)
    _count(meters, taken)
    if alone and taken["rejected"]:
        (wrong,) = taken["rejected"]
        raise InvalidInput(wrong["detail"], path=(wrong["path"] or "").removeprefix("[0]").lstrip(".") or "body")
    return taken


async def take_lines(
    desk: OutcomeDesk, meters: Meters, source: AsyncIterator[bytes], encoding: bytes | None, limits: Limits
) -> dict[str, Any]:
    """Hand outcomes to the desk as their lines come, in constant memory; the answer is that of one list of all of them.

    ``index`` counts lines that are not blank, from 0. A line that is no outcome is rejected alone. At most ``LISTED``
    rejected ones are named, ``more_rejected`` counts the others. Raises client errors about the body as a whole, and
    :class:`Overloaded`, after which all may be sent again: what was taken is a duplicate then.
    """
    feed = Feed(source, total=limits.batch_bytes, encoding=encoding)
    total: dict[str, Any] = {**dict.fromkeys(_RESULTS, 0), "rejected": [], "more_rejected": 0}
    lines, waiting, first = Lines(limits.body_bytes), list[bytes | None](), 0
    try:
        while True:
            piece = await feed.get()
            waiting += lines.end() if piece is None else lines.push(piece)
            while len(waiting) >= AT_ONCE or (piece is None and waiting):
                some, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
                _add(total, await _part(desk, meters, some, first, limits))
                first += len(some)
            if piece is None:
                break
    except Overloaded as error:
        raise Overloaded(
            f"{error.message.rstrip('.')}; {first} lines were taken before. Send all of them again.",
            retry_after=error.retry_after,
        ) from None
    finally:
        await feed.close()
    if not first:
        raise InvalidInput("There is no outcome in the body; send a line for each.", path="body")
    return total


async def _part(
    desk: OutcomeDesk, meters: Meters, lines: list[bytes | None], first: int, limits: Limits
) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    numbers: list[int] = []
    rejected: list[dict[str, Any]] = []
    for number, line in enumerate(lines, first):
        try:
            if line is None:
                raise TooLarge(f"The line has more than {limits.body_bytes} bytes (limits.body_bytes).", path=None)
            items.append(json.decode(line, depth=limits.json_depth, decoder=_object))
            numbers.append(number)
        except QuorateError as error:
            told = {"index": number, "code": error.code, "detail": error.message, "path": f"[{number}]"}
            rejected.append(told)
    taken = await desk.accept(items)
    for each in taken["rejected"]:
        number = numbers[each["index"]]
        path = (each["path"] or "").replace(f"[{each['index']}]", f"[{number}]", 1)
        rejected.append(each | {"index": number, "path": path})
    taken["rejected"] = sorted(rejected, key=lambda each: int(each["index"]))
    _count(meters, taken)
    return taken


def _add(total: dict[str, Any], taken: dict[str, Any]) -> None:
    for result in _RESULTS:
        total[result] += taken[result]
    room = LISTED - len(total["rejected"])
    total["rejected"] += taken["rejected"][:room]
    total["more_rejected"] += len(taken["rejected"][room:])


def _count(meters: Meters, taken: dict[str, Any]) -> None:
    for result in _RESULTS:
        meters.outcomes(result, taken[result])
    meters.outcomes("rejected", len(taken["rejected"]))
