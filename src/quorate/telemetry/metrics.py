"""Every metric there is: one row each. ``docs/metrics.md`` describes the same list, and a test compares them."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

OTHER = "other"
"""The label value of what did not fit: every metric keeps at most ``SERIES`` label sets."""

BOUNDS_MS = tuple(float(f"{0.1 * 10 ** (step / 5):.2g}") for step in range(26))
"""Upper bounds of most histogram buckets, milliseconds: five a decade from 0.1 ms to 10 s."""


class Scale(NamedTuple):
    """What a histogram counts: upper bounds of its buckets, and how many of that unit make one of the exposed unit."""

    bounds: tuple[float, ...]
    per_unit: float


DURATIONS = Scale(BOUNDS_MS, 1000.0)
SHORT_DURATIONS = Scale(tuple(bound / 100 for bound in BOUNDS_MS), 1000.0)
"""From 1 µs to 100 ms."""
SIZES = Scale((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024), 1.0)


class Metric(NamedTuple):
    """``per_process`` series carry the label ``process``; the others are summed over all processes.

    ``scale`` matters to histograms only.
    """

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    per_process: bool = False
    scale: Scale = DURATIONS


METRICS: dict[str, Metric] = {
    "quorate_requests_total": Metric(
        "counter",
        "Requests answered, by the strategy that served and the status class.",
        ("endpoint", "strategy", "status"),
    ),
    "quorate_request_duration_seconds": Metric("histogram", "From a request's arrival to its answer.", ("endpoint",)),
    "quorate_queue_duration_seconds": Metric(
        "histogram", "From a request's arrival to its first member's start.", ("endpoint",)
    ),
    "quorate_combine_duration_seconds": Metric(
        "histogram", "Combining the members' outputs.", ("endpoint",), scale=SHORT_DURATIONS
    ),
    "quorate_conformal_rows_total": Metric(
        "counter",
        "Rows answered with a conformal set, by its size: empty, one, several; or with an interval.",
        ("endpoint", "strategy", "set"),
    ),
    "quorate_conformal_labels_total": Metric("counter", "Labels in conformal sets.", ("endpoint", "strategy")),
    "quorate_degraded_total": Metric("counter", "Answers that a failed member is missing from.", ("endpoint",)),
    "quorate_fallbacks_total": Metric("counter", "Answers that came from the fallback chain.", ("endpoint",)),
    "quorate_abstained_total": Metric(
        "counter", "Rows that were told no answer, because none was sure enough.", ("endpoint", "strategy")
    ),
    "quorate_staged_rows_total": Metric(
        "counter", "Rows answered by a plan of several stages.", ("endpoint", "strategy", "revision")
    ),
    "quorate_stages_total": Metric(
        "counter", "Of those, the rows that asked a stage.", ("endpoint", "strategy", "revision", "stage")
    ),
    "quorate_shed_total": Metric("counter", "Requests refused on purpose, with 429.", ("endpoint", "reason")),
    "quorate_rules_total": Metric(
        "counter", "Requests that a policy of rules decided, by the number of the rule.", ("endpoint", "rule")
    ),
    "quorate_fact_failures_total": Metric("counter", "Times that an error kept a fact from a policy.", ("endpoint",)),
    "quorate_front_requests_total": Metric("counter", "Requests that a front sent on.", ("front", "endpoint")),
    "quorate_cache_requests_total": Metric("counter", "Look-ups in the answer cache.", ("endpoint", "result")),
    "quorate_decisions_dropped_total": Metric("counter", "Answers whose decision was not kept.", ("endpoint",)),
    "quorate_outcomes_total": Metric("counter", "Outcomes received, by what became of them.", ("result",)),
    "quorate_batch_requests": Metric("histogram", "Requests that one run answered.", ("pool",), scale=SIZES),
    "quorate_batch_rows": Metric("histogram", "Rows in one run.", ("pool",), scale=SIZES),
    "quorate_run_duration_seconds": Metric("histogram", "One run of a graph or of a single member.", ("pool",)),
    "quorate_member_faults_total": Metric("counter", "Times a member gave no usable output.", ("member", "reason")),
    "quorate_member_duration_seconds": Metric(
        "histogram", "The run of a member, once for every request that it answered.", ("member",)
    ),
    "quorate_hedges_total": Metric(
        "counter", "Second tries of a straggling member, by which came first.", ("member", "result")
    ),
    "quorate_circuit_state": Metric("gauge", "A member's circuit: 0 closed, 1 half open, 2 open.", ("member",), True),
    "quorate_host_restarts_total": Metric("counter", "Restarts of a member's own processes.", ("member",)),
    "quorate_host_cpu_seconds_total": Metric("counter", "Processor time of a member's own processes.", ("member",)),
    "quorate_host_resident_memory_bytes": Metric("gauge", "Memory of a member's own processes.", ("member",), True),
    "quorate_graph_fallbacks_total": Metric("counter", "Runs of separate members because the graph failed.", ("pool",)),
    "quorate_pool_memory_bytes": Metric("gauge", "Growth of the process while the pool was loaded.", ("pool",), True),
    "quorate_pool_resident": Metric("gauge", "1 while the pool is in memory, 0 while it is not.", ("pool",), True),
    "quorate_pool_load_seconds": Metric(
        "gauge", "How long the pool took to load and warm up the last time.", ("pool",), True
    ),
    "quorate_pool_threads": Metric("gauge", "Threads of one run of the pool.", ("pool",), True),
    "quorate_pool_tried_seconds": Metric(
        "gauge", "One row with so many threads, as measured when the pool was loaded.", ("pool", "threads"), True
    ),
    "quorate_pool_lanes": Metric("gauge", "Runs of the pool that may be under way at once.", ("pool",), True),
    "quorate_model_weights_bytes": Metric("gauge", "Size of a loaded member's files.", ("member",), True),
    "quorate_batches_total": Metric("counter", "Batches, by how they ended.", ("endpoint", "result")),
    "quorate_batch_rows_total": Metric("counter", "Rows of batches, by what became of them.", ("endpoint", "result")),
    "quorate_batch_retries_total": Metric("counter", "Shed micro-batches of batches, tried again.", ("endpoint",)),
    "quorate_batch_streams": Metric("gauge", "Batches being answered.", (), True),
    "quorate_journal_pending_bytes": Metric("gauge", "Decisions waiting to be written.", (), True),
    "quorate_journal_lag_seconds": Metric("gauge", "Age of the oldest decision waiting to be written.", (), True),
    "quorate_journal_records_total": Metric("counter", "Journal records written."),
    "quorate_journal_bytes_total": Metric("counter", "Bytes of journal written."),
    "quorate_journal_batches_total": Metric("counter", "Writes of the journal, each of all that was waiting."),
    "quorate_journal_dropped_total": Metric("counter", "Records that were answered and are lost."),
    "quorate_journal_late_total": Metric("counter", "Records that were answered before the kernel had them."),
    "quorate_journal_shed_total": Metric("counter", "Records refused because they could not be written."),
    "quorate_journal_stalls_total": Metric("counter", "Times that a write of the journal took too long."),
    "quorate_journal_errors_total": Metric("counter", "Writes of the journal that failed."),
    "quorate_journal_files_total": Metric(
        "counter", "Journal files compacted, left as they are, deleted, shipped or failed to ship.", ("event",)
    ),
    "quorate_captures_total": Metric(
        "counter", "Inputs that were to be captured, by what became of them.", ("endpoint", "result")
    ),
    "quorate_capture_pending_bytes": Metric("gauge", "Captured inputs waiting to be written.", (), True),
    "quorate_capture_files_total": Metric("counter", "Files of captured inputs deleted by retention."),
    "quorate_in_flight": Metric("gauge", "Requests being answered.", (), True),
    "quorate_connections": Metric("gauge", "Open connections of callers.", (), True),
    "quorate_received_bytes_total": Metric("counter", "Bytes received on the inference port.", (), True),
    "quorate_sent_bytes_total": Metric("counter", "Bytes sent on the inference port.", (), True),
    "quorate_ready": Metric("gauge", "Whether the process answers: 1 or 0.", (), True),
    "quorate_snapshot_version": Metric("gauge", "The routing manifest in use.", (), True),
    "quorate_process_starts_total": Metric("counter", "Starts of the process; more than one is a restart.", (), True),
    "quorate_process_cpu_seconds_total": Metric("counter", "Processor time of the process, all its threads.", (), True),
    "quorate_process_resident_memory_bytes": Metric("gauge", "Memory of the process.", (), True),
    "quorate_process_open_fds": Metric("gauge", "Open files, sockets and pipes.", (), True),
    "quorate_event_loop_lag_seconds": Metric("histogram", "How late the event loop woke a timer.", (), True),
    "quorate_gc_pause_seconds": Metric("histogram", "Garbage collections.", (), True, SHORT_DURATIONS),
    "quorate_log_lines_lost_total": Metric("counter", "Log lines that could not be written in time.", (), True),
    "quorate_spans_total": Metric("counter", "Spans of traces, by what became of them.", ("result",)),
    "quorate_series_overflow_total": Metric("counter", "Label sets that were put under `other`.", ("metric",)),
}
