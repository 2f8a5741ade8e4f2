"""Statistics of endpoints and models as the Open Inference Protocol's extension has them, over all workers.

They are read from the files in which every worker counts, so each worker says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from quorate.serving.generation import Generation
from quorate.serving.oip_models import target
from quorate.telemetry import counters

MILLISECOND_NS = 1_000_000
_METRICS = frozenset(
    {
        "quorate_requests_total",
        "quorate_request_duration_seconds",
        "quorate_queue_duration_seconds",
        "quorate_member_duration_seconds",
        "quorate_member_faults_total",
    }
)

Key = tuple[str, str]
"""A metric and the endpoint or member that it counts for."""


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long that took together."""

    count: int = 0
    ns: int = 0


class Statistics(NamedTuple):
    """Of one endpoint or model since its workers' counters began.

    ``success`` has the time of failed requests too: the histogram behind it does not tell them apart.
    """

    name: str
    version: str
    success: Duration
    fail: Duration
    queue: Duration
    compute: Duration

    @property
    def inference_count(self) -> int:
        """The extension's field of that name."""
        return self.success.count

    @property
    def execution_count(self) -> int:
        """The extension's field of that name."""
        return self.compute.count

    @property
    def durations(self) -> dict[str, Duration]:
        """The extension's ``inference_stats``, as far as they are counted."""
        return {"success": self.success, "fail": self.fail, "queue": self.queue, "compute_infer": self.compute}


def read(folder: Path) -> list[counters.Series]:
    """All series of all workers of this machine, dead ones included; a file that cannot be read is left out."""
    return [one for _, series, _ in counters.workers(folder) for one in series]


def statistics(generation: Generation, series: Iterable[counters.Series], name: str, version: str) -> list[Statistics]:
    """Of the endpoint or model of that name and version, or of all; :class:`NotFound` says what there is."""
    totals: dict[Key, Duration] = {}
    for metric, labels, cells in series:
        if metric not in _METRICS:
            continue
        who = labels.get("endpoint") or labels.get("member", "")
        key = (metric + ("." + labels["status"] if "status" in labels else ""), who)
        seen = totals.get(key, Duration())
        # A histogram is its sum in milliseconds and its buckets; a counter is one cell.
        more = (
            Duration(int(sum(cells[1:])), int(cells[0] * MILLISECOND_NS)) if len(cells) > 1 else Duration(int(cells[0]))
        )
        totals[key] = Duration(seen.count + more.count, seen.ns + more.ns)
    if name:
        target(generation, name, version or None)
    endpoints = [
        _of_endpoint(e.name, str(e.route.revision), totals)
        for e in generation.endpoints.values()
        if name in ("", e.name)
    ]
    models = [
        _of_member(model, str(number), totals)
        for model, versions in generation.models.items()
        for number in versions
        if name in ("", model) and version in ("", str(number))
    ]
    return endpoints + models


def _of_endpoint(name: str, version: str, totals: dict[Key, Duration]) -> Statistics:
    good = totals.get(("quorate_requests_total.2xx", name), Duration()).count
    bad = totals.get(("quorate_requests_total.5xx", name), Duration()).count
    spent = totals.get(("quorate_request_duration_seconds", name), Duration())
    queue = totals.get(("quorate_queue_duration_seconds", name), Duration())
    compute = Duration(spent.count, max(0, spent.ns - queue.ns))
    return Statistics(name, version, Duration(good, spent.ns), Duration(bad), queue, compute)


def _of_member(name: str, version: str, totals: dict[Key, Duration]) -> Statistics:
    ran = totals.get(("quorate_member_duration_seconds", name), Duration())
    bad = totals.get(("quorate_member_faults_total", name), Duration()).count
    return Statistics(name, version, Duration(max(0, ran.count - bad), ran.ns), Duration(bad), Duration(), ran)
