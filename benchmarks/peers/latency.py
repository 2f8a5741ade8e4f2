"""Where a request's time goes: the load generator's clock joined, by request id, to the decisions in the journal.

==========  ==================================================================================================
total       from the time a request was meant to leave to its answer, by the generator
model       the longest of the members' runs (fused members share one; members in lanes overlap)
queue       from the complete request to the start of the first member, by the server (``queue_ms``)
added       total - model - queue: connection, HTTP, JSON, combining, recording, answering, and the time that a request
            waits in a socket while the event loop is busy with others, which no clock in the server can see
inside      the part of it that the server's clock sees: ``latency_ms`` - model - queue
outside     total - ``latency_ms``: the part before and after, waiting in sockets included
==========  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.openloop import Records
from quorate.codecs.lookup import JournalReader
from quorate.core.types import Decision

PARTS = ("total", "model", "queue", "added", "inside", "outside")
Breakdown = dict[str, NDArray[np.float64]]


def decisions(journal: Path) -> dict[str, Decision]:
    """Every decision in the journal that has a request id, by it."""
    return {d.request_id: d for d in JournalReader(journal).decisions() if d.request_id is not None}


def model_ms(decision: Decision) -> float:
    """The longest run of a member; 0 where none ran."""
    return max((m.latency_ms for m in decision.members if m.latency_ms is not None), default=0.0)


def breakdown(records: Records, known: Mapping[str, Decision]) -> Breakdown:
    """Milliseconds of every good answer whose decision is known, by part."""
    rows = [
        _parts(1e3 * (row["done"] - row["intended"]), known[request])
        for number, row in enumerate(records.rows)
        if row["status"] == 200 and (request := f"{number:010d}") in known
    ]
    table = np.array(rows, np.float64).reshape(-1, len(PARTS))
    return dict(zip(PARTS, table.T, strict=True))


def _parts(total: float, decision: Decision) -> Iterable[float]:
    model, queue = model_ms(decision), decision.queue_ms
    rest = decision.latency_ms - model - queue
    return total, model, queue, total - model - queue, rest, total - decision.latency_ms
