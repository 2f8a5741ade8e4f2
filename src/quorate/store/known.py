"""What is known of one metric, in bulk: every joined outcome of a stretch of time, as arrays, in the order of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.store import ledger
from quorate.store.database import metadata

ROWS = 65_536
_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[list(b"0123456789abcdef")] = np.arange(16)
_PLACES = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])  # of the digits in an id
_END = "g"  # sorts after every digit


class Known(NamedTuple):
    """Outcomes ``[n]``, ascending in (decision, row), one for each: the parts of the decision's id, the row, and the
    ``value``, or the place of the ``label`` in the table of labels (-1: it is a number)."""

    slot: NDArray[np.int64]
    boot: NDArray[np.int64]
    sequence: NDArray[np.int64]
    row: NDArray[np.int64]
    label: NDArray[np.int32]
    value: NDArray[np.float64]


def known(
    connection: sa.Connection,
    metric: str,
    labels: dict[str, int],
    precedence: Sequence[str],
    *,
    since: float | None = None,
    until: float | None = None,
) -> Iterator[Known]:
    """Joined outcomes of decisions made from ``since`` to ``until`` (Unix seconds), some ten thousand at a time.

    Of several sources for a row the first in ``precedence`` counts, then others by name. ``labels`` grows by the labels
    that come up.
    """
    table = metadata.tables["outcomes"]
    columns = [table.c[name] for name in ("decision", "row", "source", "label", "value")]
    # Nearly all are joined: the index of states would only bring them out of order, so it is kept out of this.
    joined = table.c.state.concat("") == ledger.JOINED
    wanted = sa.select(*columns).where(table.c.metric == metric, joined)
    if since is not None:
        wanted = wanted.where(table.c.decision >= _prefix(since))
    if until is not None:
        wanted = wanted.where(table.c.decision <= _prefix(until) + _END)
    wanted = wanted.order_by(table.c.decision, table.c.row)
    ranks = {source: rank for rank, source in enumerate(precedence)}
    held: list[tuple[Any, ...]] = []
    for some in _fetched(connection, wanted):
        rows = [*held, *some] if held else list(some)
        last = rows[-1][0]
        cut = len(rows)
        while cut and rows[cut - 1][0] == last:  # of the last decision more may come
            cut -= 1
        held = rows[cut:]
        if cut:
            yield _arrays(rows[:cut], labels, ranks)
    if held:
        yield _arrays(held, labels, ranks)


def _fetched(connection: sa.Connection, wanted: sa.Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows, some at a time, never all of them in memory."""
    if connection.dialect.name != "sqlite":
        yield from connection.execution_options(yield_per=ROWS).execute(wanted).partitions()
        return
    # The driver's own rows: to make others of them would take as long as to fetch them.
    result = connection.execute(wanted)
    while result.cursor is not None and (some := result.cursor.fetchmany(ROWS)):
        yield some


def _prefix(moment: float) -> str:
    """What ids of that millisecond begin with."""
    text = f"{max(int(moment * 1000), 0):012x}"
    return f"{text[:8]}-{text[8:]}"


def _arrays(rows: Sequence[tuple[Any, ...]], labels: dict[str, int], ranks: dict[str, int]) -> Known:
    decisions, numbers, sources, texts, values = zip(*rows, strict=True)
    slot, boot, sequence = _parts(decisions)
    row = np.array(numbers, np.int64)
    coded = np.array([-1 if text is None else labels.setdefault(text, len(labels)) for text in texts], np.int32)
    found = Known(slot, boot, sequence, row, coded, np.array(values, np.float64))
    first = np.ones(len(row), bool)
    first[1:] = np.diff(row) != 0
    first[1:] |= (np.diff(sequence) != 0) | (np.diff(slot) != 0) | (np.diff(boot) != 0)
    if first.all():
        return found
    # Several sources for a row: they are neighbours, and the first by precedence is kept.
    starts = np.flatnonzero(first)
    kept = [
        min(range(start, stop), key=lambda i: (ranks.get(sources[i], len(ranks)), sources[i]))
        for start, stop in zip(starts, [*starts[1:], len(row)], strict=True)
    ]
    return Known._make(column[kept] for column in found)


def _parts(decisions: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Slot, boot and sequence of ids, as :class:`~quorate.ids.DecisionId` has them."""
    text = np.frombuffer("".join(decisions).encode(), np.uint8).reshape(-1, 36)
    digits = _DIGITS[text[:, _PLACES]].astype(np.int64)

    def number(start: int, stop: int) -> NDArray[np.int64]:
        found = np.zeros(len(digits), np.int64)
        for place in range(start, stop):
            found = found << 4 | digits[:, place]
        return found

    # 48 bits of time, 4 of version, 12 of slot, 2 of variant, 22 of boot, 40 of sequence
    return number(13, 16), number(16, 22) & (1 << 22) - 1, number(22, 32)
