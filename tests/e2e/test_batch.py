"""Batches and jobs against real processes: streamed both ways, killed workers, clients that leave, new revisions."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from quorate.client import AsyncClient, AsyncJobs, Client, Job, Jobs, RequestRefused

from .test_client import add_table

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
QUORATE = [sys.executable, "-P", "-c", "from quorate.cli import main; main()"]
WITHIN = 60.0
RNG = np.random.default_rng(3)
PICTURES = RNG.integers(0, 17, (2500, 8, 8)).tolist()


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    """Two workers; jobs may read files in ``data``."""
    config = module_digits / "quorate.yaml"
    add_table(module_digits)
    config.write_text(config.read_text() + "\njobs: {inputs: data}\n")
    (module_digits / "data").mkdir()
    return module_server(module_digits, "--workers", "2")


class Raw:
    """A batch over a socket of its own, in chunks; ``lines`` reads the answer line by line."""

    def __init__(self, site: Any) -> None:
        where = urlsplit(site.url)
        self.socket = socket.create_connection((where.hostname, where.port), timeout=WITHIN)
        head = (
            f"POST /v1/endpoints/digits/batch HTTP/1.1\r\nHost: {where.netloc}\r\n"
            "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self._file = self.socket.makefile("rb")
        self._begun = False

    def send(self, data: bytes) -> None:
        self.socket.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def lines(self) -> Iterator[Any]:
        if not self._begun:
            status = self._file.readline()
            assert b" 200 " in status, status
            while self._file.readline().strip():
                pass
            self._begun = True
        held = b""
        while size := int(self._file.readline(), 16):
            held += self._file.read(size)
            self._file.readline()
            *whole, held = held.split(b"\n")
            yield from map(json.loads, whole)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def row(i: int) -> bytes:
    return json.dumps(PICTURES[i]).encode() + b"\n"


def send_much(raw: Raw) -> None:
    for _ in range(10_000):
        raw.send(row(0) * 500)


def metric(site: Any, name: str) -> float:
    text = site.http.get(f"{site.control}/metrics").text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def test_it_answers_while_it_is_still_asked(site: Any) -> None:
    raw = Raw(site)
    raw.send(row(0) + row(1)[:10])
    answers = raw.lines()
    assert next(answers)["row"] == 0
    raw.send(row(1)[10:])
    assert next(answers)["row"] == 1
    raw.send(b"no json\n" + row(2))
    assert next(answers)["error"]["code"] == "malformed_request"
    assert next(answers)["row"] == 3
    raw.socket.sendall(b"0\r\n\r\n")
    assert next(answers)["summary"] == {"rows": 4, "answered": 3, "failed": 1, "complete": True}
    raw.close()


def test_clients_that_leave_or_stop_reading_hold_nothing(site: Any) -> None:
    def streams() -> float:
        return metric(site, "quorate_batch_streams")

    before = streams()
    found = []
    for _ in range(3):
        raw = Raw(site)
        raw.send(row(0))
        next(raw.lines())
        found.append(raw)
    for raw in found:
        raw.close()
    site.until(lambda: streams() == before, within=WITHIN, what=site.log)
    raw = Raw(site)
    raw.socket.settimeout(1.0)
    with pytest.raises(TimeoutError):  # it reads nothing: some time nothing more is taken
        send_much(raw)
    raw.close()
    site.until(lambda: streams() == before, within=WITHIN, what=site.log)
    assert site.http.get(f"{site.url}/v2/health/ready").status_code == 200


def test_a_large_file_by_curl(site: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(b"".join(map(row, range(2500))) * 4)
    target = f"{site.url}/v1/endpoints/digits/batch"
    done = subprocess.run(
        ["curl", "-sS", "-T", str(file), "-X", "POST", "-H", "content-type: application/x-ndjson", target],
        capture_output=True,
        timeout=100,
        check=True,
    )
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert last["summary"] == {"rows": 10_000, "answered": 10_000, "failed": 0, "complete": True}
    assert [row["row"] for row in rows] == list(range(10_000))


def test_both_clients_batch_and_each_row_has_its_own_answer(site: Any) -> None:
    with Client(site.url) as client:
        alone = [client.predict("digits", rows=[one], strategy="soft-vote").prediction for one in PICTURES[:5]]
        rows = [PICTURES[0], [[300]], *PICTURES[1:1200], [[float("nan")]]]
        found = list(client.batch("digits", iter(rows), strategy="soft-vote", context={"shop": 7}))
        assert [each.row for each in found] == list(range(len(rows)))
        assert [each.row for each in found if each.error] == [1, len(rows) - 1]
        good = [each.prediction for each in found if each.prediction]
        for ours, theirs in zip(good, alone, strict=False):
            assert ours.label == theirs.label
            assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
        decision = site.http.get(f"{site.control}/v1/decisions/{found[0].decision}").json()
        assert decision["context"] == {"shop": 7}
        assert client.outcome(found[0].decision, row=found[0].decision_row, truth="1").accepted == 1
        images = list(client.batch("digits", images=[SAMPLES / "7.png", b"none", SAMPLES / "3.png"]))
        assert [each.label for each in images] == ["7", None, "3"]
        with pytest.raises(RequestRefused):
            list(client.batch("nobody", [[1]]))

    async def main() -> list[Any]:
        async with AsyncClient(site.url) as client:
            return [each async for each in client.batch("digits", PICTURES[:300])]

    assert [each.row for each in asyncio.run(main())] == list(range(300))


def test_an_arrow_stream_is_answered_as_one(site: Any) -> None:
    images = [(SAMPLES / f"{name}.png").read_bytes() for name in ("7", "3", "0")]
    sink = pa.BufferOutputStream()
    table = pa.table({"image": [images[0], b"none", *images[1:]], "id": ["a", "b", "c", "d"]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = site.http.post(
        f"{site.url}/v1/endpoints/digits/batch",
        content=sink.getvalue().to_pybytes(),
        headers={"content-type": "application/vnd.apache.arrow.stream"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    rows = pa.ipc.open_stream(answer.content).read_all().to_pylist()
    assert [(row["id"], row["label"]) for row in rows] == [("a", "7"), ("b", None), ("c", "3"), ("d", "0")]
    assert rows[1]["error_code"] in ("invalid_input", "unsupported_media_type")


def test_the_command_takes_large_tables_and_small_ones_alike(site: Any, tmp_path: Path) -> None:
    table = tmp_path / "rows.ndjson"
    lines = [f"[{i % 7}, 0]" for i in range(2300)]
    lines[5] = lines[2299] = "no json"
    table.write_text("\n".join(lines))
    words = [*QUORATE, "predict", "table", str(table), "--format", "json", "--url", site.url]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert [each["item"] for each in found] == [f"{table}:{i}" for i in range(1, 2301)]
    assert [i for i, each in enumerate(found) if "error" in each] == [5, 2299]
    for i, each in enumerate(found):
        if "error" not in each:
            assert each["label"] == ("high" if i % 7 > 3 else "low")
            assert each["id"]
    assert "2298 answered, 2 failed" in done.stderr


def test_a_job_of_the_asynchronous_client(site: Any, tmp_path: Path) -> None:
    file, result = tmp_path / "rows.ndjson", tmp_path / "result.ndjson"
    file.write_bytes(b"".join(map(row, range(300))))

    async def main() -> Job:
        async with AsyncJobs(site.control) as jobs:
            job = await jobs.submit("digits", file, strategy="soft-vote")
            ended = await jobs.wait(job.id, every=0.05)
            await jobs.save(job.id, result)
            assert job.id in {each.id for each in await jobs.list()}
            return ended

    ended = asyncio.run(main())
    assert (ended.state, ended.rows_done, ended.strategy) == ("done", 300, "soft-vote"), ended.error
    *found, last = [json.loads(line) for line in result.read_bytes().splitlines()]
    assert [each["row"] for each in found] == list(range(300))
    assert last["summary"]["complete"]


def test_a_job_survives_killed_workers_a_killed_control_and_a_new_revision(site: Any) -> None:
    rows = 30_000
    data = site.project / "data" / "rows.ndjson"
    data.write_bytes(b"".join(map(row, range(2500))) * (rows // 2500))
    with Jobs(site.control) as jobs:
        job = jobs.submit("digits", input="rows.ndjson", strategy="soft-vote")
        site.until(lambda: jobs.get(job.id).rows_done > 0, within=WITHIN, what=site.log)
        config = site.project / "quorate.yaml"
        config.write_text(config.read_text().replace("deadline_ms: 200", "deadline_ms: 201"))
        assert site.http.post(f"{site.control}/v1/endpoints/apply").json()["changed"] == ["digits"]
        for _ in range(2):
            os.kill(site.pid("worker 0"), signal.SIGKILL)
            held = jobs.get(job.id).rows_done
            site.until(
                lambda held=held: jobs.get(job.id).rows_done > held or jobs.get(job.id).ended,
                within=WITHIN,
                what=site.log,
            )
        os.kill(site.pid("control"), signal.SIGKILL)

        def back() -> bool:
            try:
                return site.http.get(f"{site.control}/v1/health").status_code == 200
            except httpx.TransportError:
                return False

        site.until(back, within=WITHIN, what=site.log)
        ended = jobs.wait(job.id, every=0.05)
        assert (ended.state, ended.rows_done, ended.rows_failed, ended.progress) == ("done", rows, 0, 1.0), ended.error
        *found, last = [json.loads(line) for line in b"".join(jobs.result(job.id)).splitlines()]
        assert [each["row"] for each in found] == list(range(rows))
        assert last["summary"]["complete"]
        part = site.http.get(f"{site.control}/v1/jobs/{job.id}/result", headers={"range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, b"".join(jobs.result(job.id))[:10])
    assert {each["revision"] for each in found} <= {1, 2}
    assert found[-1]["revision"] == 2
    answers = {i: found[i]["prediction"]["label"] for i in range(2500)}
    assert all(each["prediction"]["label"] == answers[each["row"] % 2500] for each in found)


def test_jobs_by_command_where_keys_are_needed(
    server: Callable[..., Any], digits: Path, tmp_path: Path, new_key: Callable[[Path, str], str]
) -> None:
    """The job asks with the project's own key; who may only predict may not submit one."""
    keys = {role: new_key(digits, role) for role in ("predict", "operate")}
    site = server(digits)
    rows, out = tmp_path / "rows.ndjson", tmp_path / "out.parquet"
    rows.write_bytes(b"".join(map(row, range(100))) + b"no json\n")

    def run(role: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [*QUORATE, "jobs", *words, "--url", site.control, "--key", keys[role]]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=100)

    refused = run("predict", "submit", "digits", str(rows))
    assert refused.returncode == 2
    assert "role 'operate'" in refused.stderr
    done = run("operate", "submit", "digits", str(rows), "--output-format", "parquet", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert "101 rows, 1 failed" in done.stderr
    found = parquet.read_table(out)
    assert found["row"].to_pylist() == list(range(101))
    assert found["error_code"].to_pylist() == [None] * 100 + ["malformed_request"]
    job = done.stdout.split()[-1]
    [listed] = json.loads(run("operate", "list", "--json").stdout)
    assert (listed["id"], listed["state"], listed["author"].startswith("key ")) == (job, "done", True)
    assert "101" in run("operate", "show", job).stdout
    assert run("operate", "cancel", job).returncode == 2
    fetched = tmp_path / "again.parquet"
    assert run("operate", "result", job, "--output", str(fetched)).returncode == 0
    assert fetched.read_bytes() == out.read_bytes()
    audit = site.http.get(f"{site.control}/v1/audit", headers={"x-api-key": keys["operate"]}).json()
    assert audit[0]["action"] == "job.submit"
