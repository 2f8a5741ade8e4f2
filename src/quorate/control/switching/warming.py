"""How long a switch took to reach the workers: from publication to the first answer of the new revision, by worker."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import RecordKind, scan
from quorate.codecs.lookup import COMPACTED, JournalReader, Segment
from quorate.errors import JournalError
from quorate.store.ledger import Place, Progress

log = logging.getLogger("quorate.control")

WITHIN_S = 3600.0
"""A worker whose first answer came later than this had no requests: its warm-up was not seen."""


@dataclass(frozen=True, slots=True)
class Warming:
    """One worker (slot). Seconds from publication: to the end of its first answer of the new revision, and to the
    arrival of the last request before that, which was answered as before (None where none came since publication). The
    worker changed over between the two."""

    worker: int
    first_answer_s: float
    still_before_s: float | None
    first_latency_ms: float


def warmings(
    reader: JournalReader, progress: Mapping[Place, Progress], endpoint: str, revision: int, at: float
) -> list[Warming]:
    """The workers that answered with the revision within an hour of its publication; empty where that is not known.

    ``at`` is when it was published (Unix seconds), ``progress`` how far segments were ingested: it knows when each
    began. Segments that cannot be read are left out, and logged.
    """
    by_slot: dict[int, list[Segment]] = defaultdict(list)
    for segment in reader.files():
        by_slot[segment.slot].append(segment)
    found = []
    for slot, segments in sorted(by_slot.items()):
        begun = [progress.get(Place(*each[:3])) for each in segments]
        start = max((i for i, each in enumerate(begun) if each is not None and each.created / 1e9 <= at), default=0)
        warming = _first(slot, segments[start:], endpoint, revision, at)
        if warming is not None:
            found.append(warming)
    return found


def _first(slot: int, segments: list[Segment], endpoint: str, revision: int, at: float) -> Warming | None:
    last: float | None = None
    for segment in segments:
        try:
            for name, number, arrived, latency_ms in _answers(segment):
                if arrived > at + WITHIN_S:
                    return None
                if name != endpoint:
                    continue
                if number == revision and arrived + latency_ms / 1000 >= at:
                    before = None if last is None else last - at
                    return Warming(slot, arrived + latency_ms / 1000 - at, before, latency_ms)
                if arrived >= at and number != revision:
                    last = arrived
        except FileNotFoundError:
            continue  # compacted meanwhile, or deleted
        except JournalError as error:
            log.warning("It is not known when worker %d changed over: %s", slot, error)
    return None


def _answers(segment: Segment) -> Iterator[tuple[str, int, float, float]]:
    """Endpoint, revision, arrival and latency of each decision."""
    if segment.compacted:
        for _, d in columnar.read_decisions(segment.beside(COMPACTED)):
            yield d.endpoint, d.revision, d.arrived, d.latency_ms
        return
    for record in scan(segment.path):
        if record.kind == RecordKind.DECISION:
            s = decision_codec.summary(record.payload)
            yield s.endpoint, s.revision, s.arrived, s.latency_ms
