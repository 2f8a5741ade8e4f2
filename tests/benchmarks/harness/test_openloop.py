"""The open-loop generator against a small server that is told how to behave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import openloop
from benchmarks.harness.openloop import RECORD, Records
from benchmarks.harness.requests import NUMBER, Request, save

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
Answer = Callable[[int, bytes], bytes]

needs_compiler = pytest.mark.skipif(openloop.missing() is not None, reason=str(openloop.missing()))


class Site:
    """Answers requests of one line of head each; counts them in the order they came."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.seen: list[bytes] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        left = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in left:
                    more = connection.recv(65536)
                    if not more:
                        return
                    left += more
                head, _, left = left.partition(b"\r\n\r\n")
                with self._lock:
                    number = len(self.seen)
                    self.seen.append(head)
                reply = self._answer(number, head)
                if not reply:
                    return
                connection.sendall(reply)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Answer], Site]]:
    sites: list[Site] = []
    monkeypatch.setattr(openloop, "FOLDER", tmp_path)

    def make(answer: Answer) -> Site:
        sites.append(Site(answer))
        return sites[-1]

    yield make
    for one in sites:
        one.close()


def send(site: Site, folder: Path, *, seconds: float = 0.5, connections: int = 8, grace: float = 20.0) -> Records:
    request = Request("/", b"", headers={"X-Request-Id": NUMBER}, expect=b"right")
    file = save([request], folder / "requests")
    return openloop.drive(site.port, file, rate=200, seconds=seconds, connections=connections, cores=None, grace=grace)


@needs_compiler
def test_every_request_is_sent_once_and_answered(site, tmp_path):
    running = site(lambda number, head: OK)
    records = send(running, tmp_path)
    assert len(records.rows) == len(running.seen)
    assert records.statuses() == {200: len(records.rows)}
    assert records.wrong == 0
    ids = {head.partition(b"X-Request-Id: ")[2][:10] for head in running.seen}
    assert ids == {b"%010d" % n for n in range(len(records.rows))}
    assert (records.rows["sent"] >= records.rows["intended"]).all()
    assert (records.rows["done"] >= records.rows["sent"]).all()


@needs_compiler
def test_arrivals_are_the_same_for_equal_seeds_and_as_many_as_asked(site, tmp_path):
    running = site(lambda number, head: OK)
    first, second = (send(running, tmp_path, seconds=2.0) for _ in range(2))
    np.testing.assert_array_equal(first.rows["intended"], second.rows["intended"])
    assert abs(len(first.rows) - 400) < 5 * 20  # five standard deviations of a Poisson count
    gaps = np.diff(first.rows["intended"])
    assert 0.5 < gaps.std() / gaps.mean() < 1.5  # an exponential's is 1, an even schedule's 0


@needs_compiler
def test_refusals_wrong_answers_and_broken_connections_are_told_apart(site, tmp_path):
    replies = {0: OK.replace(b"right", b"wrong"), 1: REFUSED, 2: b""}
    records = send(site(lambda number, head: replies.get(number, OK)), tmp_path)
    statuses = records.statuses()
    assert statuses[429] == 1
    assert statuses[openloop.BROKEN] == 1
    assert records.wrong == 1
    assert records.good.sum() == len(records.rows) - 3


@needs_compiler
def test_a_stall_is_charged_to_every_request_that_was_due_meanwhile(site, tmp_path):
    free = threading.Event()

    def answer(number: int, head: bytes) -> bytes:
        if number >= 10:
            threading.Timer(0.7, free.set).start()  # longer than the run, from its eleventh request
            assert free.wait(20)
        return OK

    records = send(site(answer), tmp_path, connections=2)
    assert records.statuses() == {200: len(records.rows)}
    held = records.rows[records.rows["flags"] != 0]
    assert len(held) > len(records.rows) / 2  # two connections were busy; all others waited in the generator
    assert records.waited > 0.5
    assert (held["done"] - held["intended"]).max() > 0.6  # from when they were due, not from when they left


@needs_compiler
def test_what_never_comes_is_unanswered(site, tmp_path):
    never = threading.Event()
    records = send(site(lambda number, head: (never.wait(20) and b"") or b""), tmp_path, grace=0.2)
    never.set()
    assert set(records.statuses()) == {openloop.UNANSWERED}
    assert records.rate == 0


def test_records_say_rate_latency_and_lateness() -> None:
    rows = np.array(
        [(0.0, 0.001, 0.010, 200, 0), (0.1, 0.105, 0.120, 200, 1), (0.2, 0.4, 0.5, 429, 2), (0.3, 0.3, 2.0, 200, 0)],
        RECORD,
    )
    records = Records(rows, 1.0)
    assert records.rate == 1.0  # one is wrong, one refused, one too late for the run
    assert records.offered == 4.0
    assert records.latency_ms().tolist() == pytest.approx([10, 20, 1700])
    assert records.latency_ms(429).tolist() == pytest.approx([300])
    assert records.late_ms().tolist() == pytest.approx([1, 5, 0])
    assert records.waited == 0.25
    assert np.isnan(openloop.percentile(records.latency_ms(500), 50))
