"""What wrk says."""

from __future__ import annotations

import pytest

from benchmarks.harness.wrk import Load, _threads, parse

OUTPUT = """\
Running 2s test @ http://127.0.0.1:1/predict
RESULT {"answers": 1000, "not_200": 10, "socket_errors": 2, "seconds": 2.5, "p50_ms": 1.5, "p99_ms": 4.0}
"""


def test_only_good_answers_count() -> None:
    assert parse(OUTPUT) == Load(answers=1000, rate=396.0, p50_ms=1.5, p99_ms=4.0, bad=12)


def test_no_result_is_an_error_that_shows_the_output() -> None:
    with pytest.raises(RuntimeError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize(("connections", "cores", "threads"), [(32, 3, 2), (32, 1, 1), (1, 4, 1), (30, 3, 3)])
def test_all_connections_are_opened(connections: int, cores: int, threads: int) -> None:
    assert _threads(connections, cores) == threads
    assert connections % threads == 0
