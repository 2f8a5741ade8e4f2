"""Spans are derived from decisions, sent by OTLP, bounded and counted."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from quorate.core.types import MemberRun, Status
from quorate.errors import ConfigError
from quorate.telemetry import traces
from quorate.telemetry.counters import Counters, read
from quorate.telemetry.traces import Sampling, Tracer, sampling
from quorate.telemetry.tracing import start

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def decision(**changes):
    members = (
        MemberRun("a", 3, Status.OK, 2.0),
        MemberRun("b", 1, Status.FAILED, 5.0, "member_timeout"),
        MemberRun("c", 1, Status.SKIPPED),
        MemberRun("d", 1, Status.FAILED, None, "member_circuit_open"),
    )
    known = {
        "id": "0193",
        "request_id": "req-1",
        "endpoint": "digits",
        "revision": 7,
        "source": "policy",
        "assigned": "mean",
        "served": "mean",
        "degraded": True,
        "error": None,
        "rows": 2,
        "arrived": 1000.0,
        "queue_ms": 1.0,
        "latency_ms": 8.0,
        "members": members,
        "traceparent": PARENT,
    }
    return SimpleNamespace(**(known | changes))


@pytest.fixture
def counters(tmp_path):
    made = Counters(tmp_path / "worker-0.qt")
    yield made
    made.close()


@pytest.fixture
def counted(tmp_path):
    def of(result):
        found = (s for s in read(tmp_path / "worker-0.qt")[0] if s.metric == "quorate_spans_total")
        return next((s.cells[0] for s in found if s.labels["result"] == result), None)

    return of


class Receiver(ThreadingHTTPServer):
    """An OTLP collector that remembers what it was sent; ``status`` is what it answers."""

    daemon_threads = True

    def __init__(self):
        self.status = 200
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self):
        return [s for _, r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def said(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_decision_becomes_a_server_span_and_one_span_a_member(counters, counted, receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    tracer = start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, counters, "worker-0")
    tracer.observe(decision())
    assert tracer.close(30)
    assert [path for path, _ in receiver.requests] == ["/v1/traces"]
    resource = {a.key: a.value.string_value for a in receiver.requests[0][1].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "quorate"
    assert resource["service.instance.id"] == "worker-0"
    server, a, b, d = receiver.spans()
    assert server.name == "predict digits"
    assert server.kind == Span.SPAN_KIND_SERVER
    assert server.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert server.start_time_unix_nano == 1000 * 10**9
    assert server.end_time_unix_nano == 1000 * 10**9 + 8 * 10**6
    assert server.status.code == SpanStatus.STATUS_CODE_UNSET
    assert said(server) == {
        "quorate.endpoint": "digits",
        "quorate.revision": 7,
        "quorate.decision.id": "0193",
        "quorate.request.id": "req-1",
        "quorate.source": "policy",
        "quorate.strategy.assigned": "mean",
        "quorate.strategy.served": "mean",
        "quorate.degraded": True,
        "quorate.rows": 2,
        "quorate.queue_ms": 1.0,
    }
    assert [s.name for s in (a, b, d)] == ["member a", "member b", "member d"]  # c was not asked
    for member in (a, b, d):
        assert member.parent_span_id == server.span_id
        assert member.trace_id == server.trace_id
        assert member.start_time_unix_nano == 1000 * 10**9 + 10**6
    assert (a.end_time_unix_nano - a.start_time_unix_nano) == 2 * 10**6
    assert (d.end_time_unix_nano - d.start_time_unix_nano) == 0
    assert said(a)["quorate.member.version"] == 3
    assert said(b)["quorate.member.status"] == "failed"
    assert said(b)["error.type"] == b.status.message == "member_timeout"
    assert b.status.code == SpanStatus.STATUS_CODE_ERROR
    assert (counted("exported"), counted("failed"), counted("dropped")) == (4, 0, 0)


def test_an_error_is_an_error_span_and_a_root_has_no_parent(counters, receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cakes")
    tracer = start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, counters, "worker-0")
    tracer.observe(decision(traceparent=None, served=None, error="no_quorum"))
    assert tracer.close(30)
    server = receiver.spans()[0]
    assert server.parent_span_id == b""
    assert len(server.trace_id) == 16
    assert any(server.trace_id)
    assert server.status.code == SpanStatus.STATUS_CODE_ERROR
    assert said(server)["error.type"] == "no_quorum"
    assert "quorate.strategy.served" not in said(server)
    resource = {a.key: a.value.string_value for a in receiver.requests[0][1].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "cakes"


def test_a_receiver_that_refuses_costs_the_spans_and_nothing_else(counters, counted, receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    receiver.status = 400
    tracer = start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, counters, "worker-0")
    tracer.observe(decision())
    assert tracer.close(30)
    assert (counted("exported"), counted("failed")) == (0, 4)


class Held:
    """An exporter that waits until it is let go."""

    def __init__(self):
        self.entered = threading.Event()
        self.go = threading.Event()
        self.taken = []
        self.was_shut = False

    def export(self, decisions):
        self.entered.set()
        assert self.go.wait(60)
        self.taken.extend(decisions)
        return sum(traces.spans_of(d.members) for d in decisions), True

    def shutdown(self):
        self.was_shut = True


def test_what_does_not_fit_is_dropped_and_counted(counters, counted):
    exporter = Held()
    tracer = Tracer(exporter, Sampling(True, 1.0), counters)
    tracer.start()
    for _ in range(traces.BATCH):
        tracer.observe(decision())
    assert exporter.entered.wait(60)
    extra = 10
    for _ in range(traces.QUEUE + extra):
        tracer.observe(decision())
    left = traces.QUEUE + extra + traces.BATCH - len(tracer._queue)
    assert len(tracer._queue) == traces.QUEUE
    dropped = counted("dropped")
    assert 0 < dropped <= 4 * left
    exporter.go.set()
    assert tracer.close(60)
    tracer.observe(decision())  # after the end
    assert counted("dropped") == dropped + 4
    assert counted("exported") == 4 * len(exporter.taken)
    assert counted("exported") + dropped == 4 * (traces.BATCH + traces.QUEUE + extra)
    assert exporter.was_shut


def test_closing_does_not_wait_for_an_exporter_that_hangs(counters):
    exporter = Held()
    tracer = Tracer(exporter, Sampling(True, 1.0), counters)
    tracer.start()
    for _ in range(traces.BATCH):
        tracer.observe(decision())
    assert exporter.entered.wait(60)
    assert tracer.close(0.0) is False
    assert exporter.was_shut
    exporter.go.set()
    tracer._thread.join(60)


def test_an_exporter_that_raises_is_counted_and_the_next_batch_is_tried(counters, counted, caplog):
    class Broken(Held):
        def export(self, decisions):
            if not self.taken:
                self.taken.append(None)
                raise RuntimeError("broken")
            return 4, True

    tracer = Tracer(Broken(), Sampling(True, 1.0), counters)
    for _ in range(traces.BATCH + 1):
        tracer.observe(decision())
    tracer.start()
    assert tracer.close(60)
    assert (counted("failed"), counted("exported")) == (4 * traces.BATCH, 4)
    assert "could not be exported" in caplog.text


@pytest.mark.parametrize(
    ("how", "parent", "bits", "taken"),
    [
        (Sampling(True, 1.0), None, 1, True),
        (Sampling(True, 1.0), PARENT, 0, True),
        (Sampling(True, 1.0), UNSAMPLED, 0, False),
        (Sampling(True, 0.0), PARENT, 0, True),
        (Sampling(True, 0.0), None, 1, False),
        (Sampling(True, 0.25), None, (1 << 62) - 1, True),
        (Sampling(True, 0.25), None, 1 << 62, False),
        (Sampling(False, 0.0), PARENT, 0, False),
        (Sampling(False, 1.0), UNSAMPLED, 0, True),
        (Sampling(True, 1.0), "nonsense", 0, False),
    ],
)
def test_the_caller_s_flag_is_obeyed_and_the_ratio_for_the_others(counters, how, parent, bits, taken):
    tracer = Tracer(Held(), how, counters, random_bits=lambda _: bits)
    tracer.observe(decision(traceparent=parent))
    assert len(tracer._queue) == taken


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, Sampling(True, 1.0)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, Sampling(True, 0.1)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, Sampling(False, 1.0)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampling(False, 0.0)),
        ({"OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/t"}, Sampling(True, 1)),
    ],
)
def test_the_settings_are_open_telemetry_s_own(more, expected):
    assert sampling(ON | more) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_a_setting_that_cannot_be_obeyed_is_an_error(variable, value):
    with pytest.raises(ConfigError, match=value) as caught:
        sampling(ON | {variable: value})
    assert caught.value.path == variable


@pytest.mark.parametrize("ratio", ["1.5", "-1", "half", "nan"])
def test_a_ratio_is_a_number_from_0_to_1(ratio):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        sampling(ON | {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio})


def test_off_by_default_and_said_where_the_extra_is_missing(counters, monkeypatch, caplog):
    assert start({}, counters, "worker-0") is None
    assert not caplog.text
    monkeypatch.setattr(traces, "installed", lambda: False)
    assert start(ON, counters, "worker-0") is None
    assert "pip install 'quorate[otel]'" in caplog.text
