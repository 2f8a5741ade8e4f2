"""What a worker counts about batches."""

from __future__ import annotations

from quorate.telemetry.counters import Counter, Counters


class BulkMeters:
    """Handles resolved once per endpoint; used from the event loop only."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._known: dict[tuple[str, str, str], Counter] = {}
        self.streams = counters.gauge("quorate_batch_streams")

    def rows(self, endpoint: str, answered: int, failed: int) -> None:
        """Count rows by what became of them."""
        self._add("quorate_batch_rows_total", endpoint, "answered", answered)
        self._add("quorate_batch_rows_total", endpoint, "failed", failed)

    def ended(self, endpoint: str, result: str) -> None:
        """Count a batch: ``complete``, ``broken`` (its body or the endpoint) or ``left`` (its client)."""
        self._add("quorate_batches_total", endpoint, result, 1)

    def retried(self, endpoint: str) -> None:
        """Count a micro-batch that was shed and tried again."""
        known = self._known.get(("retries", endpoint, ""))
        if known is None:
            known = self._counters.counter("quorate_batch_retries_total", endpoint=endpoint)
            self._known["retries", endpoint, ""] = known
        known.add()

    def _add(self, metric: str, endpoint: str, result: str, count: int) -> None:
        if not count:
            return
        known = self._known.get((metric, endpoint, result))
        if known is None:
            known = self._counters.counter(metric, endpoint=endpoint, result=result)
            self._known[metric, endpoint, result] = known
        known.add(count)
