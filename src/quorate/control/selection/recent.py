"""Rows of the newest decisions that a strategy can be asked about: what its members said, what they looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs.decision import Packed
from quorate.codecs.lookup import JournalReader
from quorate.codecs.newest import newest
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.revisions.publication import routes_of
from quorate.core.erasing import is_erased
from quorate.core.types import FloatArray, Scalar, Status, StatusArray
from quorate.errors import NotFound
from quorate.store.revisions import revision

SKIPPED = int(Status.SKIPPED)
ROWS = 2000
"""Rows that are looked at, at most."""
LOOKED = 20_000
"""Decisions that are read for them, of all endpoints."""
OTHER_MEMBERS, NOT_RECORDED, NO_FEATURES = "other_members", "not_recorded", "no_features"
NOT_ASKED, NOT_SERVED, ERASED = "not_asked", "not_served", "erased"
"""Why rows are left out: they were answered by other versions of the members; the outputs, or the features, were not
recorded; a member was not asked; another strategy answered; their subject was erased."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of ``decisions`` decisions, made from ``since`` to ``until`` (Unix seconds, None without any).

    ``outputs`` float32 ``[n, m, k]`` and ``status`` int8 ``[n, m]`` are of all members of the pool, ``answer`` float32
    ``[n, k]`` is what was served (NaN where nothing was), ``features`` float32 ``[n, d]`` are there where the strategy
    looks at them, ``contexts`` are what callers sent. ``left_out`` counts other rows by why not.
    """

    decisions: int
    since: float | None
    until: float | None
    outputs: FloatArray
    status: StatusArray
    answer: FloatArray
    features: FloatArray | None
    contexts: tuple[Mapping[str, Scalar], ...]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.outputs)


def recent(
    connection: sa.Connection,
    reader: JournalReader,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    strategy: StrategyRoute,
    *,
    width: int,
    staged: bool,
) -> Rows:
    """The newest :data:`ROWS` rows; ``width`` features where the strategy looks at some.

    With ``staged`` only what the strategy itself answered tells whom it asked; else all rows of which every member of
    it was asked, whoever answered.
    """
    same = _SameMembers(connection, endpoint.name, pool, strategy)
    columns = [[member.name for member in pool.members].index(name) for name in strategy.members]
    found, left, n = list[tuple[Packed, NDArray[np.intp]]](), Counter[str](), 0
    for d in newest(reader, endpoint.name, looked=LOOKED):
        why = _why_not(d, same, strategy.name, width, staged=staged)
        if why is not None:
            left[why] += d.rows
            continue
        asked = np.frombuffer(d.status, "i1").reshape(d.shape[:2])[:, columns] != SKIPPED
        rows = np.flatnonzero(asked.any(axis=1) if staged else asked.all(axis=1))[: ROWS - n]
        if not len(rows):
            left[NOT_ASKED] += d.rows
            continue
        found.append((d, rows))
        n += len(rows)
        if n >= ROWS:
            break
    return _rows(found, len(pool.members), pool.signature.output.width, width, left)


def _why_not(d: Packed, same: _SameMembers, strategy: str, width: int, *, staged: bool) -> str | None:
    if is_erased(d.capture):
        return ERASED
    if staged and msgspec.msgpack.decode(d.served) != strategy:
        return NOT_SERVED
    if not same.under(d.revision):
        return OTHER_MEMBERS
    if not d.shape[0] or not d.shape[2] or d.shape[1] != same.count:
        return NOT_RECORDED
    if width and (d.features is None or d.features[0] != width):
        return NO_FEATURES
    return None


class _SameMembers:
    """Whether the members of a strategy were the same under earlier revisions; each is looked up once."""

    def __init__(self, connection: sa.Connection, endpoint: str, pool: PoolRoute, strategy: StrategyRoute) -> None:
        self._connection, self._endpoint, self._names = connection, endpoint, strategy.members
        self._now = self._digests(pool)
        self._order = [member.name for member in pool.members]
        self._known: dict[int, bool] = {}
        self.count = len(self._order)

    def under(self, number: int) -> bool:
        if number not in self._known:
            self._known[number] = self._same(number)
        return self._known[number]

    def _same(self, number: int) -> bool:
        try:
            _, pool = routes_of(revision(self._connection, self._endpoint, number))
        except (NotFound, msgspec.DecodeError):
            return False
        return self._digests(pool) == self._now and [member.name for member in pool.members] == self._order

    def _digests(self, pool: PoolRoute) -> dict[str, str]:
        return {member.name: member.digest for member in pool.members if member.name in self._names}


def _rows(found: list[tuple[Packed, NDArray[np.intp]]], m: int, k: int, width: int, left: Mapping[str, int]) -> Rows:
    outputs, status = [np.empty((0, m, k), np.float32)], [np.empty((0, m), np.int8)]
    answers, features = [np.empty((0, k), np.float32)], [np.empty((0, width), np.float32)]
    contexts: list[Mapping[str, Scalar]] = []
    for d, rows in found:
        outputs.append(np.frombuffer(d.outputs, "<f4").reshape(d.shape)[rows])
        status.append(np.frombuffer(d.status, "i1").reshape(d.shape[:2])[rows])
        answer = d.answered()
        fits = answer is not None and answer.shape == (d.rows, k)
        answers.append(answer[rows] if fits and answer is not None else np.full((len(rows), k), np.nan, np.float32))
        if width and d.features is not None:
            features.append(np.frombuffer(d.features[1], "<f4").reshape(-1, width)[rows])
        contexts += [d.context] * len(rows)
    times = [d.arrived for d, _ in found]
    return Rows(
        len(found),
        min(times, default=None),
        max(times, default=None),
        np.concatenate(outputs),
        np.concatenate(status),
        np.concatenate(answers),
        np.concatenate(features) if width else None,
        tuple(contexts),
        dict(left),
    )
