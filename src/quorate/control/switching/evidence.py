"""What the ledger knows of a window: traffic, and sums of what answers turned out to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

from quorate.control.report import CALLER
from quorate.control.switching.estimates import Sums
from quorate.control.switching.windows import Window
from quorate.store import ledger
from quorate.store.ledger import Tally

ACCURACY, ERROR = "accuracy", "absolute_error"
_NAMES = {"truth.scores": ACCURACY, "truth.values": ERROR}
_REWARD = "reward."


class By(NamedTuple):
    """What evidence is kept by: the revision that answered, and the strategy that was assigned."""

    revision: int
    strategy: str


Wanted = Callable[[int], bool]
"""Whether a revision counts."""


def traffic(connection: sa.Connection, endpoint: str, window: Window, wanted: Wanted) -> dict[By, Tally]:
    """Requests of a window that the policy assigned; what callers chose is no evidence for it."""
    found: dict[By, Tally] = defaultdict(Tally)
    for key, tally in ledger.traffic(connection, endpoint, window.first):
        if key.minute >= window.end:
            break
        if key.source != CALLER and wanted(key.revision):
            found[By(key.revision, key.strategy)].merge(tally)
    return found


def first_minute(connection: sa.Connection, endpoint: str) -> int | None:
    """The first minute with traffic; None without any."""
    query = sa.text("SELECT min(minute) FROM traffic WHERE endpoint = :endpoint")
    found: int | None = connection.scalar(query, {"endpoint": endpoint})
    return found


def judged(connection: sa.Connection, endpoint: str, window: Window, wanted: Wanted) -> dict[str, dict[By, Sums]]:
    """What answers of a window turned out to be, by metric: ``accuracy``, ``absolute_error``, ``value``, and rewards by
    name."""
    found: dict[str, dict[By, Sums]] = defaultdict(dict)
    for metric, by, sums in _rows(connection, endpoint, window):
        if not wanted(by.revision):
            continue
        name = _NAMES.get(metric, metric.removeprefix(_REWARD))
        if name == ACCURACY:
            sums = sums._replace(  # the ledger counts wrong answers
                total=sums.rows - sums.total,
                squares=sums.row_squares - 2 * sums.cross + sums.squares,
                cross=sums.row_squares - sums.cross,
            )
        found[name][by] = sums.plus(found[name].get(by, Sums()))
    return found


_MEASURED = """
SELECT metric, revision, strategy, sum(decisions), sum(rows), sum(row_squares), sum(total), sum(squares), sum(products)
FROM measured
WHERE endpoint = :endpoint AND minute >= :first AND minute < :end AND source <> :caller
GROUP BY metric, revision, strategy"""


def _rows(connection: sa.Connection, endpoint: str, window: Window) -> Iterator[tuple[str, By, Sums]]:
    values = {"endpoint": endpoint, "first": window.first, "end": window.end, "caller": CALLER}
    for row in connection.execute(sa.text(_MEASURED), values):
        sums = Sums(int(row[3]), int(row[4]), int(row[5]), *map(float, row[6:]))
        yield row[0], By(row[1], row[2]), sums
