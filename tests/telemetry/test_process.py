import gc
import os
import subprocess
import sys

import pytest

from quorate.telemetry import process
from quorate.telemetry.counters import Counters, read
from quorate.telemetry.process import ProcessMeter, cpu_seconds, open_descriptors, resident_bytes


@pytest.fixture
def counters(tmp_path):
    made = Counters(tmp_path / "worker-0.qt")
    yield made
    made.close()


def _reading(tmp_path, name):
    return next((s.cells[0] for s in read(tmp_path / "worker-0.qt")[0] if s.metric == name), None)


def test_memory_grows_with_what_is_held():
    before = resident_bytes()
    held = b"x" * (64 << 20)
    assert resident_bytes() - before > 48 << 20
    del held


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_of_another_process():
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        assert resident_bytes(child.pid) > 1 << 20
        child.stdin.write(b"\n")
        child.stdin.close()
    assert resident_bytes(child.pid) is None


@pytest.mark.parametrize("old_kernel", [False, True])
def test_open_descriptors_are_counted(monkeypatch, old_kernel):
    if old_kernel:

        class Path(type(process.Path())):
            def stat(self, **_):
                return os.stat_result([0] * 10)

        monkeypatch.setattr(process, "Path", Path)
    before = open_descriptors()
    pipes = [os.pipe() for _ in range(5)]
    assert open_descriptors() == before + 10
    for end in sum(pipes, ()):
        os.close(end)


def test_readings_are_kept(counters, tmp_path):
    meter = ProcessMeter(counters)
    meter.observe()
    spent = _reading(tmp_path, "quorate_process_cpu_seconds_total")
    assert spent > 0
    while _reading(tmp_path, "quorate_process_cpu_seconds_total") == spent:
        sum(range(10_000))
        meter.observe()
    assert _reading(tmp_path, "quorate_process_resident_memory_bytes") > 1 << 20
    assert _reading(tmp_path, "quorate_process_open_fds") > 0


def test_what_the_system_does_not_tell_is_not_shown(counters, tmp_path, monkeypatch):
    meter = ProcessMeter(counters)
    meter.observe()
    monkeypatch.setattr(process, "open_descriptors", lambda: None)
    meter.observe()
    assert _reading(tmp_path, "quorate_process_open_fds") is None
    assert _reading(tmp_path, "quorate_process_resident_memory_bytes") is not None


def test_collections_are_timed_until_closed(counters, tmp_path):
    times = iter(range(100))
    meter = ProcessMeter(counters, now=lambda: next(times))
    meter.time_collections()
    meter.time_collections()
    gc.disable()  # only ours
    try:
        gc.collect()
        gc.collect()
        meter.close()
        gc.collect()
    finally:
        gc.enable()
        meter.close()
    cells = next(s.cells for s in read(tmp_path / "worker-0.qt")[0] if s.metric == "quorate_gc_pause_seconds")
    assert sum(cells[1:]) == 2
    assert cells[0] == 2000


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_processor_time_of_another_process():
    busy = "import time\nwhile time.process_time() < 0.1: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert 0.05 < cpu_seconds(child.pid) < 60
        child.stdin.write(b"\n")
        child.stdin.close()
    assert cpu_seconds(child.pid) is None
