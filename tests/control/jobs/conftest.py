"""A desk of jobs on a project, and an inference port that answers as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pytest

from quorate.clock import SystemClock
from quorate.codecs.batch import ARROW, NdjsonWriter
from quorate.control.jobs import running
from quorate.control.jobs.desk import JobDesk
from quorate.store.jobs import ENDED, Job

WITHIN = 60.0


def until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, f"Not within {WITHIN:g} s: {what}"
        time.sleep(0.005)


class Inference:
    """Answers a batch row by row with the row's own first value; ``faults`` are used up first, one a request.

    A fault is a status, ``cut`` (the answer has no end), ``shed`` (its rows are), or ``hold``: it waits for ``go``.
    """

    def __init__(self) -> None:
        self.faults: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.go = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        with self._lock:
            url = urlsplit(handler.path)
            self.requests.append(
                {"path": url.path, "query": dict(parse_qsl(url.query)), "headers": dict(handler.headers), "body": body}
            )
            fault = self.faults.pop(0) if self.faults else None
        if fault == "hold":
            self.go.wait(WITHIN)
            fault = None
        if isinstance(fault, int):
            self._send(handler, fault, json.dumps({"code": "x", "detail": f"Status {fault}."}).encode())
            return
        rows = [self._row(i, value, fault) for i, value in enumerate(self._values(handler, body))]
        failed = sum("error" in row for row in rows)
        writer = NdjsonWriter()
        summary = {"rows": len(rows), "answered": len(rows) - failed, "failed": failed, "complete": True}
        found = writer.rows(rows) + (b"" if fault == "cut" else writer.end(summary))
        self._send(handler, 200, found)

    @staticmethod
    def _values(handler: BaseHTTPRequestHandler, body: bytes) -> list[Any]:
        if handler.headers["content-type"] == ARROW:
            return [row[0] for row in pa.ipc.open_stream(body).read_all()["input"].to_pylist()]
        return [None if b"bad" in line else json.loads(line)[0] for line in body.split(b"\n") if line.strip()]

    @staticmethod
    def _row(i: int, value: Any, fault: Any) -> dict[str, Any]:
        if fault == "shed" or value is None:
            code = "overloaded" if fault == "shed" else "malformed_request"
            return {"row": i, "error": {"code": code, "detail": "No."}}
        return {"row": i, "prediction": {"label": str(value)}, "decision": "d", "decision_row": i, "revision": 1}

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Jobs:
    """A project that opens the folder ``data``; ``desk()`` is a control process's, fresh at every call."""

    def __init__(self, project: Any, inference: Inference) -> None:
        self.project = project
        self.inference = inference
        self.data = project.home.root / "data"
        self.data.mkdir()
        project.write(project.home.config.read_text() + "jobs: {inputs: data}\n")
        project.apply()
        self._desks: list[JobDesk] = []

    def desk(self, *, start: bool = True) -> JobDesk:
        desk = JobDesk(self.project.home, self.project.database, SystemClock(), self.inference.url)
        self._desks.append(desk)
        if start:
            desk.start()
        return desk

    def submit(self, desk: JobDesk, given: str, form: str = "ndjson", output: str = "ndjson", **asked: Any) -> Job:
        return desk.submit(
            desk.new_id(),
            endpoint="main",
            asked=asked,
            given=given,
            input_format=form,
            output_format=output,
            author="tester",
        )

    def ended(self, desk: JobDesk, job: Job) -> Job:
        until(lambda: desk.get(job.id).state in ENDED, f"job {job.id} has ended")
        return desk.get(job.id)

    def lines(self, name: str, rows: int) -> None:
        """A file of ``rows`` rows, whose first value is their number."""
        (self.data / name).write_text("".join(f"[{i}, 0, 0, 0]\n" for i in range(rows)))

    def close(self) -> None:
        self.inference.go.set()
        for desk in self._desks:
            desk.stop()


@pytest.fixture
def inference() -> Iterator[Inference]:
    found = Inference()
    yield found
    found.close()


@pytest.fixture
def jobs(project: Any, inference: Inference, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(running, "_FIRST_PAUSE", 0.01)
    found = Jobs(project, inference)
    yield found
    found.close()
