"""From the journals to an experiment's tables, inside the transactions of ingest: everything exactly once.

Ingest shows every decision that it counts to :class:`Watch`, and hands every decision that something became known of to
:func:`take`. What both write is there if and only if the journal was read that far, whatever crashes.

Who was assigned an arm belongs to it, whatever became of the request (intention to treat): errors, degraded answers and
fallbacks stay. A decision whose strategy the caller chose is kept, marked by its source, and enters no verdict.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from quorate.codecs.decision import Packed, Summary
from quorate.control.experiments import metrics
from quorate.control.experiments.registration import Registration, parse
from quorate.control.outcomes.joined import LOOKS_AWAY, Joined, Listener, Watcher
from quorate.control.outcomes.rejoining import counting
from quorate.store import ledger
from quorate.store.database import Database
from quorate.store.experiments import RUNNING, Experiment, Exposure, Value, experiments, put_exposures, put_values
from quorate.store.ledger import StoredOutcome

_text = msgspec.msgpack.Decoder(str | None).decode
_context = msgspec.msgpack.Decoder(dict[str, Any]).decode
_numbers = msgspec.msgpack.Decoder(tuple[float, ...]).decode


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment whose decisions are wanted."""

    experiment: Experiment
    registration: Registration


def running(connection: sa.Connection) -> dict[tuple[str, int], Running]:
    """The experiments that gather, by endpoint and revision; what comes after a verdict is no part of it."""
    found = experiments(connection, states=(RUNNING,))
    return {(e.endpoint, e.revision or 0): Running(e, parse(e.registration)) for e in found}


class Gathering(Listener):
    """What running experiments hear of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        """Store the values that became known."""
        take(connection, joined)

    def watcher(self) -> Watcher:
        """Of the experiments that run now."""
        with self._database.read() as connection:
            wanted = running(connection)
        return Watch(wanted) if wanted else LOOKS_AWAY


class Watch(Watcher):
    """Collects the exposures among the decisions of a stretch of a journal.

    Make it after the bytes were read: a decision under an experiment is written after the experiment's start was
    committed, so whoever looks afterwards knows of it.
    """

    __slots__ = ("_wanted", "exposures")

    def __init__(self, wanted: Mapping[tuple[str, int], Running]) -> None:
        self._wanted = wanted
        self.exposures: list[Exposure] = []

    def see(self, decided: Summary) -> None:
        """Look at one decision."""
        wanted = self._wanted.get((decided.endpoint, decided.revision))
        if wanted is not None:
            self.exposures.append(_exposure(wanted, decided))

    def keep(self, connection: sa.Connection) -> None:
        """Store what was collected."""
        put_exposures(connection, self.exposures)


def _exposure(wanted: Running, d: Summary) -> Exposure:
    keys = None
    if wanted.registration.keys:
        context = _context(d.context)
        keys = json.dumps([context.get(key) for key in wanted.registration.keys])
    source: str = d.source
    if source == "cache" and max(_numbers(d.propensities), default=1.0) >= 1.0:
        source = "caller"  # a kept answer of a strategy that the caller named
    return Exposure(
        experiment=wanted.experiment.id,
        decision=d.id,
        unit=_text(d.unit),
        arm=d.assigned,
        source=source,
        arrived=d.arrived,
        latency_ms=d.latency_ms if math.isfinite(d.latency_ms) else None,
        error=d.error is not None,
        degraded=d.degraded,
        fallback=d.served is not None and d.served != d.assigned,
        keys=keys,
    )


def take(connection: sa.Connection, joined: Sequence[Joined]) -> None:
    """Store the values of running experiments' metrics that became known."""
    wanted = running(connection)
    mine = [each for each in joined if (each.decision.endpoint, each.decision.revision) in wanted] if wanted else []
    if mine:
        found = _known(connection, wanted, mine)
        put_values(connection, (value for values in found.values() for value in values))


def values_of(
    connection: sa.Connection, wanted: Mapping[tuple[str, int], Running], decisions: Sequence[Packed]
) -> dict[str, list[Value]]:
    """What is known by now of the registered metrics of some decisions, by their ids."""
    return _known(connection, wanted, counting(connection, decisions))


def _known(
    connection: sa.Connection, wanted: Mapping[tuple[str, int], Running], joined: Sequence[Joined]
) -> dict[str, list[Value]]:
    told: dict[str, list[StoredOutcome]] = defaultdict(list)
    for outcome in ledger.outcomes_of(connection, [each.decision.id for each in joined]):
        told[outcome.decision].append(outcome)
    found = {}
    for each in joined:
        which = wanted[each.decision.endpoint, each.decision.revision]
        found[each.decision.id] = list(_values(which, each, told[each.decision.id]))
    return found


def _values(which: Running, joined: Joined, told: Sequence[StoredOutcome]) -> Iterator[Value]:
    decision, registration = joined.decision, which.registration
    for name in registration.components:
        if name in (metrics.ACCURACY, metrics.ABSOLUTE_ERROR):
            known, of = dict(_judged(decision, joined.truths, name)), ledger.TRUTH
        elif name == metrics.VALUE:
            known, of = dict(joined.values), None
        else:
            of = name.removeprefix("reward:")
            known = {row: rewards[of] for row, rewards in joined.rewards.items() if of in rewards}
        # A correction comes with a time of its own: one after the window leaves what was known within it.
        times = [o.at for o in told if o.state == ledger.JOINED and o.row in known and of in (None, o.metric)]
        at = min(times, default=decision.arrived)
        if known and at <= decision.arrived + registration.outcome_window_s:
            yield Value(which.experiment.id, decision.id, name, len(known), math.fsum(known.values()), at)


def _judged(decision: Packed, truths: Mapping[int, StoredOutcome], name: str) -> Iterator[tuple[int, float]]:
    """Right (1) or wrong (0) by row, or the absolute error; what was not answered is wrong, and has no error."""
    answer = decision.answered()
    for row, truth in truths.items():
        said = None if answer is None or decision.withholds(row) else answer[row]
        usable = said is not None and bool(np.isfinite(said).all())
        if name == metrics.ACCURACY and truth.label is not None:
            yield row, float(usable and said is not None and decision.classes[int(said.argmax())] == truth.label)
        elif name == metrics.ABSOLUTE_ERROR and usable and said is not None and truth.value is not None:
            yield row, abs(float(said[0]) - truth.value)
