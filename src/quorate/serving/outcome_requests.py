"""The body of a request that reports outcomes: one of them, or a list."""

from __future__ import annotations

from typing import Any

from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput, TooLarge
from quorate.serving.meters import Meters
from quorate.serving.outcomes import OutcomeDesk
from quorate.web import json


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
            f"The request has {len(items)} outcomes; at most {limits.rows} (limits.rows) are taken.", path="body"
        )
    taken = await desk.accept(items)
    for result in ("accepted", "duplicate", "pending"):
        meters.outcomes(result, taken[result])
    meters.outcomes("rejected", len(taken["rejected"]))
    if alone and taken["rejected"]:
        (wrong,) = taken["rejected"]
        raise InvalidInput(wrong["detail"], path=(wrong["path"] or "").removeprefix("[0]").lstrip(".") or "body")
    return taken
