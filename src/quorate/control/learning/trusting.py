"""What is kept of combiners that learn, as time goes by: whom they trusted, and what everybody had lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from quorate.codecs.learned import Known
from quorate.control.learning.combining import Combining, Lesson
from quorate.core.types import State
from quorate.store import experts
from quorate.store.experts import Point
from quorate.store.learners import StoredLearner


def point(each: Combining, state: State | None, now: float) -> Point | None:
    """What the combiner of a strategy knows at Unix time ``now``; None where it tells of no experts."""
    told = each.combiner.told(each.members, state)
    if not told.trust:
        return None
    own = told.own if math.isfinite(told.own) else None
    return Point(now, told.rows, own, told.certificate, dict(told.trust), dict(told.losses))


def history(connection: sa.Connection, each: Combining, state: State | None, stored: StoredLearner) -> list[Point]:
    """The points of one combiner, the oldest first; the last is what it knows now. None before it has learned."""
    now = point(each, state, stored.updated)
    if now is None:
        return []
    past = experts.points(connection, stored.endpoint, each.name, each.key)
    return past if past and past[-1].rows == now.rows else [*past, now]


def moved(
    combining: Iterable[Combining], known: Mapping[str, Known], lessons: Mapping[str, Sequence[Lesson]], now: float
) -> list[tuple[Combining, Point]]:
    """The points of those that have just learned."""
    found = ((each, point(each, each.state(known), now)) for each in combining if lessons.get(each.name))
    return [(each, made) for each, made in found if made is not None]


def keep(connection: sa.Connection, endpoint: str, found: Iterable[tuple[Combining, Point]]) -> None:
    """Keep points, in the transaction in which was learned."""
    for each, made in found:
        experts.put(connection, endpoint, each.name, each.key, made)
