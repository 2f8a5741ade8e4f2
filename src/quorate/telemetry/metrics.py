"""Every metric there is: one row each. ``docs/metrics.md`` describes the same list, and a test compares them."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

OTHER = "other"
"""The label value of what did not fit: every metric keeps at most ``SERIES`` label sets."""

BOUNDS_MS = tuple(float(f"{0.1 * 10 ** (step / 5):.2g}") for step in range(26))
"""Upper bounds of the histogram buckets, milliseconds: five a decade from 0.1 ms to 10 s."""


class Metric(NamedTuple):
    """``per_process`` series carry the label ``process``; the others are summed over all processes."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    per_process: bool = False


METRICS: dict[str, Metric] = {
    "quorate_requests_total": Metric(
        "counter",
        "Requests answered, by the strategy that served and the status class.",
        ("endpoint", "strategy", "status"),
    ),
    "quorate_request_duration_seconds": Metric("histogram", "From a request's arrival to its answer.", ("endpoint",)),
    "quorate_degraded_total": Metric("counter", "Answers that a failed member is missing from.", ("endpoint",)),
    "quorate_fallbacks_total": Metric("counter", "Answers that came from the fallback chain.", ("endpoint",)),
    "quorate_shed_total": Metric("counter", "Requests refused on purpose, with 429.", ("endpoint",)),
    "quorate_decisions_dropped_total": Metric("counter", "Answers whose decision was not kept.", ("endpoint",)),
    "quorate_outcomes_total": Metric("counter", "Outcomes received, by what became of them.", ("result",)),
    "quorate_member_faults_total": Metric("counter", "Times a member gave no usable output.", ("member", "reason")),
    "quorate_member_duration_seconds": Metric("histogram", "One run of a member.", ("member",)),
    "quorate_circuit_state": Metric("gauge", "A member's circuit: 0 closed, 1 half open, 2 open.", ("member",), True),
    "quorate_host_restarts_total": Metric("counter", "Restarts of a member's own process.", ("member",)),
    "quorate_graph_fallbacks_total": Metric("counter", "Runs of separate members because the graph failed.", ("pool",)),
    "quorate_batches_total": Metric("counter", "Batches, by how they ended.", ("endpoint", "result")),
    "quorate_batch_rows_total": Metric("counter", "Rows of batches, by what became of them.", ("endpoint", "result")),
    "quorate_batch_retries_total": Metric("counter", "Shed micro-batches of batches, tried again.", ("endpoint",)),
    "quorate_batch_streams": Metric("gauge", "Batches being answered.", (), True),
    "quorate_journal_pending_bytes": Metric("gauge", "Decisions waiting to be written.", (), True),
    "quorate_journal_lag_seconds": Metric("gauge", "Age of the oldest decision waiting to be written.", (), True),
    "quorate_in_flight": Metric("gauge", "Requests being answered.", (), True),
    "quorate_ready": Metric("gauge", "Whether the process answers: 1 or 0.", (), True),
    "quorate_snapshot_version": Metric("gauge", "The routing manifest in use.", (), True),
    "quorate_process_starts_total": Metric("counter", "Starts of the process; more than one is a restart.", (), True),
    "quorate_series_overflow_total": Metric("counter", "Label sets that were put under `other`.", ("metric",)),
}
