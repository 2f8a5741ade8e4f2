"""Lines are whole JSON objects, never lost without a count, and never wait for whoever reads them."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from quorate.telemetry import logs
from quorate.telemetry.logs import JsonFormatter, TextFormatter, ThreadedHandler


def record(message="hello", *args, level=logging.INFO, exc_info=None, **extra):
    made = logging.LogRecord("quorate.serving", level, "f.py", 1, message, args, exc_info)
    made.__dict__.update(extra)
    return made


def test_a_json_line_has_what_the_record_says():
    line = json.loads(
        JsonFormatter("worker 3").format(record("no %s\nhere", "ä", request_id="r", decision="d", rows=2))
    )
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line.pop("time"))).total_seconds() < 3600
    assert line == {
        "level": "INFO",
        "logger": "quorate.serving",
        "process": "worker-3",
        "slot": 3,
        "message": "no ä\nhere",
        "request_id": "r",
        "decision": "d",
        "rows": 2,
    }
    assert "slot" not in json.loads(JsonFormatter("control").format(record()))


def test_an_exception_is_a_field_and_the_line_stays_one_line():
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        text = JsonFormatter("control").format(record(exc_info=sys.exc_info(), decision=None))
    assert "\n" not in text
    line = json.loads(text)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("RuntimeError: broken")
    assert "decision" not in line


def test_text_stays_as_it_was():
    assert TextFormatter("worker 0").format(record()).endswith(" worker 0: hello")


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    for end in (read, write):
        os.close(end)


@pytest.fixture
def handler(pipe):
    made = ThreadedHandler(pipe[1], pending_bytes=4096)
    made.setFormatter(JsonFormatter("worker 0"))
    return made


def lines_of(read, enough):
    """Read whole lines until ``enough(lines)``."""
    text = b""
    while not enough(text.splitlines()) or not text.endswith(b"\n"):
        text += os.read(read, 65536)
    return [json.loads(line) for line in text.splitlines()]


def test_lines_are_written_in_order(pipe, handler):
    for number in range(10):
        handler.handle(record("line %d", number))
    handler.flush()
    assert [line["message"] for line in lines_of(pipe[0], lambda lines: len(lines) == 10)] == [
        f"line {number}" for number in range(10)
    ]
    assert handler.lost == 0


def test_a_stalled_reader_holds_nobody_up_and_what_is_lost_is_counted(pipe, handler):
    read, write = pipe
    os.set_blocking(write, False)
    try:
        while True:  # fill the pipe up
            os.write(write, b"\n" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    sent = 500
    for number in range(sent):  # this thread would hang here if it wrote itself
        handler.handle(record("line %d", number))
    lost = handler.lost
    assert 0 < lost < sent
    text = b""
    while b"missing" not in text:
        text += os.read(read, 65536)
    lines = [json.loads(line) for line in text.splitlines() if line]
    assert len([line for line in lines if line["message"].startswith("line ")]) == sent - lost
    assert lines[-1]["message"].startswith(f"{lost} log lines are missing here")
    handler.flush()
    handler.handle(record("again"))
    assert [line["message"] for line in lines_of(read, lambda lines: len(lines) == 1)] == ["again"]
    assert handler.lost == lost


def test_a_reader_that_is_gone_costs_lines_and_nothing_else():
    read, write = os.pipe()
    os.close(read)
    handler = ThreadedHandler(write)
    handler.setFormatter(TextFormatter("worker 0"))
    handler.handle(record())
    handler.handle(record())
    with handler._changed:
        assert handler._changed.wait_for(lambda: handler.lost == 2, 60)
    os.close(write)


def test_many_threads_write_whole_lines(pipe, handler):
    def write(name):
        for number in range(20):
            handler.handle(record("%s %d", name, number))
            handler.flush()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    lines = lines_of(pipe[0], lambda lines: len(lines) == 60)
    for thread in threads:
        thread.join()
    assert sorted(line["message"] for line in lines) == sorted(f"{name} {n}" for name in "abc" for n in range(20))


def test_what_was_logged_last_is_written_before_the_process_ends():
    code = """
        import logging, os
        from quorate.telemetry import logs
        logs.setup("worker 1", "json")
        logging.getLogger("quorate.serving").info("the last word")
        logging.getLogger("quorate.serving").debug("not this")
        logging.shutdown()
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["the last word"]


def test_what_nobody_catches_and_warnings_are_json_too():
    code = """
        import threading, warnings
        from quorate.telemetry import logs
        logs.setup("control", "json")
        warnings.warn("old")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        raise ValueError("at the end")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    warning, division, end = (json.loads(line) for line in done.stderr.splitlines())
    assert "UserWarning: old" in warning["message"]
    assert "ZeroDivisionError" in division["exception"]
    assert end["exception"].endswith("ValueError: at the end")


def test_a_process_that_nobody_reads_can_still_end():
    code = """
        import logging, os
        from quorate.telemetry import logs
        logs.setup("worker 1", "json")
        for _ in range(2000):
            logging.getLogger("quorate.serving").info("x" * 1000)
        logging.shutdown()
        os.write(1, str(logs.lost_lines()).encode())
        os._exit(0)
    """
    read, write = os.pipe()
    fcntl.fcntl(write, getattr(fcntl, "F_SETPIPE_SZ", 1031), 4096) if sys.platform == "linux" else None
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write) as process:
        assert int(process.stdout.read()) > 0
        assert process.wait(60) == 0
    os.close(read)
    os.close(write)


def test_an_access_line_says_what_was_answered(caplog):
    decision = SimpleNamespace(
        id="0193",
        endpoint="digits",
        revision=7,
        request_id="r1",
        served="mean",
        error=None,
        rows=1,
        latency_ms=1.23456,
        queue_ms=0.1,
        degraded=False,
    )
    with caplog.at_level(logging.INFO, "quorate.access"):
        logs.log_access(decision)
        logs.log_access(SimpleNamespace(**(vars(decision) | {"error": "no_quorum", "served": None})))
    good, bad = (json.loads(JsonFormatter("worker 0").format(r)) for r in caplog.records)
    assert good["message"] == "digits 200 1.23 ms (0193)"
    assert {name: good[name] for name in ("request_id", "decision", "endpoint", "strategy", "status")} == {
        "request_id": "r1",
        "decision": "0193",
        "endpoint": "digits",
        "strategy": "mean",
        "status": 200,
    }
    assert (good["latency_ms"], good["degraded"], good["revision"]) == (1.235, False, 7)
    assert bad["status"] == 504
    assert "strategy" not in bad
