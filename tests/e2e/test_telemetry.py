"""What a served project tells its operators: metrics, traces and JSON log lines of the same decision."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

BODY = {"instances": [[[0] * 8] * 8]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[Any]:
    """An OTLP collector; ``spans()`` are those it was sent."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Collector(ThreadingHTTPServer):
        daemon_threads = True

        def spans(self) -> list[Any]:
            requests = [service.ExportTraceServiceRequest.FromString(body) for body in bodies]
            return [s for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    made = Collector(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def _samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.timeout(200)
def test_a_decision_is_a_trace_a_log_line_and_counted(digits, server, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
    running = server(digits, "--log-format", "json", "--access-log")
    predict = f"{running.url}/v1/endpoints/digits/predict"
    caller = {"x-request-id": "req-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = running.http.post(predict, json=BODY, headers=caller)
    assert answer.status_code == 200
    identity = answer.json()["id"]
    unwanted = {"traceparent": f"00-{TRACE[::-1]}-00f067aa0ba902b7-00"}
    assert running.http.post(predict, json=BODY, headers=unwanted).status_code == 200

    def lines() -> list[dict[str, Any]]:
        text = running.log()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]

    def mine() -> list[dict[str, Any]]:
        return [line for line in lines() if line.get("decision") == identity]

    running.until(lambda: bool(mine()), within=30, what=running.log)
    (line,) = mine()
    assert (line["logger"], line["slot"], line["request_id"]) == ("quorate.access", 0, "req-1")
    assert (line["endpoint"], line["status"], line["rows"]) == ("digits", 200, 1)
    assert any(line["logger"] == "quorate.supervisor" and "is ready" in line["message"] for line in lines())

    running.until(lambda: bool(collector.spans()), within=30, what=running.log)
    spans = collector.spans()
    assert {span.trace_id.hex() for span in spans} == {TRACE}  # the other caller wanted none
    assert spans[0].name == "predict digits"
    assert spans[0].parent_span_id.hex() == "00f067aa0ba902b7"
    said = {a.key: a.value.string_value for a in spans[0].attributes}
    assert said["quorate.decision.id"] == identity
    assert len(spans) > 1
    assert {span.parent_span_id for span in spans[1:]} == {spans[0].span_id}

    def scrape() -> str:
        return running.http.get(f"{running.control}/metrics").text

    def metric(name: str, **labels: str) -> float:
        found = _samples(scrape())
        return found.get((name, frozenset(labels.items())), 0.0)

    def refreshed() -> bool:
        return metric("quorate_journal_records_total") >= 2

    running.until(refreshed, within=30, what=running.log)
    assert metric("quorate_queue_duration_seconds_count", endpoint="digits") == 2
    running.until(lambda: metric("quorate_spans_total", result="exported") > 0, within=30, what=running.log)
    assert metric("quorate_spans_total", result="exported") == len(spans)
    for process in ("worker-0", "control"):
        assert metric("quorate_process_cpu_seconds_total", process=process) > 0
        assert metric("quorate_process_resident_memory_bytes", process=process) > 1 << 20
        assert metric("quorate_process_open_fds", process=process) > 3
    assert metric("quorate_connections", process="worker-0") >= 1  # ours is kept alive
    assert metric("quorate_event_loop_lag_seconds_count", process="worker-0") > 0
    assert metric("quorate_pool_memory_bytes", pool="digits", process="worker-0") > 0
    (member, *_) = (dict(labels)["member"] for name, labels in _samples(scrape()) if "weights_bytes" in name)
    assert metric("quorate_model_weights_bytes", member=member, process="worker-0") > 100


@pytest.mark.timeout(100)
def test_a_sampler_that_cannot_be_obeyed_is_said_before_serving(digits, monkeypatch, capsys):
    from quorate.errors import ConfigError
    from quorate.home import Home
    from quorate.launch import Overrides, prepare

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "sometimes")
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER must be one of"):
        prepare(Home(digits), Overrides(port=0, control_port=0, console=False))
