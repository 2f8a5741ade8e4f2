"""All processes' counters as Prometheus text; the only file that imports the Prometheus client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.errors import StoreError
from quorate.telemetry.counters import SUFFIX, Series, read
from quorate.telemetry.metrics import METRICS, OTHER

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_UNREADABLE = "quorate_telemetry_unreadable_files"


def exposition(folder: Path) -> bytes:
    """Merge every process's file under ``folder`` into the Prometheus text format.

    Counters and histograms are summed over processes; gauges are per process, and a dead process's are left out.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Files(folder))
    return generate_latest(registry)


class _Files(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        merged: dict[tuple[str, tuple[str, ...]], list[float]] = {}
        unreadable = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                series, alive = read(path)
            except (StoreError, OSError):
                unreadable += 1
                continue
            _merge(merged, series, path.name.removesuffix(SUFFIX), alive=alive)
        for name in METRICS:
            yield _family(name, {labels: cells for (metric, labels), cells in merged.items() if metric == name})
        yield GaugeMetricFamily(_UNREADABLE, "Telemetry files that could not be read.", value=unreadable)


def _merge(
    merged: dict[tuple[str, tuple[str, ...]], list[float]], series: Iterable[Series], process: str, *, alive: bool
) -> None:
    for name, labels, cells in series:
        metric = METRICS[name]
        if metric.kind == "gauge" and not alive:
            continue
        key = tuple(labels[label] for label in metric.labels)
        if key and set(key) == {OTHER} and not any(cells):
            continue
        if metric.per_process:
            key = (*key, process)
        known = merged.setdefault((name, key), [0.0] * len(cells))
        known[:] = [a + b for a, b in zip(known, cells, strict=True)]


def _family(name: str, series: dict[tuple[str, ...], list[float]]) -> Metric:
    metric = METRICS[name]
    labels = (*metric.labels, "process") if metric.per_process else metric.labels
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=labels)
        bounds, per_unit = metric.scale
        edges = [*(f"{bound / per_unit:g}" for bound in bounds), "+Inf"]
        for key, (total, *buckets) in series.items():
            histogram.add_metric(key, list(zip(edges, accumulate(buckets), strict=True)), sum_value=total / per_unit)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(name, metric.help, labels=labels)
    for key, (value,) in series.items():
        family.add_metric(key, value)
    return family
