"""The routes of jobs: uploads, descriptions, roles, results in ranges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.codecs.lookup import JournalReader
from quorate.control import keys
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.registry.manifest import Manifest
from quorate.store.audit import entries
from quorate.store.jobs import DONE
from quorate.training.conformal import fit_conformal

NDJSON = {"content-type": "application/x-ndjson"}


class Port:
    """The control port's application with a desk that runs."""

    def __init__(self, jobs: Any) -> None:
        project = jobs.project
        self.desk = jobs.desk()
        journal = JournalReader(project.home.journal)
        services = Services(project.home, project.registry, project.database, journal, project.clock, jobs=self.desk)
        self.app = create_app(services, Access(project.home, project.database, "127.0.0.1"))

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture
def port(jobs: Any) -> Port:
    return Port(jobs)


async def pieces(*some: bytes) -> AsyncIterator[bytes]:
    for piece in some:
        yield piece


def test_an_upload_becomes_a_job_and_its_result_a_file(jobs: Any, port: Port) -> None:
    path = "/v1/jobs?endpoint=main&strategy=average&max_ms=20&context.shop=x"
    answer = port("POST", path, content=pieces(b"[0, 1]\n[1", b", 1]\n"), headers=NDJSON)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], job["state"], job["input"], job["input_format"]) == ("batch", "queued", None, "ndjson")
    assert (job["strategy"], job["max_ms"], job["context"]) == ("average", 20.0, {"shop": "x"})
    assert jobs.ended(port.desk, port.desk.get(job["id"])).state == DONE
    shown = port("GET", f"/v1/jobs/{job['id']}").json()
    assert (shown["rows_done"], shown["rows_failed"], shown["rows_total"], shown["progress"]) == (2, 0, 2, 1.0)
    assert [one["id"] for one in port("GET", "/v1/jobs").json()] == [job["id"]]
    where = f"/v1/jobs/{job['id']}/result"
    result = port("GET", where)
    assert result.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line).get("row") for line in result.content.splitlines()] == [0, 1, None]
    part = port("GET", where, headers={"range": "bytes=3-8"})
    assert (part.status_code, part.content) == (206, result.content[3:9])


def test_a_file_of_the_project_is_described_in_json(jobs: Any, port: Port) -> None:
    jobs.lines("rows.ndjson", 3)
    answer = port("POST", "/v1/jobs", json={"endpoint": "main", "input": "rows.ndjson", "context": {"n": 1}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["context"] == {"n": 1}
    assert jobs.ended(port.desk, port.desk.get(answer.json()["id"])).done == 3


ASKED = {"max_ms": 20.0, "min_confidence": 0.75, "coverage": 0.9}


@pytest.mark.parametrize("uploaded", [True, False])
def test_what_rows_are_asked_is_passed_on_and_shown(jobs: Any, port: Port, uploaded: bool) -> None:
    calibrate(jobs.project, rows=100)
    if uploaded:
        answer = port("POST", "/v1/jobs", params={"endpoint": "main", **ASKED}, content=b"[1]", headers=NDJSON)
    else:
        jobs.lines("rows.ndjson", 1)
        answer = port("POST", "/v1/jobs", json={"endpoint": "main", "input": "rows.ndjson", **ASKED})
    assert answer.status_code == 202, answer.text
    assert {name: answer.json()[name] for name in ASKED} == ASKED
    jobs.ended(port.desk, port.desk.get(answer.json()["id"]))
    (request,) = jobs.inference.requests
    assert {name: float(value) for name, value in request["query"].items()} == ASKED


def calibrate(project: Any, *, rows: int, more: str = "") -> None:
    """Give the strategy ``average`` a conformal state of so many rows."""
    rng = np.random.default_rng(0)
    answers = rng.dirichlet(np.ones(2), rows).astype(np.float32)
    state = fit_conformal(answers, (answers[:, 0] < rng.random(rows)).astype(np.int64), ("no", "yes"))
    project.registry.register(Manifest(name="sets", format="state", kind="state"), {**state_codec.encode(state)})
    text = project.home.config.read_text().replace("average: {kind: mean}", "average: {kind: mean, conformal: sets}")
    project.write(text.replace("jobs:", f"{more}jobs:"))
    project.apply()


@pytest.mark.parametrize(
    ("asked", "status", "path"),
    [
        ({"min_confidence": 1.5}, 422, "min_confidence"),
        ({"min_confidence": "much"}, 422, "min_confidence"),
        ({"coverage": 0.3}, 422, "coverage"),
        ({"coverage": 1}, 422, "coverage"),
        ({"coverage": 0.99}, 422, "coverage"),  # the state has too few rows for it
        ({"coverage": 0.9, "strategy": "best"}, 422, "coverage"),
        ({"endpoint": "blind", "coverage": 0.9}, 403, "coverage"),
        ({"endpoint": "blind", "min_confidence": 0.9}, 403, "min_confidence"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_it_is_queued(
    jobs: Any, port: Port, asked: dict[str, Any], status: int, path: str
) -> None:
    blind = "  blind: {pool: letters, strategies: {average: {kind: mean, conformal: sets}}, policy: {kind: fixed, "
    calibrate(jobs.project, rows=30, more=blind + "strategy: average, blind: true}}\n")
    jobs.lines("rows.ndjson", 1)
    options = {"endpoint": "main", **asked}
    for answer in (
        port("POST", "/v1/jobs", params=options, content=b"[1]", headers=NDJSON),
        port("POST", "/v1/jobs", json={"input": "rows.ndjson", **options}),
    ):
        assert (answer.status_code, answer.json()["path"]) == (status, path), answer.text
    assert not list(jobs.project.home.jobs.glob("*"))
    assert port("GET", "/v1/jobs").json() == []


@pytest.mark.parametrize(
    ("options", "status", "path"),
    [
        ({"content": b"[1]", "headers": NDJSON}, 422, "endpoint"),
        ({"content": b"[1]", "headers": NDJSON, "params": {"endpoint": "nobody"}}, 404, "endpoint"),
        ({"content": b"[1]", "headers": NDJSON, "params": {"endpoint": "main", "x": "1"}}, 422, "query.x"),
        ({"content": b"[1]", "headers": NDJSON, "params": {"endpoint": "main", "output_format": "csv"}}, 422, None),
        ({"content": b"[1]", "headers": {"content-type": "text/csv"}}, 415, "Content-Type"),
        (
            {"content": b"x", "headers": {**NDJSON, "content-encoding": "gzip"}, "params": {"endpoint": "main"}},
            415,
            None,
        ),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "body"),
        ({"json": {"endpoint": "main"}}, 422, "input"),
        ({"json": {"endpoint": "main", "input": "rows.ndjson", "more": 1}}, 422, "more"),
        ({"json": {"endpoint": "main", "input": "rows.xyz"}}, 422, "input_format"),
        ({"json": {"endpoint": "main", "input": "../quorate.yaml", "input_format": "ndjson"}}, 422, "input"),
        ({"json": {"endpoint": "main", "input": "x" * 100_000}}, 413, "body"),
        (
            {
                "content": b"no parquet",
                "headers": {"content-type": "application/vnd.apache.parquet"},
                "params": {"endpoint": "main"},
            },
            400,
            "input",
        ),
    ],
)
def test_what_is_wrong_is_named_and_leaves_nothing(
    jobs: Any, port: Port, options: Any, status: int, path: str | None
) -> None:
    answer = port("POST", "/v1/jobs", **options)
    assert answer.status_code == status, answer.text
    assert path is None or answer.json()["path"] == path
    assert not list(jobs.project.home.jobs.glob("*"))
    assert port("GET", "/v1/jobs").json() == []


def test_an_upload_is_bounded(jobs: Any, port: Port) -> None:
    jobs.project.write(jobs.project.home.config.read_text() + "limits: {batch_bytes: 1000}\n")
    jobs.project.apply()
    answer = port("POST", "/v1/jobs?endpoint=main", content=pieces(*[b"[1, 2]\n"] * 200), headers=NDJSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not list(jobs.project.home.jobs.glob("*"))


def test_what_is_not_there_or_not_done(jobs: Any, port: Port) -> None:
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        assert port(method, f"/v1/jobs/{'0' * 32}{path}").status_code == 404
    assert port("GET", "/v1/jobs/nonsense").status_code == 422
    jobs.inference.faults = ["hold"]
    job = port("POST", "/v1/jobs?endpoint=main", content=b"[1]", headers=NDJSON).json()["id"]
    refused = port("GET", f"/v1/jobs/{job}/result")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert port("DELETE", f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert port("DELETE", f"/v1/jobs/{job}").status_code == 409
    assert port("PUT", f"/v1/jobs/{job}").headers["allow"] == "DELETE, GET"


def test_who_may(jobs: Any, port: Port) -> None:
    project = jobs.project
    made = {
        role: keys.create(project.home, project.database, name=role, roles=[role], author="tester", clock=SystemClock())
        for role in ("predict", "outcome", "operate")
    }
    heads = {role: {"x-api-key": secret} for role, (_, secret) in made.items()}
    path = "/v1/jobs?endpoint=main"
    assert port("POST", path, content=b"[1]", headers=NDJSON).status_code == 401
    for role in ("predict", "outcome"):
        assert port("POST", path, content=b"[1]", headers=NDJSON | heads[role]).status_code == 403
        assert port("GET", "/v1/jobs", headers=heads[role]).status_code == 403
    answer = port("POST", path, content=b"[1]", headers=NDJSON | heads["operate"])
    assert answer.status_code == 202, answer.text
    assert answer.json()["author"] == f"key {made['operate'][0].id}"
    jobs.ended(port.desk, port.desk.get(answer.json()["id"]))
    assert jobs.inference.requests[0]["headers"]["authorization"].startswith("Bearer qs_")
    with project.database.read() as connection:
        assert [e.actor for e in entries(connection) if e.action == "job.submit"] == [answer.json()["author"]]
