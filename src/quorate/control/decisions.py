"""A decision as JSON-able data, for operators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from quorate.codecs.snapshot import EndpointRoute
from quorate.control.skipped import NO_TIME, STOPPED, Skipped
from quorate.core.types import Decision, Status
from quorate.store.ledger import StoredOutcome


def describe(
    decision: Decision,
    outcomes: Iterable[StoredOutcome] = (),
    why: Iterable[str] = (),
    endpoint: EndpointRoute | None = None,
    skipped: Sequence[Sequence[Skipped | None]] | None = None,
) -> dict[str, Any]:
    """Everything a decision records, what is known about its rows, and why its strategy was chosen, in words.

    ``endpoint`` is the revision that decided, which knows the stages of its plans; ``skipped`` says by member and row
    why it was not asked. NaN becomes None, digests hex.
    """
    skipped = skipped or [[None] * decision.rows for _ in decision.members]
    d = decision
    return {
        "id": d.id,
        "endpoint": d.endpoint,
        "revision": d.revision,
        "state_version": d.state_version,
        "arrived": d.arrived,
        "arrived_at": datetime.fromtimestamp(d.arrived, UTC).isoformat(timespec="milliseconds"),
        "queue_ms": d.queue_ms,
        "latency_ms": d.latency_ms,
        "source": d.source,
        "assigned": d.assigned,
        "served": d.served,
        "why": list(why),
        "propensities": dict(zip(d.strategies, d.propensities, strict=True)),
        "unit": d.unit,
        "context": dict(d.context),
        "facts": dict(d.facts),
        "features": None if d.features is None else _numbers(d.features),
        "degraded": d.degraded,
        "abstained": d.abstained,
        "withheld": [row for row in range(d.rows) if d.withholds(row)],
        "error": d.error,
        "rows": d.rows,
        "output_kind": d.output_kind,
        "classes": list(d.classes),
        "answer": None if d.answer is None else _numbers(d.answer),
        "stages": list(_stages(d, endpoint, skipped)),
        "members": [_member(d, i, why_not) for i, why_not in enumerate(skipped)],
        "input_digest": d.input_digest.hex(),
        "capture": d.capture,
        "request_id": d.request_id,
        "idempotency_key": d.idempotency_key,
        "traceparent": d.traceparent,
        "outcomes": [
            {
                "row": o.row,
                "metric": o.metric,
                "value": o.value if o.label is None else o.label,
                "source": o.source,
                "at": o.at,
                "received": o.received,
                "state": o.state,
            }
            for o in outcomes
        ],
    }


def _member(d: Decision, i: int, skipped: Sequence[Skipped | None]) -> dict[str, Any]:
    run = d.members[i]
    return {
        "name": run.name,
        "version": run.version,
        "status": run.status.name.lower(),
        "latency_ms": run.latency_ms,
        "reason": run.reason,
        "row_status": [Status(code).name.lower() for code in d.status[:, i].tolist()],
        "skipped": list(skipped),
        "outputs": _numbers(d.outputs[:, i, :]),
    }


def _stages(
    d: Decision, endpoint: EndpointRoute | None, skipped: Sequence[Sequence[Skipped | None]]
) -> Iterator[dict[str, Any]]:
    """By stage of the plan that answered: its members, how many rows asked one of them, and why the others did not."""
    strategies = () if endpoint is None else endpoint.strategies
    places = {run.name: i for i, run in enumerate(d.members)}
    for stage in next((each.stages for each in strategies if each.name == d.served), ()):
        columns = [places[name] for name in stage if name in places]
        asked = (d.status[:, columns] != Status.SKIPPED).any(axis=1).tolist()
        late = [any(skipped[j][row] == NO_TIME for j in columns) for row in range(d.rows)]
        over = [any(skipped[j][row] == STOPPED for j in columns) for row in range(d.rows)]
        yield {
            "members": list(stage),
            "rows": sum(asked),
            "no_time": sum(not a and b for a, b in zip(asked, late, strict=True)),
            "stopped": sum(not a and not b and c for a, b, c in zip(asked, late, over, strict=True)),
        }


def _numbers(array: NDArray[Any]) -> list[list[float | None]]:
    return [[value if value - value == 0 else None for value in row] for row in array.tolist()]
