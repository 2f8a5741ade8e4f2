"""The desk of jobs: takes them in, runs a few at a time, forgets old ones; what it knows is in the store."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import Routing
from quorate.control.alone import keep_doing
from quorate.control.jobs.asking import Port
from quorate.control.jobs.inputs import total_rows
from quorate.control.jobs.paths import inside
from quorate.control.jobs.refusing import check_asked
from quorate.control.jobs.running import Run, result_file, spawn
from quorate.core.types import NOTHING
from quorate.errors import Conflict, InvalidInput, NotFound, NotReady, Overloaded, QuorateError
from quorate.home import Home
from quorate.registry.blobs import BlobStore
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.jobs import CANCELLED, DONE, ENDED, FAILED, QUEUED, RUNNING, Job, add_job, remove_job, update_job
from quorate.store.jobs import job as stored_job
from quorate.store.jobs import jobs as stored_jobs
from quorate.web.auth import service_key

log = logging.getLogger("quorate.control")

WAITING = 1000
"""Jobs that may wait."""

_DAY = 86_400.0
_STOP_S = 3.0


class JobDesk:
    """Jobs of one project; ``inference`` is the URL of its inference port, None where it is not known.

    Safe for threads. :meth:`start` begins to run what is queued or was interrupted; without it nothing runs.
    """

    def __init__(self, home: Home, database: Database, clock: Clock, inference: str | None) -> None:
        self._home = home
        self._database = database
        self._clock = clock
        self._inference = inference
        self._read = BlobStore(home.registry).read
        self._running: dict[str, Run] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._look = threading.Event()
        self._stop = threading.Event()
        self._scheduler: threading.Thread | None = None

    # --- asked by handlers ---

    def folder(self, job_id: str) -> Path:
        """Where a job's files lie."""
        return self._home.jobs / job_id

    @staticmethod
    def new_id() -> str:
        """An id for a job that is to be submitted."""
        return secrets.token_hex(16)

    def now(self) -> float:
        """The time, as jobs record it."""
        return self._clock.now()

    def check(self, endpoint: str, asked: Mapping[str, Any] = NOTHING) -> None:
        """Refuse what cannot be run: :class:`NotFound`, :class:`NotReady`, :class:`Overloaded`, and what ``asked`` has
        that no row could be answered with: :class:`InvalidInput`, :class:`~quorate.errors.Forbidden`."""
        if self._inference is None:
            raise NotReady("This control process was not told where the inference port is; it runs no jobs.")
        routing = self._routing()
        known = [*(endpoint.name for endpoint in routing.endpoints), *(front.name for front in routing.fronts)]
        if endpoint not in known:
            shown = ", ".join(known) or "none"
            raise NotFound(f"There is no endpoint '{endpoint[:64]}'; expected one of: {shown}.", path="endpoint")
        check_asked(routing, endpoint, asked, self._read)
        with self._database.read() as connection:
            if len(stored_jobs(connection, states=(QUEUED,), limit=WAITING)) >= WAITING:
                raise Overloaded(f"{WAITING} jobs are waiting already; retry later.", retry_after=60)

    def submit(
        self,
        job_id: str,
        *,
        endpoint: str,
        asked: Mapping[str, Any],
        given: str | None,
        input_format: str,
        output_format: str,
        author: str,
    ) -> Job:
        """Queue a job on a file of the project (``given``) or on what was uploaded to its folder.

        :class:`InvalidInput` naming the input where it is no such file, or a Parquet file that is none.
        """
        self.check(endpoint, asked)
        routing = self._routing()
        limit = routing.limits.batch_bytes
        file = self.uploaded(job_id) if given is None else inside(self._home, routing.jobs.inputs, given, limit=limit)
        total_rows(file, input_format)
        status = file.stat()
        job = Job(
            id=job_id,
            kind="batch",
            endpoint=endpoint,
            asked={name: value for name, value in asked.items() if value is not None},
            input=given,
            input_format=input_format,
            input_bytes=status.st_size,
            input_stamp=status.st_mtime_ns,
            output_format=output_format,
            author=author,
            state=QUEUED,
            created=self._clock.now(),
        )
        detail = {"endpoint": endpoint, "input": given or "uploaded", "bytes": job.input_bytes}
        with self._database.begin() as connection:
            add_job(connection, job)
            add_entry(connection, at=job.created, actor=author, action="job.submit", subject=job_id, detail=detail)
        self._look.set()
        return job

    def uploaded(self, job_id: str) -> Path:
        """Where an uploaded input lies."""
        return self.folder(job_id) / "input"

    def get(self, job_id: str) -> Job:
        """A job; :class:`NotFound`."""
        with self._database.read() as connection:
            found = stored_job(connection, job_id)
        if found is None:
            raise NotFound(f"There is no job '{job_id[:64]}'; /v1/jobs lists them.", path="id")
        return found

    def list(self, *, before: str | None = None, limit: int = 100) -> list[Job]:
        """The newest jobs, newest first; ``before`` the id of one, for the next page."""
        last = None if before is None else self.get(before)
        with self._database.read() as connection:
            return stored_jobs(connection, before=None if last is None else (last.created, last.id), limit=limit)

    def result(self, job_id: str) -> tuple[Job, Path]:
        """A finished job's file; :class:`Conflict` while there is none."""
        job = self.get(job_id)
        file = result_file(self.folder(job_id), job)
        if job.state != DONE or not file.exists():
            raise Conflict(f"Job {job_id} is {job.state}; only one that is done has a result.", path="id")
        return job, file

    def cancel(self, job_id: str, *, author: str) -> Job:
        """Stop a job and forget what it has written; :class:`Conflict` where it has ended."""
        now = self._clock.now()
        job = self.get(job_id)
        with self._database.begin() as connection:
            done = update_job(connection, job_id, states=(QUEUED, RUNNING), state=CANCELLED, finished=now)
            if done:
                add_entry(connection, at=now, actor=author, action="job.cancel", subject=job_id, detail={})
        if not done:
            raise Conflict(f"Job {job_id} is {self.get(job_id).state} already.", path="id")
        with self._lock:
            run = self._running.get(job_id)
            if run is not None:
                run.stop.set()
        if run is None:
            shutil.rmtree(self.folder(job_id), ignore_errors=True)
        return replace(job, state=CANCELLED, finished=now)

    # --- running ---

    def start(self) -> None:
        """Begin to run jobs in a thread of its own."""
        self._scheduler = threading.Thread(target=self._follow, name="jobs", daemon=True)
        self._scheduler.start()

    def stop(self) -> None:
        """Interrupt what runs; it goes on at the next start."""
        self._stop.set()
        self._look.set()
        with self._lock:
            for run in self._running.values():
                run.stop.set()
            threads = [*self._threads, *([self._scheduler] if self._scheduler else [])]
        for thread in threads:
            thread.join(_STOP_S)

    def _follow(self) -> None:
        def look_after() -> None:
            self._fill()
            self._forget()

        tasks = {"Jobs cannot be looked after": look_after}
        keep_doing(self._home, "jobs", tasks, self._stop, every_s=1.0, woken=self._look)

    def _fill(self) -> None:
        """Start jobs while fewer run than may: first those that were interrupted, then the oldest."""
        routing = self._routing()
        with self._database.read() as connection:
            interrupted = stored_jobs(connection, states=(RUNNING,), limit=WAITING)
            waiting = stored_jobs(connection, states=(QUEUED,), limit=WAITING)
        for job in [*reversed(interrupted), *reversed(waiting)]:
            with self._lock:
                if self._stop.is_set() or len(self._running) >= routing.jobs.at_once:
                    return
                if job.id in self._running:
                    continue
                run = self._run(job, routing)
                if run is None:
                    continue
                self._running[job.id] = run
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._threads.append(spawn(run, lambda job_id=job.id: self._ended(job_id)))  # type: ignore[misc]

    def _run(self, job: Job, routing: Routing) -> Run | None:
        try:
            file = self.uploaded(job.id)
            if job.input is not None:
                limit = routing.limits.batch_bytes
                file = inside(self._home, routing.jobs.inputs, job.input, limit=limit)
        except QuorateError as error:
            with self._database.begin() as connection:
                now = self._clock.now()
                update_job(connection, job.id, states=(QUEUED, RUNNING), state=FAILED, error=str(error), finished=now)
            return None
        port = Port(self._inference or "", service_key(routing.secret) if routing.keys else None)
        folder = self.folder(job.id)
        return Run(job, file, folder, port, self._database, self._clock, routing.limits.body_bytes)

    def _ended(self, job_id: str) -> None:
        with self._lock:
            self._running.pop(job_id, None)
        try:
            job = self.get(job_id)
            if job.state == CANCELLED:
                shutil.rmtree(self.folder(job_id), ignore_errors=True)
            elif job.state in ENDED:
                self.uploaded(job_id).unlink(missing_ok=True)
        except (QuorateError, OSError) as error:
            log.error("Files of job %s are left: %s", job_id, error)
        self._look.set()

    def _forget(self) -> None:
        """Remove finished jobs that are too many or too old, and folders that belong to no job."""
        settings = self._routing().jobs
        oldest = self._clock.now() - settings.keep_days * _DAY
        with self._database.read() as connection:
            ended = stored_jobs(connection, states=ENDED, limit=settings.keep + WAITING)
        for i, job in enumerate(ended):
            if i >= settings.keep or (job.finished or job.created) < oldest:
                shutil.rmtree(self.folder(job.id), ignore_errors=True)
                with self._database.begin() as connection:
                    remove_job(connection, job.id)

    def sweep(self) -> None:
        """Remove folders of uploads that never became jobs; call it before :meth:`start`, while nobody uploads."""
        for folder in self._home.jobs.glob("*"):
            with self._database.read() as connection:
                known = stored_job(connection, folder.name)
            if known is None or known.state == CANCELLED:
                shutil.rmtree(folder, ignore_errors=True)

    def _routing(self) -> Routing:
        if snapshot.current_version(self._home.snapshot) is None:
            return Routing(version=0)
        return snapshot.read(self._home.snapshot)


def check_format(name: str, value: str) -> str:
    """One of the formats there are; those of tables need the extra ``arrow``."""
    from importlib.util import find_spec

    from quorate.codecs.batch import FORMATS

    if value not in FORMATS:
        raise InvalidInput(f"{name} is one of {', '.join(FORMATS)}; got '{value[:32]}'.", path=name)
    if value != "ndjson" and find_spec("pyarrow") is None:
        raise InvalidInput(
            f"'{value}' needs the extra 'arrow'; pip install 'quorate[arrow]', or use ndjson.", path=name
        )
    return value
