"""What ingest hands on after it has joined outcomes with their decisions: the one place for learners to listen.

``Ingest`` calls its listener's ``learn(connection, joined)`` in the transaction that also records the outcomes and how
far the journals are read. So what it writes through ``connection`` is there exactly once, whatever
crashes; if it raises, nothing of the batch is kept and the batch is read again. It is called with batches of bounded
size, any number of them in one transaction, decisions by slot and in the order they were made. A decision comes again
whenever something that counts of it is new or has changed: later outcomes, corrections, a source of higher precedence.
A batch never has a decision twice.

What counts is decided by the endpoint's rules (:mod:`quorate.core.outcomes`) of the decision's own revision: values
after the correction window, and those of a source that another precedes, are not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from quorate.codecs.decision import Packed, Summary
from quorate.store.ledger import StoredOutcome


class Joined(NamedTuple):
    """A decision and everything that counts as known of its rows by now, what was known before included.

    ``truths`` has the truth by row (``label`` for classes, else ``value``; ``source`` says whose), ``rewards`` the
    metrics by row. ``new`` has, by row, the metrics (``truth`` among them) that had no value before; ``changed`` those
    whose value counted before and is another one now. A learner that cannot unlearn looks at ``new`` only.
    ``values`` is the business value by row of the answer that was served, of the rows for which it is known; empty
    where the endpoint declares none. ``valued`` are the rows whose value was not known before.
    """

    decision: Packed
    truths: Mapping[int, StoredOutcome]
    rewards: Mapping[int, Mapping[str, float]]
    new: Mapping[int, frozenset[str]]
    changed: Mapping[int, frozenset[str]]
    values: Mapping[int, float]
    valued: frozenset[int] = frozenset()


class Watcher:
    """Sees every decision of a stretch of a journal; this one looks away.

    It is made after the bytes were read, so that it knows of whatever was committed before the decisions were written.
    """

    def see(self, decided: Summary) -> None:
        """Look at one decision."""

    def keep(self, connection: sa.Connection) -> None:
        """Keep what was seen, in the transaction that says how far the journal is read."""


LOOKS_AWAY = Watcher()


class Listener:
    """Who learns from what ingest finds; this one does not."""

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        """Something has become known about these; called in ingest's transaction."""

    def watcher(self) -> Watcher:
        """For the next stretch of a journal."""
        return LOOKS_AWAY

    def publish(self) -> None:
        """Called after the transactions, again and again."""


NOBODY = Listener()


class Several(Listener):
    """Listeners that hear the same, one after the other."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        for listener in self._listeners:
            listener.learn(connection, joined)

    def watcher(self) -> Watcher:
        watchers = [watcher for each in self._listeners if (watcher := each.watcher()) is not LOOKS_AWAY]
        return watchers[0] if len(watchers) == 1 else _Watchers(watchers) if watchers else LOOKS_AWAY

    def publish(self) -> None:
        for listener in self._listeners:
            listener.publish()


class _Watchers(Watcher):
    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def see(self, decided: Summary) -> None:
        for watcher in self._watchers:
            watcher.see(decided)

    def keep(self, connection: sa.Connection) -> None:
        for watcher in self._watchers:
            watcher.keep(connection)
