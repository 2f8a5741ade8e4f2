"""Running a job: pieces are asked about a few at a time, their rows written in order, and each written one is noted.

What is noted is one transaction: rows done, where the input goes on, how long the result is. A job that was interrupted
cuts its result back to that length and goes on from there, so no row is twice or missing in it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from quorate.clock import Clock
from quorate.codecs import batch as rows_codec
from quorate.codecs.batch import FORMATS, Row
from quorate.control.jobs.asking import Asked, NotNow, Port, Refused
from quorate.control.jobs.inputs import Piece, pieces, total_rows
from quorate.errors import InvalidInput, QuorateError
from quorate.store.database import Database
from quorate.store.jobs import DONE, FAILED, QUEUED, RUNNING, Job, update_job

log = logging.getLogger("quorate.control")

PIECES_AT_ONCE = 3
GIVE_UP_S = 600.0
"""How long a job that makes no progress goes on trying."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_decode = msgspec.json.Decoder(Row).decode


class Stopped(Exception):
    """The job is to stop now: it was cancelled, or this process ends."""


class Run:
    """One run of a job, in a thread of its own; ``stop`` interrupts it between two pieces."""

    def __init__(
        self, job: Job, file: Path, folder: Path, port: Port, database: Database, clock: Clock, line_bytes: int
    ) -> None:
        self.job = job
        self.stop = threading.Event()
        self._file = file
        self._folder = folder
        self._port = port
        self._database = database
        self._clock = clock
        self._line_bytes = line_bytes
        self._done, self._failed = job.done, job.failed

    def __call__(self) -> None:
        """Run to the end and note how it ended; where it was stopped, it stays as it is."""
        try:
            self._run()
        except Stopped:
            return
        except (QuorateError, Refused, NotNow, OSError) as error:
            said = str(error)
            self._end(FAILED, said[:1].upper() + said[1:])
        except Exception:
            log.exception("Job %s failed", self.job.id)
            self._end(FAILED, "The job failed for a reason that the log of the control process has.")

    def _end(self, state: str, error: str | None = None) -> None:
        with self._database.begin() as connection:
            update_job(
                connection, self.job.id, states=(QUEUED, RUNNING), state=state, error=error, finished=self._clock.now()
            )

    def _note(self, position: int, size: int) -> None:
        with self._database.begin() as connection:
            noted = update_job(
                connection,
                self.job.id,
                states=(RUNNING,),
                done=self._done,
                failed=self._failed,
                position=position,
                result_bytes=size,
            )
        if not noted:  # it was cancelled
            raise Stopped

    def _run(self) -> None:
        job = self.job
        unchanged(self._file, job)
        with self._database.begin() as connection:
            begun = update_job(
                connection,
                job.id,
                states=(QUEUED, RUNNING),
                state=RUNNING,
                started=job.started if job.started is not None else self._clock.now(),
                total=total_rows(self._file, job.input_format),
            )
        if not begun:
            raise Stopped
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = self._folder / "rows.ndjson"
        if job.result_bytes and (not rows.exists() or rows.stat().st_size < job.result_bytes):
            raise InvalidInput("What the job had written is gone; submit it again.", path="result")
        with rows.open("r+b" if rows.exists() else "w+b") as result:
            result.truncate(job.result_bytes)
            result.seek(job.result_bytes)
            self._ask_all(result)
        unchanged(self._file, job)
        self._finish(rows)
        self._end(DONE)
        rows.unlink()

    def _ask_all(self, result: BinaryIO) -> None:
        job = self.job
        left = pieces(self._file, job.input_format, job.position, line_bytes=self._line_bytes)
        under_way: deque[Asked] = deque()
        while True:
            if self.stop.is_set():
                raise Stopped
            under_way.extend(map(self._asked, islice(left, PIECES_AT_ONCE - len(under_way))))
            if not under_way:
                return
            asked = under_way.popleft()
            rows = self._answered(asked)
            for row in rows:
                row["row"] += self._done
            result.write(rows_codec.NdjsonWriter().rows(rows))
            result.flush()
            os.fsync(result.fileno())
            self._done += len(rows)
            self._failed += sum("error" in row for row in rows)
            self._note(asked.piece.position, result.tell())

    def _asked(self, piece: Piece) -> Asked:
        return Asked(self._port, self.job.endpoint, self.job.asked, piece, f"job:{self.job.id}")

    def _answered(self, asked: Asked) -> list[Row]:
        until = self._clock.monotonic() + GIVE_UP_S
        pause = _FIRST_PAUSE
        while True:
            try:
                return asked.result()
            except NotNow as error:
                if self._clock.monotonic() >= until:
                    raise
                log.warning("Job %s: %s; trying again.", self.job.id, error)
            if self.stop.wait(pause):
                raise Stopped
            pause = min(2 * pause, _LONGEST_PAUSE)
            asked = self._asked(asked.piece)

    def _finish(self, rows: Path) -> None:
        """The result in the format that was asked for: whole, or not there."""
        writer = rows_codec.writer(FORMATS[self.job.output_format])
        whole = result_file(self._folder, self.job)
        temporary = whole.with_name(f".{whole.name}")
        with temporary.open("wb") as file:
            for some in _groups(rows):
                if self.stop.is_set():
                    raise Stopped
                file.write(writer.rows(some))
            summary = {"rows": self._done, "answered": self._done - self._failed, "failed": self._failed}
            file.write(writer.end(summary | {"complete": True}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(whole)


def result_file(folder: Path, job: Job) -> Path:
    """Where a finished job's result lies."""
    return folder / f"result.{job.output_format}"


def unchanged(file: Path, job: Job) -> None:
    """:class:`InvalidInput` where the input is not the file any more that the job was submitted with."""
    try:
        found = file.stat()
    except OSError as error:
        raise InvalidInput(f"The input cannot be read: {error.strerror}; submit it again.", path="input") from None
    if (found.st_size, found.st_mtime_ns) != (job.input_bytes, job.input_stamp):
        raise InvalidInput("The input has changed since the job was submitted; submit it again.", path="input")


def _groups(file: Path) -> Iterator[list[Row]]:
    with file.open("rb") as stream:
        while some := [_decode(line) for line in islice(stream, 1000)]:
            yield some


def spawn(run: Run, done: Callable[[], None]) -> threading.Thread:
    """Run in a daemon thread; ``done`` is called at its end."""

    def work() -> None:
        try:
            run()
        finally:
            done()

    thread = threading.Thread(target=work, name=f"job-{run.job.id[:8]}", daemon=True)
    thread.start()
    return thread
