"""An endpoint's past decisions and what became known of them, as an experiment would have seen them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

import sqlalchemy as sa

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import RecordKind, scan
from quorate.codecs.lookup import COMPACTED, JournalReader, Segment
from quorate.control.experiments.gathering import Running, values_of
from quorate.control.experiments.registration import Registration
from quorate.core.types import Decision
from quorate.store.experiments import Exposure, Value

BATCH = 500


def recent(reader: JournalReader, endpoint: str, since: float, until: float, most: int) -> Iterator[Decision]:
    """At most ``most`` decisions of an endpoint that arrived in ``since <= t < until``, newest files first."""
    left = most
    for segment in sorted(reader.files(), key=lambda s: (s.boot, s.first), reverse=True):
        found = [d for d in _decisions(segment) if d.endpoint == endpoint and since <= d.arrived < until]
        for decision in reversed(found):
            if left == 0:
                return
            left -= 1
            yield decision


def _decisions(segment: Segment) -> Iterator[Decision]:
    if not segment.compacted:
        with suppress(FileNotFoundError):  # compacted meanwhile
            records = [record.payload for record in scan(segment.path) if record.kind == RecordKind.DECISION]
            yield from map(decision_codec.decode, records)
            return
    with suppress(FileNotFoundError):
        yield from (decision for _, decision in columnar.read_decisions(segment.beside(COMPACTED)))


def observed(
    connection: sa.Connection, which: Running, decisions: Iterable[Decision]
) -> Iterator[tuple[Exposure, list[Value]]]:
    """Decisions as exposures to control, in one arm, with what is known of the registered metrics."""
    waiting = iter(decisions)
    while some := tuple(islice(waiting, BATCH)):
        packed = [decision_codec.pack(decision) for decision in some]
        known = values_of(connection, {(d.endpoint, d.revision): which for d in some}, packed)
        for decision in some:
            yield _exposure(which.registration, decision), known.get(decision.id, [])


def _exposure(registration: Registration, d: Decision) -> Exposure:
    unit = d.unit if registration.sticky is None else d.context.get(registration.sticky)
    return Exposure(
        experiment="",
        decision=d.id,
        unit=None if unit is None else str(unit),
        arm=registration.control,
        source=d.source,
        arrived=d.arrived,
        latency_ms=d.latency_ms,
        error=d.error is not None,
        degraded=d.degraded,
        fallback=d.served is not None and d.served != d.assigned,
        keys=json.dumps([d.context.get(key) for key in registration.keys]) if registration.keys else None,
    )
