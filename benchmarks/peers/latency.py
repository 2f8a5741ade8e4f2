"""Where a request's time goes: the load generator's clock joined, by request id, to the decisions in the journal.

==========  ==================================================================================================
total       from the time a request was meant to leave to its answer, by the generator
unsent      before it left: no connection was idle, or the generator was late
sockets     from then until the server began to read it, beyond what the quickest request of the run needed
queue       from the complete request to the start of the first member, by the server (``queue_ms``)
model       the longest of the members' runs (fused members share one; members in lanes overlap)
added       the rest of total: connection, HTTP, JSON, combining, recording, answering
inside      the part of it that the server's clock sees: ``latency_ms`` - model - queue
outside     total - ``latency_ms``: the part before and after, waiting in sockets included
==========  ==================================================================================================

``sockets`` needs no common clock: a decision says when its request was read (``arrived``), the generator when it was
sent, and the least difference of a run is the difference of the clocks and the way of a request that waited for
nobody. That way stays in ``added``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.openloop import Records
from quorate.codecs.lookup import JournalReader
from quorate.core.types import Decision

PARTS = ("total", "unsent", "sockets", "queue", "model", "added", "inside", "outside")
Breakdown = dict[str, NDArray[np.float64]]


def decisions(journal: Path) -> dict[str, Decision]:
    """Every decision in the journal that has a request id, by it."""
    return {d.request_id: d for d in JournalReader(journal).decisions() if d.request_id is not None}


def model_ms(decision: Decision) -> float:
    """The longest run of a member; 0 where none ran."""
    return max((m.latency_ms for m in decision.members if m.latency_ms is not None), default=0.0)


def breakdown(records: Records, known: Mapping[str, Decision]) -> Breakdown:
    """Milliseconds of every good answer whose decision is known, by part."""
    pairs = [
        (row, known[request])
        for number, row in enumerate(records.rows)
        if row["status"] == 200 and (request := f"{number:010d}") in known
    ]
    way = min((decision.arrived - row["sent"] for row, decision in pairs), default=0.0)
    rows = [_parts(row, decision, way) for row, decision in pairs]
    table = np.array(rows, np.float64).reshape(-1, len(PARTS))
    return dict(zip(PARTS, table.T, strict=True))


def _parts(row: Any, decision: Decision, way: float) -> Iterable[float]:
    total = 1e3 * (row["done"] - row["intended"])
    unsent = 1e3 * (row["sent"] - row["intended"])
    sockets = 1e3 * (decision.arrived - row["sent"] - way)
    model, queue = model_ms(decision), decision.queue_ms
    added = total - unsent - sockets - queue - model
    return total, unsent, sockets, queue, model, added, decision.latency_ms - model - queue, total - decision.latency_ms
