from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.telemetry.counters import Counters
from quorate.telemetry.exposition import exposition
from quorate.telemetry.metrics import BOUNDS_MS, METRICS


def _samples(folder: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition(folder).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _sample(folder: Path, name: str, **labels: str) -> float | None:
    return _samples(folder).get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def workers(tmp_path):
    made = [Counters(tmp_path / f"worker-{slot}.qt") for slot in range(3)]
    yield made
    for counters in made:
        counters.close()


def test_counters_are_summed_over_processes(tmp_path, workers):
    for n, counters in enumerate(workers, 1):
        counters.counter("quorate_requests_total", endpoint="digits", strategy="mean", status="2xx").add(n)
    assert _sample(tmp_path, "quorate_requests_total", endpoint="digits", strategy="mean", status="2xx") == 6


def test_histograms_are_summed_and_cumulative(tmp_path, workers):
    for counters in workers:
        histogram = counters.histogram("quorate_request_duration_seconds", endpoint="digits")
        for ms in (0.05, 1.0, 99.0, 20_000.0):
            histogram.observe(ms)
    name = "quorate_request_duration_seconds"
    assert _sample(tmp_path, f"{name}_count", endpoint="digits") == 12
    assert _sample(tmp_path, f"{name}_sum", endpoint="digits") == pytest.approx(3 * 20.10005)
    assert _sample(tmp_path, f"{name}_bucket", endpoint="digits", le="0.0001") == 3
    assert _sample(tmp_path, f"{name}_bucket", endpoint="digits", le="0.001") == 6
    assert _sample(tmp_path, f"{name}_bucket", endpoint="digits", le="0.1") == 9
    assert _sample(tmp_path, f"{name}_bucket", endpoint="digits", le="10") == 9
    assert _sample(tmp_path, f"{name}_bucket", endpoint="digits", le="+Inf") == 12
    buckets = [value for (sample, _), value in _samples(tmp_path).items() if sample == f"{name}_bucket"]
    assert len(buckets) == len(BOUNDS_MS) + 1


def test_gauges_are_per_process_and_end_with_it(tmp_path, workers):
    for slot, counters in enumerate(workers):
        counters.gauge("quorate_snapshot_version").set(10 + slot)
        counters.counter("quorate_degraded_total", endpoint="a").add()
    assert _sample(tmp_path, "quorate_snapshot_version", process="worker-2") == 12
    workers.pop().close()
    assert _sample(tmp_path, "quorate_snapshot_version", process="worker-2") is None
    assert _sample(tmp_path, "quorate_snapshot_version", process="worker-1") == 11
    assert _sample(tmp_path, "quorate_degraded_total", endpoint="a") == 3
    assert _sample(tmp_path, "quorate_process_starts_total", process="worker-2") == 1


def test_a_process_shows_only_what_it_counts(tmp_path, workers):
    workers[0].gauge("quorate_in_flight").set(0)
    assert _sample(tmp_path, "quorate_in_flight", process="worker-0") == 0
    assert _sample(tmp_path, "quorate_in_flight", process="worker-1") is None


def test_unused_overflow_series_are_not_shown(tmp_path, workers):
    assert not [labels for _, labels in _samples(tmp_path) if ("endpoint", "other") in labels]
    workers[0].counter("quorate_degraded_total", endpoint="other").add()
    assert _sample(tmp_path, "quorate_degraded_total", endpoint="other") == 1


def test_an_unreadable_file_is_shown_and_harms_no_other(tmp_path, workers):
    (tmp_path / "worker-9.qt").write_bytes(b"garbage")
    workers[0].counter("quorate_shed_total", endpoint="a", reason="queue").add()
    assert _sample(tmp_path, "quorate_shed_total", endpoint="a", reason="queue") == 1
    assert _sample(tmp_path, "quorate_telemetry_unreadable_files") == 1


def test_no_folder_is_no_series(tmp_path):
    samples = _samples(tmp_path / "none")
    assert set(samples) == {("quorate_telemetry_unreadable_files", ())}


def test_label_values_are_escaped(tmp_path, workers):
    workers[0].counter("quorate_shed_total", endpoint='a"\n\\b', reason="queue").add()
    assert _sample(tmp_path, "quorate_shed_total", endpoint='a"\n\\b', reason="queue") == 1


def test_every_metric_is_exposed_and_documented(tmp_path, workers):
    text = exposition(tmp_path).decode()
    exposed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert exposed == {*METRICS, "quorate_telemetry_unreadable_files"}
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `quorate_")}
    assert set(rows) == exposed
    for name, metric in METRICS.items():
        assert f"| {metric.kind} |" in rows[name]
        labels = (*metric.labels, "process") if metric.per_process else metric.labels
        assert f"| {', '.join(f'`{label}`' for label in labels) or '–'} |" in rows[name]
