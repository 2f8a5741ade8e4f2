import json
import struct
import subprocess
import sys
import textwrap

import pytest

from quorate.errors import StoreError
from quorate.telemetry import counters as module
from quorate.telemetry.counters import SERIES, Counters, read
from quorate.telemetry.metrics import BOUNDS_MS, METRICS, OTHER


def _cells(path, metric, /, **labels):
    return next((s.cells for s in read(path)[0] if s.metric == metric and s.labels == labels), None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "worker-0.qt"


def test_counts_are_read_while_they_are_written(path):
    counters = Counters(path)
    degraded = counters.counter("quorate_degraded_total", endpoint="digits")
    degraded.add()
    degraded.add(2)
    assert degraded.value == 3
    assert _cells(path, "quorate_degraded_total", endpoint="digits") == (3,)
    assert read(path)[1] is True
    counters.close()
    assert read(path)[1] is False


def test_the_same_labels_are_the_same_series_in_any_order(path):
    counters = Counters(path)
    one = counters.counter("quorate_requests_total", endpoint="a", strategy="s", status="2xx")
    other = counters.counter("quorate_requests_total", status="2xx", strategy="s", endpoint="a")
    one.add()
    other.add()
    assert one.value == 2
    counters.close()


def test_a_restart_goes_on_with_totals_and_begins_gauges_anew(path):
    for start in (1, 2, 3):
        counters = Counters(path)
        counters.counter("quorate_shed_total", endpoint="a", reason="queue").add(5)
        gauge = counters.gauge("quorate_in_flight")
        assert gauge.value == 0
        gauge.add(7)
        gauge.add(-3)
        assert gauge.value == 4
        counters.histogram("quorate_member_duration_seconds", member="m").observe(1.0)
        counters.close()
        assert _cells(path, "quorate_shed_total", endpoint="a", reason="queue") == (5 * start,)
        assert _cells(path, "quorate_process_starts_total") == (start,)
        assert sum(_cells(path, "quorate_member_duration_seconds", member="m")[1:]) == start


def test_counts_survive_a_killed_writer(path):
    code = f"""
        import os, signal
        from pathlib import Path
        from quorate.telemetry.counters import Counters
        counters = Counters(Path({str(path)!r}))
        counters.counter("quorate_degraded_total", endpoint="digits").add(41)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -9
    _, alive = read(path)
    assert not alive
    counters = Counters(path)
    again = counters.counter("quorate_degraded_total", endpoint="digits")
    again.add()
    assert again.value == 42
    counters.close()


def test_a_histogram_puts_a_bound_into_its_own_bucket(path):
    counters = Counters(path)
    histogram = counters.histogram("quorate_request_duration_seconds", endpoint="a")
    for value in (0.0, BOUNDS_MS[0], BOUNDS_MS[3], BOUNDS_MS[3] * 1.001, BOUNDS_MS[-1], 1e9):
        histogram.observe(value)
    total, *buckets = _cells(path, "quorate_request_duration_seconds", endpoint="a")
    assert {i: n for i, n in enumerate(buckets) if n} == {0: 2, 3: 1, 4: 1, len(BOUNDS_MS) - 1: 1, len(BOUNDS_MS): 1}
    assert total == pytest.approx(1e9 + BOUNDS_MS[0] + BOUNDS_MS[3] * 2.001 + BOUNDS_MS[-1])
    counters.close()


def test_bounds_are_logarithmic():
    assert len(BOUNDS_MS) == len(set(BOUNDS_MS)) == 26
    assert list(BOUNDS_MS) == sorted(BOUNDS_MS)
    assert (BOUNDS_MS[0], BOUNDS_MS[5], BOUNDS_MS[-1]) == (0.1, 1.0, 10_000.0)


def test_label_sets_are_bounded_and_overflow_is_counted(path):
    counters = Counters(path)
    for i in range(SERIES + 10):
        counters.counter("quorate_degraded_total", endpoint=f"e{i}").add()
    fitted = SERIES - 1  # `other` itself is one
    assert _cells(path, "quorate_degraded_total", endpoint=f"e{fitted - 1}") == (1,)
    assert _cells(path, "quorate_degraded_total", endpoint=f"e{fitted}") is None
    assert _cells(path, "quorate_degraded_total", endpoint=OTHER) == (11,)
    assert _cells(path, "quorate_series_overflow_total", metric="quorate_degraded_total") == (11,)
    counters.counter("quorate_shed_total", endpoint="still free", reason="queue").add()
    assert _cells(path, "quorate_shed_total", endpoint="still free", reason="queue") == (1,)
    counters.close()


def test_a_full_file_overflows_too(path, monkeypatch):
    monkeypatch.setattr(module, "_DIRECTORY_BYTES", 12 * 1024)
    counters = Counters(path)
    for i in range(100):
        counters.counter("quorate_degraded_total", endpoint=f"{i:0200}").add()
    other = _cells(path, "quorate_degraded_total", endpoint=OTHER)
    assert other[0] > 0
    assert other == _cells(path, "quorate_series_overflow_total", metric="quorate_degraded_total")
    assert sum(s.cells[0] for s in read(path)[0] if s.metric == "quorate_degraded_total") == 100
    counters.gauge("quorate_in_flight").set(1)
    assert _cells(path, "quorate_in_flight") == (1,)
    counters.close()


@pytest.mark.parametrize(
    ("call", "name", "labels"),
    [
        ("counter", "quorate_in_flight", {}),
        ("gauge", "quorate_degraded_total", {"endpoint": "a"}),
        ("histogram", "quorate_degraded_total", {"endpoint": "a"}),
        ("counter", "quorate_degraded_total", {}),
        ("counter", "quorate_degraded_total", {"endpoint": "a", "more": "b"}),
    ],
)
def test_wrong_kind_or_labels_is_a_mistake_in_the_code(path, call, name, labels):
    counters = Counters(path)
    with pytest.raises(ValueError, match=name):
        getattr(counters, call)(name, **labels)
    counters.close()


def test_a_file_has_one_writer(path, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_ATTEMPTS", 1)
    counters = Counters(path)
    with pytest.raises(StoreError, match="another process"):
        Counters(path)
    counters.close()
    Counters(path).close()


def test_handles_end_with_the_file(path):
    counters = Counters(path)
    shed = counters.counter("quorate_shed_total", endpoint="a", reason="queue")
    counters.close()
    with pytest.raises(ValueError, match="released"):
        shed.add()


@pytest.mark.parametrize("damage", ["empty", "short", "magic", "version", "used"])
def test_an_unreadable_file_is_an_error_to_read_and_replaced_to_write(path, damage):
    Counters(path).close()
    raw = bytearray(path.read_bytes())
    match damage:
        case "empty":
            raw = bytearray()
        case "short":
            raw = raw[:-1]
        case "magic":
            raw[0] ^= 1
        case "version":
            raw[8:16] = struct.pack("<Q", module.VERSION + 1)
        case "used":
            raw[16:24] = struct.pack("<Q", 1 << 40)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="delete it"):
        read(path)
    Counters(path).close()
    assert _cells(path, "quorate_process_starts_total") == (1,)


def test_a_metric_of_another_release_is_passed_over(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(METRICS, "quorate_future_total", METRICS["quorate_shed_total"])
        counters = Counters(path)
        counters.counter("quorate_future_total", endpoint="a", reason="queue").add()
        counters.counter("quorate_shed_total", endpoint="a", reason="queue").add()
        counters.close()
    assert "quorate_future_total" not in {s.metric for s in read(path)[0]}
    counters = Counters(path)
    assert counters.counter("quorate_shed_total", endpoint="a", reason="queue").value == 1
    counters.close()


def test_creation_leaves_no_temporary_file(path):
    Counters(path).close()
    assert list(path.parent.iterdir()) == [path]


def test_every_histogram_has_the_buckets_of_its_scale(path):
    counters = Counters(path)
    sizes = counters.histogram("quorate_batch_rows", pool="p")
    for rows in (1, 2, 5, 5000):
        sizes.observe(rows)
    total, *buckets = _cells(path, "quorate_batch_rows", pool="p")
    assert total == 5008
    bounds = METRICS["quorate_batch_rows"].scale.bounds
    assert {(*bounds, None)[i]: n for i, n in enumerate(buckets) if n} == {1: 1, 2: 1, 6: 1, None: 1}
    counters.close()


def test_buckets_of_another_release_are_passed_over_and_begin_anew(path, monkeypatch):
    with monkeypatch.context() as patch:
        metric = METRICS["quorate_batch_rows"]
        patch.setitem(METRICS, "quorate_batch_rows", metric._replace(scale=metric.scale._replace(bounds=(1, 2))))
        counters = Counters(path)
        counters.histogram("quorate_batch_rows", pool="p").observe(2)
        counters.counter("quorate_degraded_total", endpoint="a").add()
        counters.close()
    assert _cells(path, "quorate_batch_rows", pool="p") is None
    counters = Counters(path)
    counters.histogram("quorate_batch_rows", pool="p").observe(700)
    assert _cells(path, "quorate_batch_rows", pool="p")[0] == 700
    assert _cells(path, "quorate_degraded_total", endpoint="a") == (1,)
    counters.close()


def test_a_file_of_the_release_without_widths_goes_on(path):
    counters = Counters(path)
    counters.counter("quorate_degraded_total", endpoint="a").add(3)
    counters.histogram("quorate_member_duration_seconds", member="m").observe(1.0)
    counters.histogram("quorate_batch_rows", pool="p").observe(2)  # that release would have had other buckets
    counters.close()
    raw = bytearray(path.read_bytes())
    (used,) = struct.unpack_from("<Q", raw, 16)
    lines = [json.dumps(json.loads(line)[:3], separators=(",", ":")) for line in raw[64 : 64 + used].splitlines()]
    old = "".join(f"{line}\n" for line in lines).encode()
    raw[64 : 64 + used] = old.ljust(used, b"\0")
    struct.pack_into("<Q", raw, 16, len(old))
    path.write_bytes(raw)
    counters = Counters(path)
    counters.counter("quorate_degraded_total", endpoint="a").add()
    assert _cells(path, "quorate_degraded_total", endpoint="a") == (4,)
    assert sum(_cells(path, "quorate_member_duration_seconds", member="m")[1:]) == 1
    assert _cells(path, "quorate_batch_rows", pool="p") is None
    counters.close()


def test_a_gauge_without_a_reading_is_not_shown(path):
    counters = Counters(path)
    gauge = counters.gauge("quorate_circuit_state", member="a")
    gauge.set(2)
    gauge.clear()
    assert _cells(path, "quorate_circuit_state", member="a") is None
    gauge.set(1)
    assert _cells(path, "quorate_circuit_state", member="a") == (1,)
    counters.close()
