"""Jobs: their whole life, what interrupts them, and what is never in their results: a row twice, or none."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from quorate.clock import SystemClock
from quorate.control.jobs import inputs, running
from quorate.control.jobs.desk import JobDesk
from quorate.errors import Conflict, InvalidInput, MalformedRequest, NotFound, NotReady, TooLarge
from quorate.store.audit import entries
from quorate.store.jobs import CANCELLED, DONE, FAILED, QUEUED, RUNNING, update_job

from .conftest import until


def result(desk: Any, job: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    *rows, last = [json.loads(line) for line in desk.result(job.id)[1].read_bytes().splitlines()]
    return rows, last["summary"]


def whole(desk: Any, job: Any, rows: int) -> None:
    """Every row is in the result once, in order, with its own answer."""
    found, summary = result(desk, job)
    assert [row["row"] for row in found] == list(range(rows))
    assert [row["prediction"]["label"] for row in found] == [str(i) for i in range(rows)]
    assert summary == {"rows": rows, "answered": rows, "failed": 0, "complete": True}


def test_a_file_is_scored_in_pieces(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_ROWS", 100)
    jobs.lines("rows.ndjson", 1050)
    desk = jobs.desk()
    job = jobs.submit(desk, "rows.ndjson", strategy="average", max_ms=50.0, context={"shop": "x"})
    assert (job.state, job.input_bytes) == (QUEUED, (jobs.data / "rows.ndjson").stat().st_size)
    done = jobs.ended(desk, job)
    assert (done.state, done.done, done.failed, done.position) == (DONE, 1050, 0, job.input_bytes)
    assert done.started is not None
    assert done.finished >= done.started
    whole(desk, done, 1050)
    assert len(jobs.inference.requests) == 11
    for request in jobs.inference.requests:
        assert request["path"] == "/v1/endpoints/main/batch"
        assert request["query"] == {"strategy": "average", "max_ms": "50.0", "context.shop": "x"}
        assert request["headers"]["x-request-id"] == f"job:{job.id}"
        assert len(request["body"]) <= 2 * inputs.PIECE_BYTES
    assert sorted(p.name for p in desk.folder(job.id).iterdir()) == ["result.ndjson"]
    with jobs.project.database.read() as connection:
        [entry] = [entry for entry in entries(connection) if entry.action == "job.submit"]
    assert (entry.actor, entry.subject) == ("tester", job.id)


@pytest.mark.parametrize("output", ["ndjson", "arrow", "parquet"])
@pytest.mark.parametrize("form", ["ndjson", "arrow", "parquet"])
def test_every_format_in_and_out(jobs: Any, form: str, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_ROWS", 7)
    table = pa.table({"input": pa.array([[i, 0] for i in range(40)], pa.list_(pa.int64(), 2))})
    file = jobs.data / f"rows.{form}"
    if form == "ndjson":
        jobs.lines(file.name, 40)
    elif form == "arrow":
        with pa.ipc.new_stream(str(file), table.schema) as writer:
            writer.write_table(table, max_chunksize=9)
    else:
        parquet.write_table(table, file, row_group_size=11)
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, file.name, form, output))
    assert (job.state, job.done, job.error) == (DONE, 40, None)
    if output == "ndjson":
        whole(desk, job, 40)
        return
    data = desk.result(job.id)[1].read_bytes()
    found = pa.ipc.open_stream(data).read_all() if output == "arrow" else parquet.read_table(io.BytesIO(data))
    assert found["row"].to_pylist() == list(range(40))
    assert found["label"].to_pylist() == [str(i) for i in range(40)]


def test_bad_rows_are_in_the_result_and_counted(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[0, 0]\nbad\n\n[2, 0]\n[" + "3, " * 500 + "3]\n[4, 0]"
    (jobs.data / "rows.ndjson").write_text(text)
    config = jobs.project.home.config
    jobs.project.write(config.read_text() + "limits: {body_bytes: 1000}\n")
    jobs.project.apply()
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, "rows.ndjson"))
    rows, summary = result(desk, job)
    assert [row.get("error", {}).get("code") for row in rows] == [None, "malformed_request", None, "too_large", None]
    assert [row["row"] for row in rows] == list(range(5))
    assert (job.done, job.failed) == (5, 2)
    assert summary["failed"] == 2


def test_no_row_is_lost_or_doubled_by_a_port_that_fails_in_every_way(
    jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "PIECE_ROWS", 10)
    jobs.lines("rows.ndjson", 200)
    jobs.inference.faults = [503, None, "cut", "shed", None, 429, 500, "cut", None, 504]
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, "rows.ndjson"))
    assert job.state == DONE
    whole(desk, job, 200)
    assert len(jobs.inference.requests) == 20 + 7


def test_what_the_port_refuses_fails_the_job(jobs: Any) -> None:
    jobs.lines("rows.ndjson", 10)
    jobs.inference.faults = [403]
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, "rows.ndjson"))
    assert (job.state, job.error) == (FAILED, "Status 403.")
    with pytest.raises(Conflict, match="failed"):
        desk.result(job.id)


def test_a_port_that_never_answers_fails_the_job(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "GIVE_UP_S", 0.05)
    jobs.lines("rows.ndjson", 10)
    jobs.inference.faults = [503] * 1000
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, "rows.ndjson"))
    assert (job.state, job.error) == (FAILED, "Status 503.")


def test_a_job_goes_on_where_control_was_stopped(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_ROWS", 10)
    jobs.lines("rows.ndjson", 200)
    jobs.inference.faults = [None] * 5 + ["hold"] * 50
    first = jobs.desk()
    job = jobs.submit(first, "rows.ndjson")
    until(lambda: first.get(job.id).done >= 50, "five pieces are done")
    jobs.inference.faults = []
    for run in first._running.values():
        run.stop.set()
    jobs.inference.go.set()
    first.stop()
    held = first.get(job.id)
    assert held.state == RUNNING
    assert 50 <= held.done < 200
    with (first.folder(job.id) / "rows.ndjson").open("ab") as torn:
        torn.write(b'{"row": 50, "torn')  # as a crash between writing and noting leaves it
    second = jobs.desk()
    whole(second, jobs.ended(second, job), 200)


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_tables_go_on_by_row(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_ROWS", 7)
    table = pa.table({"input": [[float(i)] for i in range(50)]})
    file = tmp_path / "rows"
    if form == "arrow":
        with pa.ipc.new_stream(str(file), table.schema) as writer:
            writer.write_table(table, max_chunksize=12)
    else:
        parquet.write_table(table, file, row_group_size=13)
    for position in (0, 1, 12, 13, 30, 49, 50):
        found = list(inputs.pieces(file, form, position, line_bytes=1000))
        rows = [row for piece in found for row in pa.ipc.open_stream(piece.body).read_all()["input"].to_pylist()]
        assert rows == [[float(i)] for i in range(position, 50)]
        assert not found or found[-1].position == 50


def test_lines_go_on_at_any_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_BYTES", 40)
    file = tmp_path / "rows"
    lines = [b"x" * (i * 7 % 60) + b"\n" for i in range(60)] + [b"y" * 500 + b"\n", b"last"]
    file.write_bytes(b"".join(lines))
    found = list(inputs.pieces(file, "ndjson", 0, line_bytes=100))
    assert b"".join(piece.body for piece in found) == b"".join(line for line in lines if len(line) <= 101)
    assert sum(piece.fault is not None for piece in found) == 1
    for i, piece in enumerate(found):
        assert list(inputs.pieces(file, "ndjson", piece.position, line_bytes=100)) == found[i + 1 :]


def test_a_finished_but_unnoted_job_finishes_again(jobs: Any) -> None:
    jobs.lines("rows.ndjson", 30)
    desk = jobs.desk(start=False)
    job = jobs.submit(desk, "rows.ndjson")
    desk.start()
    jobs.ended(desk, job)
    desk.stop()
    data = desk.result(job.id)[1].read_bytes()
    rows = desk.folder(job.id) / "rows.ndjson"
    rows.write_bytes(b"\n".join(data.splitlines()[:-1]) + b"\n")
    with jobs.project.database.begin() as connection:
        update_job(connection, job.id, states=(DONE,), state=RUNNING, finished=None)
    again = jobs.desk()
    whole(again, jobs.ended(again, job), 30)
    assert len(jobs.inference.requests) == 1


def test_jobs_wait_for_their_turn_and_can_be_cancelled(jobs: Any) -> None:
    jobs.lines("rows.ndjson", 10)
    jobs.inference.faults = ["hold"] * 2
    desk = jobs.desk()
    first = [jobs.submit(desk, "rows.ndjson") for _ in range(2)]
    until(lambda: len(jobs.inference.requests) == 2, "two jobs run")
    waiting = jobs.submit(desk, "rows.ndjson")
    assert desk.get(waiting.id).state == QUEUED
    assert desk.list()[0].id == waiting.id
    assert [job.id for job in desk.list(before=waiting.id)] == [first[1].id, first[0].id]
    assert desk.cancel(waiting.id, author="tester").state == CANCELLED
    assert desk.cancel(first[0].id, author="tester").state == CANCELLED
    jobs.inference.go.set()
    assert jobs.ended(desk, first[1]).state == DONE
    until(lambda: not desk.folder(first[0].id).exists(), "the cancelled job's files are gone")
    assert [desk.get(job.id).state for job in (first[0], waiting)] == [CANCELLED] * 2
    for job in (first[0], waiting, first[1]):
        with pytest.raises(Conflict):
            desk.cancel(job.id, author="tester")
    assert len(jobs.inference.requests) == 2
    with pytest.raises(NotFound):
        desk.cancel("0" * 32, author="tester")


def test_a_file_that_changes_fails_the_job(jobs: Any) -> None:
    jobs.lines("rows.ndjson", 10)
    desk = jobs.desk(start=False)
    job = jobs.submit(desk, "rows.ndjson")
    os.utime(jobs.data / "rows.ndjson", ns=(1, 1))
    desk.start()
    ended = jobs.ended(desk, job)
    assert ended.state == FAILED
    assert "has changed" in ended.error


def test_paths_stay_inside(jobs: Any) -> None:
    root = jobs.project.home.root
    jobs.lines("rows.ndjson", 1)
    (root / "secret.ndjson").write_text("[1]")
    (jobs.data / "out.ndjson").symlink_to(root / "secret.ndjson")
    (jobs.data / "up").symlink_to(root)
    (jobs.data / "in.ndjson").symlink_to(jobs.data / "rows.ndjson")
    (jobs.data / "loop").symlink_to(jobs.data / "loop")
    os.mkfifo(jobs.data / "pipe")
    desk = jobs.desk(start=False)
    for given in (
        "../secret.ndjson",
        str(root / "secret.ndjson"),
        str(jobs.data / "rows.ndjson"),
        "out.ndjson",
        "up/secret.ndjson",
        "up/.quorate/store.db",
        "loop",
        "pipe",
        "",
        ".",
        "no\0thing",
        "x" * 5000,
        "missing.ndjson",
    ):
        with pytest.raises(InvalidInput, match="There is no file") as caught:
            jobs.submit(desk, given)
        assert caught.value.path == "input"
    assert jobs.submit(desk, "in.ndjson").state == QUEUED
    assert jobs.submit(desk, "./rows.ndjson").state == QUEUED


def test_the_state_of_the_project_is_never_an_input(jobs: Any) -> None:
    """Not even where the folder of jobs holds it."""
    (jobs.project.home.root / "data").rename(jobs.project.home.root / "other")
    (jobs.project.home.root / "data").symlink_to(jobs.project.home.root)
    desk = jobs.desk(start=False)
    with pytest.raises(InvalidInput, match="There is no file"):
        jobs.submit(desk, ".quorate/store.db")


def test_what_cannot_be_run_is_refused_at_once(jobs: Any) -> None:
    jobs.lines("rows.ndjson", 100)
    (jobs.data / "bad.parquet").write_bytes(b"PAR1 no footer")
    desk = jobs.desk(start=False)
    with pytest.raises(MalformedRequest, match="not a Parquet file"):
        jobs.submit(desk, "bad.parquet", "parquet")
    with pytest.raises(NotFound, match="expected one of: main"):
        desk.check("nobody")
    jobs.project.write(jobs.project.home.config.read_text() + "limits: {batch_bytes: 100}\n")
    jobs.project.apply()
    with pytest.raises(TooLarge, match=r"limits\.batch_bytes"):
        jobs.submit(desk, "rows.ndjson")
    jobs.project.write(jobs.project.home.config.read_text().replace("jobs: {inputs: data}\n", ""))
    jobs.project.apply()
    with pytest.raises(InvalidInput, match=r"jobs\.inputs"):
        jobs.submit(desk, "rows.ndjson")
    with pytest.raises(NotReady):
        JobDesk(jobs.project.home, jobs.project.database, SystemClock(), None).check("main")
    assert desk.list() == []


def test_an_arrow_file_that_ends_too_early_fails_the_job(jobs: Any) -> None:
    table = pa.table({"input": [[float(i)] * 100 for i in range(500)]})
    file = jobs.data / "rows.arrow"
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=50)
    file.write_bytes(file.read_bytes()[:-30_000])
    desk = jobs.desk()
    job = jobs.ended(desk, jobs.submit(desk, "rows.arrow", "arrow"))
    assert job.state == FAILED
    assert "not arrow" in job.error


def test_old_jobs_are_forgotten(jobs: Any) -> None:
    jobs.project.write(jobs.project.home.config.read_text().replace("inputs: data", "inputs: data, keep: 2"))
    jobs.project.apply()
    jobs.lines("rows.ndjson", 1)
    desk = jobs.desk()
    done = [jobs.ended(desk, jobs.submit(desk, "rows.ndjson")) for _ in range(4)]
    until(lambda: len(desk.list()) == 2, "two are left")
    assert [job.id for job in desk.list()] == [done[3].id, done[2].id]
    until(lambda: {p.name for p in jobs.project.home.jobs.iterdir()} == {done[3].id, done[2].id}, "their files too")
    stray = jobs.project.home.jobs / ("f" * 32)
    stray.mkdir()
    desk.sweep()
    assert not stray.exists()
    assert desk.result(done[3].id)
