"""Jobs, with either client, against a scripted control port."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from quorate.client import AsyncJobs, Jobs, RequestRefused, ServerUnavailable
from quorate.errors import InvalidInput

URL = "http://127.0.0.1:8001"
ROWS = b"[1, 2]\n" * 100_000
"""More than is read of a file at a time."""


def shown(state: str, **more: Any) -> dict[str, Any]:
    """A job as the control port shows it."""
    return {
        "id": "j1", "endpoint": "digits", "state": state, "created": 1.0, "started": None, "finished": None,
        "error": None, "input": None, "input_format": "ndjson", "input_bytes": 7, "output_format": "ndjson",
        "rows_done": 0, "rows_failed": 0, "rows_total": None, "progress": None, "rows_per_second": None,
    } | more  # fmt: skip


class Control:
    """Takes one job, which is queued, runs and is done by its third look; ``fault`` is raised or answered instead."""

    def __init__(self, fault: Any = None) -> None:
        self.fault = fault
        self.requests: list[httpx.Request] = []
        self.states = ["queued", "running", "done"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.fault, type):
            raise self.fault("scripted", request=request)
        if self.fault is not None:
            return httpx.Response(self.fault, json={"status": self.fault, "detail": "Scripted.", "code": "scripted"})
        match request.method, request.url.path:
            case "POST", "/v1/jobs":
                return httpx.Response(202, json=shown("queued"))
            case "GET", "/v1/jobs":
                return httpx.Response(200, json=[shown("done"), shown("failed", id="j0")])
            case "GET", "/v1/jobs/j1":
                return httpx.Response(200, json=shown(self.states.pop(0) if self.states else "done"))
            case "GET", "/v1/jobs/j1/result":
                return httpx.Response(200, content=ROWS)
            case "DELETE", "/v1/jobs/j1":
                return httpx.Response(200, json=shown("cancelled"))
        return httpx.Response(404, json={"status": 404, "detail": "There is none.", "code": "not_found"})


class Asking:
    """``asking(control, lambda jobs: jobs.get("j1"))``, with either client."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pauses: list[float] = []

    def __call__(self, control: Control, ask: Callable[[Any], Any]) -> Any:
        transport = httpx.MockTransport(control)
        if self.kind == "async":
            return asyncio.run(self._async(transport, ask))
        with Jobs(URL, "k", transport=transport, sleep=self.pauses.append) as jobs:
            found = ask(jobs)
            return b"".join(found) if isinstance(found, Iterator) else found

    async def _async(self, transport: httpx.MockTransport, ask: Callable[[Any], Any]) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        async with AsyncJobs(URL, "k", transport=transport, sleep=sleep) as jobs:
            found = ask(jobs)
            if inspect.isawaitable(found):
                return await found
            return b"".join([piece async for piece in found]) if isinstance(found, AsyncIterator) else found


@pytest.fixture(params=["sync", "async"])
def asking(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


def test_a_file_is_sent_as_it_is(asking: Asking, tmp_path: Path) -> None:
    control, file = Control(), tmp_path / "rows.jsonl"
    file.write_bytes(ROWS)
    job = asking(control, lambda jobs: jobs.submit("digits", file, strategy="vote", max_ms=5, context={"shop": "a b"}))
    assert (job.id, job.state, job.ended) == ("j1", "queued", False)
    [request] = control.requests
    assert request.content == ROWS
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["authorization"] == "Bearer k"
    assert dict(request.url.params) == {
        "endpoint": "digits", "output_format": "ndjson", "strategy": "vote", "max_ms": "5", "context.shop": "a b"
    }  # fmt: skip


def test_a_file_of_the_server_is_named(asking: Asking) -> None:
    control = Control()
    asked = {"input": "a.parquet", "input_format": "parquet", "output_format": "arrow", "context": {"n": 1}}
    asking(control, lambda jobs: jobs.submit("digits", **asked))
    assert json.loads(control.requests[0].content) == {"endpoint": "digits", **asked}


def test_what_rows_are_asked_goes_with_either(asking: Asking, tmp_path: Path) -> None:
    control, file = Control(), tmp_path / "rows.ndjson"
    file.write_bytes(b"[1, 2]\n")
    asked = {"max_ms": 5.0, "min_confidence": 0.75, "coverage": 0.9}
    asking(control, lambda jobs: jobs.submit("digits", file, **asked))
    asking(control, lambda jobs: jobs.submit("digits", input="a.ndjson", **asked))
    sent, named = control.requests
    assert {name: float(sent.url.params[name]) for name in asked} == asked
    assert json.loads(named.content) == {"endpoint": "digits", "input": "a.ndjson", "output_format": "ndjson", **asked}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "file"),
        ({"file": "a.ndjson", "input": "b.ndjson"}, "file"),
        ({"file": "a.csv"}, "input_format"),
        ({"file": "nowhere.ndjson"}, "file"),
    ],
)
def test_what_cannot_be_asked_is_not_sent(asking: Asking, given: dict[str, Any], path: str) -> None:
    control = Control()
    with pytest.raises(InvalidInput) as raised:
        asking(control, lambda jobs: jobs.submit("digits", **given))
    assert raised.value.path == path
    assert control.requests == []


def test_waiting_looks_until_it_has_ended(asking: Asking) -> None:
    told: list[str] = []
    job = asking(Control(), lambda jobs: jobs.wait("j1", every=0.25, told=lambda job: told.append(job.state)))
    assert job.ended
    assert told == ["queued", "running", "done"]
    assert asking.pauses == [0.25, 0.25]


def test_jobs_are_listed_and_cancelled(asking: Asking) -> None:
    control = Control()
    assert [job.id for job in asking(control, lambda jobs: jobs.list(limit=2))] == ["j1", "j0"]
    assert control.requests[0].url.params["limit"] == "2"
    assert asking(control, lambda jobs: jobs.cancel("j1")).state == "cancelled"


def test_a_result_comes_in_pieces_or_as_a_file(asking: Asking, tmp_path: Path) -> None:
    assert asking(Control(), lambda jobs: jobs.result("j1")) == ROWS
    asking(Control(), lambda jobs: jobs.save("j1", tmp_path / "result.ndjson"))
    assert (tmp_path / "result.ndjson").read_bytes() == ROWS


def test_an_id_cannot_name_another_route(asking: Asking) -> None:
    control = Control()
    with pytest.raises(RequestRefused):
        asking(control, lambda jobs: jobs.get("../keys?x=1"))
    assert control.requests[0].url.raw_path == b"/v1/jobs/..%2Fkeys%3Fx%3D1"


@pytest.mark.parametrize("ask", [lambda jobs: jobs.submit("digits", input="a.ndjson"), lambda jobs: jobs.result("j1")])
def test_faults_are_the_clients_errors(asking: Asking, ask: Callable[[Any], Any]) -> None:
    control = Control(httpx.ConnectError)
    with pytest.raises(ServerUnavailable, match="is the server running there"):
        asking(control, ask)
    assert len(control.requests) == 1  # a second try would be a second job
    with pytest.raises(RequestRefused, match=r"Scripted\."):
        asking(Control(409), ask)
