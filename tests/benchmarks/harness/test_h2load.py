"""What h2load says."""

from __future__ import annotations

import pytest

from benchmarks.harness import h2load

OUTPUT = """\
finished in 2.00s, 1500.50 req/s, 1.00MB/s
requests: 3001 total, 3001 started, 3001 done, 3001 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 3001 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_rate_and_latency() -> None:
    log = "".join(f"1\t200\t{1000 * (i + 1)}\n" for i in range(99)) + "1\t503\t500000\n"
    load = h2load.parse(OUTPUT, log)
    assert (load.answers, load.rate, load.bad) == (100, 1500.5, 1)
    assert load.p50_ms == 51.0
    assert load.p99_ms == 500.0


def test_no_result_is_an_error_that_shows_the_output() -> None:
    with pytest.raises(RuntimeError, match="refused"):
        h2load.parse("connection refused", "")


def test_a_message_is_framed() -> None:
    assert h2load.framed(b"abc") == b"\0\0\0\0\x03abc"
