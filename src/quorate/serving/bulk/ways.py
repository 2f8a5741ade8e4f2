"""Where the rows of a batch go: to the endpoint that was named, or each by itself where a front sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quorate.core.types import NOTHING, Scalar
from quorate.serving.bulk.parts import Part
from quorate.serving.plane import Plane

AT_ONCE = 64
"""Rows looked at before others have a turn of the event loop."""


class Way(NamedTuple):
    """The endpoint that rows go to, and what is recorded of how they came there: nothing without a front."""

    endpoint: str
    facts: Mapping[str, Scalar] = NOTHING


async def ways(
    plane: Plane, name: str, part: Part, indices: Sequence[int], context: Mapping[str, Scalar]
) -> list[tuple[Way, list[int]]]:
    """Some rows of a part by where they go; in order of the first that goes there.

    A front sees each row as a request of one row: what is in its neighbours, and how many there are, changes nothing.
    """
    if plane.generation.fronts.get(name) is None:
        return [(Way(name), list(indices))]
    found: dict[tuple[str, tuple[Scalar, ...]], tuple[Way, list[int]]] = {}
    for count, index in enumerate(indices, 1):
        with plane.pinned():
            front = plane.generation.fronts.get(name)
            if front is None:  # it became something else meanwhile
                return [(Way(name), list(indices))]
            seen = part.seen(index, plane.clock.now(), plane.generation.limits)
            sent = await plane.way(front, seen._replace(context={**context, **part.context}))
        key = (sent.endpoint.name, tuple(sent.facts.values()))
        found.setdefault(key, (Way(sent.endpoint.name, sent.facts), []))[1].append(index)
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)
    return list(found.values())
