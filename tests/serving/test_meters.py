"""What is counted for decisions, runs and readings, read back from the file."""

from types import SimpleNamespace

import numpy as np
import pytest

from quorate.core.types import Decision, MemberRun, Status
from quorate.serving import gauges
from quorate.serving.breaker import Circuit
from quorate.serving.entry import JournalCounters
from quorate.serving.meters import Meters
from quorate.serving.units import HostUnit
from quorate.telemetry.counters import Counters, read


class Book:
    """Meters over a file, and what the file says."""

    def __init__(self, path):
        self.path = path
        self.counters = Counters(path)
        self.meters = Meters(self.counters)

    def __call__(self, metric, /, **labels):
        cells = next((s.cells for s in read(self.path)[0] if s.metric == metric and s.labels == labels), None)
        return None if cells is None else cells[0] if len(cells) == 1 else (cells[0], sum(cells[1:]))


@pytest.fixture
def book(tmp_path):
    made = Book(tmp_path / "worker-0.qt")
    yield made
    made.counters.close()


def run(name, ms=1.0, status=Status.OK):
    return MemberRun(name, 1, status, ms)


def decision(*members, **changes):
    known = {
        "id": "d",
        "endpoint": "digits",
        "revision": 1,
        "state_version": 0,
        "source": "policy",
        "arrived": 0.0,
        "queue_ms": 0.25,
        "latency_ms": 2.0,
        "context": {},
        "strategies": ("mean",),
        "propensities": (1.0,),
        "assigned": "mean",
        "served": "mean",
        "members": members,
        "outputs": np.zeros((1, len(members), 2), np.float32),
        "status": np.zeros((1, len(members)), np.int8),
        "answer": np.zeros((1, 2), np.float32),
        "degraded": False,
        "rows": 1,
        "input_digest": b"",
    }
    return Decision(**(known | changes))


def test_a_decision_is_counted_whole(book):
    book.meters.decided_many([decision(run("a", 1.0), run("b", 3.0), run("c", None, Status.SKIPPED), degraded=True)])
    book.meters.decided_many([decision(run("a", 1.0), served="single", assigned="mean")])
    assert book("quorate_requests_total", endpoint="digits", strategy="mean", status="2xx") == 1
    assert book("quorate_requests_total", endpoint="digits", strategy="single", status="2xx") == 1
    assert book("quorate_request_duration_seconds", endpoint="digits") == (4.0, 2)
    assert book("quorate_queue_duration_seconds", endpoint="digits") == (0.5, 2)
    assert book("quorate_member_duration_seconds", member="a") == (2.0, 2)
    assert book("quorate_member_duration_seconds", member="b") == (3.0, 1)
    assert book("quorate_member_duration_seconds", member="c") is None
    assert book("quorate_degraded_total", endpoint="digits") == 1
    assert book("quorate_fallbacks_total", endpoint="digits") == 1


def test_an_error_is_one_of_the_class_5xx_and_no_fallback(book):
    failed = decision(run("a", 1.0, Status.FAILED), served=None, answer=None, error="no_quorum", degraded=True)
    book.meters.decided_many([decision()])
    for _ in range(2):
        book.meters.decided_many([failed])
    book.meters.decided_many([decision(error="no_quorum")])
    assert book("quorate_requests_total", endpoint="digits", strategy="-", status="5xx") == 2
    assert book("quorate_requests_total", endpoint="digits", strategy="mean", status="5xx") == 1
    assert book("quorate_requests_total", endpoint="digits", strategy="mean", status="2xx") == 1
    assert book("quorate_fallbacks_total", endpoint="digits") == 0


def test_many_decisions_count_as_each_would(tmp_path):
    shared = (run("a", 1.5), run("b", 1.5), run("c", 700.0))
    several = [
        decision(*shared),
        *(decision(members=shared, latency_ms=float(k)) for k in range(5)),
        decision(run("a", 9.0), endpoint="other", degraded=True),
        decision(),
        *(decision(members=shared, served=None, error="no_quorum") for _ in range(2)),
        decision(run("b", 0.01)),
    ]
    one, many = Book(tmp_path / "one.qt"), Book(tmp_path / "many.qt")
    for each in several:
        one.meters.decided_many([each])
    many.meters.decided_many(several)
    many.meters.decided_many([])
    kept = [{(s.metric, *s.labels.values()): s.cells for s in read(b.path)[0]} for b in (one, many)]
    assert sum(kept[0]["quorate_member_duration_seconds", "a"][1:]) == 9
    assert kept[0].keys() == kept[1].keys()
    for key, cells in kept[0].items():
        assert cells == pytest.approx(kept[1][key]), key
    for book in (one, many):
        book.counters.close()


def test_runs_combinations_cache_hedges_sheds_and_bytes(book):
    meters = book.meters
    meters.ran("digits", 3, 12, 4.0)
    meters.ran("digits", 1, 5000, 4.0)
    meters.combining("digits")(0.02)
    meters.cache("digits", True)
    meters.cache("digits", False)
    meters.cache("digits", False)
    meters.hedged("a", won=True)
    meters.hedged("a", won=False)
    meters.shed("digits", "journal")
    meters.shed("digits", "queue")
    meters.received(100)
    meters.received(20)
    meters.sent(7)
    meters.connections.add(1)
    meters.refused(422)
    meters.outcomes("accepted", 2)
    meters.outcomes("pending", 0)
    meters.lagged(3.0)
    meters.lagged(-1.0)
    assert book("quorate_batch_requests", pool="digits") == (4, 2)
    assert book("quorate_batch_rows", pool="digits") == (5012, 2)
    assert book("quorate_run_duration_seconds", pool="digits") == (8.0, 2)
    assert book("quorate_combine_duration_seconds", endpoint="digits") == (0.02, 1)
    assert book("quorate_cache_requests_total", endpoint="digits", result="hit") == 1
    assert book("quorate_cache_requests_total", endpoint="digits", result="miss") == 2
    assert book("quorate_hedges_total", member="a", result="won") == 1
    assert book("quorate_hedges_total", member="a", result="lost") == 1
    assert book("quorate_shed_total", endpoint="digits", reason="journal") == 1
    assert book("quorate_shed_total", endpoint="digits", reason="queue") == 1
    assert book("quorate_received_bytes_total") == 120
    assert book("quorate_sent_bytes_total") == 7
    assert book("quorate_connections") == 1
    assert book("quorate_requests_total", endpoint="-", strategy="-", status="4xx") == 1
    assert book("quorate_outcomes_total", result="accepted") == 2
    assert book("quorate_outcomes_total", result="pending") is None
    assert book("quorate_event_loop_lag_seconds") == (3.0, 2)


def _pool(name, *members, memory=None):
    made = [
        SimpleNamespace(name=m, weights=1000, breaker=SimpleNamespace(state=Circuit.CLOSED), unit=None) for m in members
    ]
    route = SimpleNamespace(name=name)
    return SimpleNamespace(
        route=route, members=made, memory=memory, resident=True, threads=2, lanes=3, tried={1: 9.0, 2: 5.0}, load_s=1.5
    )


def test_what_is_unloaded_is_not_shown_any_more(book):
    journal = SimpleNamespace(pending_bytes=5, lag=0.5, counters=JournalCounters())
    first, second = _pool("first", "a", "b", memory=4096), _pool("second", "b", "c")
    first.members[0].breaker.state = Circuit.OPEN
    book.meters.observe([first, second], journal)
    assert book("quorate_circuit_state", member="a") == Circuit.OPEN
    assert book("quorate_pool_memory_bytes", pool="first") == 4096
    assert book("quorate_pool_memory_bytes", pool="second") is None
    assert book("quorate_model_weights_bytes", member="c") == 1000
    book.meters.observe([second], journal)
    assert book("quorate_circuit_state", member="a") is None
    assert book("quorate_circuit_state", member="b") == Circuit.CLOSED
    assert book("quorate_pool_memory_bytes", pool="first") is None
    book.meters.observe([first, second], journal)
    assert book("quorate_circuit_state", member="a") == Circuit.OPEN
    assert (book("quorate_pool_threads", pool="first"), book("quorate_pool_lanes", pool="first")) == (2, 3)
    assert book("quorate_pool_load_seconds", pool="first") == 1.5
    assert [book("quorate_pool_tried_seconds", pool="first", threads=n) for n in "12"] == [0.009, 0.005]
    first.resident = False
    book.meters.observe([first, second], journal)
    assert (book("quorate_pool_resident", pool="first"), book("quorate_pool_resident", pool="second")) == (0, 1)
    for gone in ("quorate_pool_memory_bytes", "quorate_pool_threads", "quorate_pool_lanes"):
        assert book(gone, pool="first") is None
    assert book("quorate_pool_tried_seconds", pool="first", threads="1") is None
    assert book("quorate_circuit_state", member="a") is None


def test_what_a_member_s_own_processes_work_is_added_up(book, monkeypatch):
    spent = {7: 5.0, 8: 1.0}
    monkeypatch.setattr(gauges, "cpu_seconds", spent.get)
    hosts = [SimpleNamespace(pid=7, restarts=0), SimpleNamespace(pid=None, restarts=0)]
    pool = _pool("first", "a")
    pool.members[0].unit = HostUnit.__new__(HostUnit)
    pool.members[0].unit.replicas = SimpleNamespace(all=[SimpleNamespace(host=host) for host in hosts])
    journal = SimpleNamespace(pending_bytes=0, lag=0.0, counters=JournalCounters())
    book.meters.observe([pool], journal)
    spent[7] = 6.5
    book.meters.observe([pool], journal)
    assert book("quorate_host_cpu_seconds_total", member="a") == 6.5
    hosts[0].pid, hosts[1].pid = 8, 7  # a second one; and a number that was given out again
    spent[7] = 0.25
    book.meters.observe([pool], journal)
    assert book("quorate_host_cpu_seconds_total", member="a") == 7.75


def test_the_journal_s_books_are_carried_over_once(book):
    journal = SimpleNamespace(pending_bytes=5, lag=0.5, counters=JournalCounters())
    book.meters.observe([], journal)
    assert book("quorate_journal_dropped_total") == 0
    journal.counters.appended, journal.counters.written_bytes, journal.counters.dropped = 7, 900, 2
    book.meters.observe([], journal)
    book.meters.observe([], journal)
    assert book("quorate_journal_records_total") == 7
    assert book("quorate_journal_bytes_total") == 900
    assert book("quorate_journal_dropped_total") == 2
    assert book("quorate_journal_pending_bytes") == 5
    assert book("quorate_journal_lag_seconds") == 0.5
    assert book("quorate_process_resident_memory_bytes") > 0
