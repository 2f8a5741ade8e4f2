"""What combiners were taught, on record: so that a replay can make every version of what they knew again.

A version of an endpoint's learned state is one step (:mod:`quorate.store.lessons`), written in its transaction. Lessons
name rows of decisions, whose outputs are in the journal; so the record is a few bytes a lesson.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping, Sequence, Set
from typing import Protocol

import sqlalchemy as sa

from quorate.codecs import learned
from quorate.codecs import lessons as codec
from quorate.codecs.decision import Summary
from quorate.codecs.learned import Known, Learned
from quorate.control.learning.combining import Combining, evenly, truths
from quorate.control.outcomes.joined import Joined
from quorate.core.erasing import is_erased
from quorate.ids import DecisionId
from quorate.store import lessons
from quorate.store.learners import StoredLearner
from quorate.store.lessons import FOUND, OTHER, SEEN, TAUGHT, Step

log = logging.getLogger("quorate.control")

EVERY = 512
"""Of so many versions one has its state on record: from there a replay begins, and what was lost before ends."""
_FOLLOW = (TAUGHT, SEEN, OTHER)
_LEVEL = 1
_MARGIN_S = 60.0
"""A version may be older by the clock than a decision that taught it, where the clock was set back a little."""


class Taught(Protocol):
    """An endpoint whose combiners learn, as :class:`~quorate.control.learning.learner.Learning` is."""

    name: str

    @property
    def combiners(self) -> tuple[Combining, ...]:
        """The combiners that learn."""

    def known(self, stored: StoredLearner | None) -> Mapping[str, Known]:
        """What they have learned, by strategy."""


class Lessons:
    """Rows of joined decisions that teach, whichever strategy of the endpoint: gathered over revisions, in order."""

    def __init__(self) -> None:
        self.decisions: list[str] = []
        self.rows: list[int] = []
        self.truths: list[float] = []

    def add(self, joined: Sequence[Joined]) -> None:
        """Rows of these whose truth is new, and whose outputs are on record."""
        for each in joined:
            d = each.decision
            if d.shape[2] and not is_erased(d.capture):
                for row, truth in truths(each):
                    self.decisions.append(d.id)
                    self.rows.append(row)
                    self.truths.append(truth)


def taught(
    connection: sa.Connection, learning: Taught, before: StoredLearner, after: StoredLearner, rows: Lessons | None
) -> None:
    """Record that ``after`` follows from ``before`` by these lessons; without any, combiners know what they knew."""
    if rows is None or not rows.rows:
        _record(connection, learning, before, after, OTHER)
        return
    body = codec.pack(rows.decisions, rows.rows, rows.truths)
    _record(connection, learning, before, after, TAUGHT, body, len(rows.rows))


def seen(
    connection: sa.Connection,
    learning: Taught,
    before: StoredLearner,
    after: StoredLearner,
    decided: Sequence[Summary],
) -> None:
    """Record that ``after`` follows from ``before`` by looking at decisions of one revision."""
    ids = [each.id for each in evenly(decided)]
    _record(connection, learning, before, after, SEEN, codec.pack(ids), len(ids))


def began(connection: sa.Connection, learning: Taught, after: StoredLearner, kind: str) -> None:
    """Record a version that does not follow from the one before; ``kind`` says why."""
    _record(connection, learning, None, after, kind)


def _record(
    connection: sa.Connection,
    learning: Taught,
    before: StoredLearner | None,
    after: StoredLearner,
    kind: str,
    body: bytes = b"",
    rows: int = 0,
) -> None:
    if not learning.combiners:
        return
    if before is not None and lessons.last(connection, learning.name) != before.version:
        _put(connection, learning, before, FOUND)  # learned by a release that kept no record
    _put(connection, learning, after, kind, body, rows)
    if after.version % EVERY == 0:
        gone = lessons.bound(connection, learning.name)
        if gone:
            log.warning(
                "The record of what '%s' was taught is full: %d versions of its learned state can no longer be "
                "replayed; newer ones can.",
                learning.name,
                gone,
            )


def _put(
    connection: sa.Connection, learning: Taught, stored: StoredLearner, kind: str, body: bytes = b"", rows: int = 0
) -> None:
    whole = kind not in _FOLLOW or stored.version % EVERY == 0
    step = Step(learning.name, stored.version, stored.updated, kind, rows, body=body)
    if whole:
        names = {each.name: each.key for each in learning.combiners}
        known = {name: each for name, each in learning.known(stored).items() if name in names}
        step = step._replace(strategies=json.dumps(names), state=pack_states(learning.name, stored.version, known))
    lessons.put(connection, step)


def pack_states(endpoint: str, version: int, known: Mapping[str, Known]) -> bytes:
    """What combiners know, by strategy, as bytes."""
    return zlib.compress(learned.pack(Learned(endpoint, "", version, learned.NOTHING, known)), _LEVEL)


def unpack_states(data: bytes) -> Mapping[str, Known]:
    """What :func:`pack_states` was given."""
    return learned.unpack(zlib.decompress(data), "A state in the record of lessons").combiners


def forget(connection: sa.Connection, endpoint: str, decisions: Set[str], *, dry_run: bool = False) -> int:
    """Take what decisions taught out of an endpoint's record; how many rows that is, or with ``dry_run`` would be."""
    if not decisions:
        return 0
    oldest = min(DecisionId.parse(id_).milliseconds for id_ in decisions) / 1000 - _MARGIN_S
    count, gone = 0, frozenset(decisions)
    for step in lessons.taught_since(connection, endpoint, oldest):
        before = codec.unpack(step.body)
        if gone.isdisjoint(before.decisions):
            continue
        after = before.without(gone)
        lost = len(before.decisions) - len(after.decisions)
        count += lost
        if not dry_run:
            body = codec.pack(after.decisions, after.rows.tolist(), after.truths.tolist())
            lessons.erase(connection, step, body, len(after.rows), lost)
    return count
