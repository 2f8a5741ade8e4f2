"""The control process: its port, and the ingest of journals into the store; killing it never stops serving."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from quorate.clock import Clock
from quorate.codecs.lookup import JournalReader
from quorate.control.access import Access
from quorate.control.alone import keep_doing
from quorate.control.api import Services, create_app
from quorate.control.captures.erasing import Eraser
from quorate.control.captures.exporting import DatasetDesk
from quorate.control.captures.keeping import CaptureKeeper
from quorate.control.experiments import running as experiments
from quorate.control.jobs.desk import JobDesk
from quorate.control.journal.compacting import CompactProcess
from quorate.control.journal.ingest import follow
from quorate.control.journal.keeping import Keeper, keep_shipping
from quorate.control.learning.warm_starts import Stopped, WarmStarts
from quorate.control.listening import listeners
from quorate.control.outcomes.joined import Listener
from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.replay.desk import ReplayDesk
from quorate.control.rule_routes import Explain
from quorate.control.usage import sample_usage
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.telemetry.counters import Counters
from quorate.telemetry.process import ProcessMeter
from quorate.web.auth import require_keys
from quorate.web.child import end_with_supervisor, listen
from quorate.web.protocol import Protocol

log = logging.getLogger("quorate.control")

DRAIN_S = 5
BACKLOG = 128
READINGS_S = 1.0
DATASETS_S = 2.0
REST_S = 0.002
NICE = 10
"""What of the processor ingesting and shipping leave to others (nice value; Linux has it for each thread)."""


def serve(
    home: Home,
    *,
    host: str,
    port: int,
    insecure: bool,
    clock: Clock,
    life_fd: int,
    ready_fd: int,
    workers: int = 0,
    inference: str | None = None,
    explain: Explain | None = None,
) -> None:
    """Serve the control port until SIGTERM, or until ``life_fd`` ends because the supervisor is gone.

    ``ready_fd`` gets one byte when the port is open; ``workers`` is how many processes should answer,
    ``inference`` the URL that jobs ask, ``explain`` what tries examples of requests against rules. Raises
    :class:`~quorate.errors.ConfigError` for an address that needs keys where there are none, and
    :class:`~quorate.errors.StoreError`.
    """
    database = Database(home.store_url)
    database.migrate()
    access = Access(home, database, host)
    require_keys(host, access.routing().keys, insecure=insecure)
    counters = Counters(home.telemetry / "control.qt")
    try:
        journal = JournalReader(home.journal)
        jobs = JobDesk(home, database, clock, inference)
        registry = Registry(home.registry, clock)
        replays = ReplayDesk(home, registry, database, clock)
        audits = PoolAuditDesk(home, registry, database, clock)
        warm = WarmStarts(home, database, registry.blobs.read, clock)
        services = Services(home, registry, database, journal, clock, workers, jobs, replays, warm, explain, audits)
        app = create_app(services, access)
        listener = listeners(home, database, registry, clock)
        with _ingesting(home, database, clock, counters, listener, warm), _working(jobs, replays, audits):
            asyncio.run(_run(app, listen(host, port, BACKLOG), counters, life_fd=life_fd, ready_fd=ready_fd))
    finally:
        counters.close()
        database.close()


def _humbly(work: Callable[..., None], *arguments: Any, **more: Any) -> None:
    """Run with the lowest priority where the system has one for threads: workers' answers come first."""
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    work(*arguments, **more)


@contextmanager
def _ingesting(
    home: Home, database: Database, clock: Clock, counters: Counters, listener: Listener, warm: WarmStarts
) -> Iterator[None]:
    """Ingest, learn and keep the journals in threads of their own while the block runs."""
    stop = threading.Event()

    def count(event: str, number: int) -> None:
        counters.counter("quorate_journal_files_total", event=event).add(number)

    compacting = CompactProcess()
    keeper = Keeper(home, database, clock, count=count, process=compacting)
    deleted = counters.counter("quorate_capture_files_total")
    eraser = Eraser(home, database, clock, busy=lambda: keeper.compacting)

    def rest() -> None:
        if stop.wait(REST_S):
            raise Stopped("Control stops; nothing was learned. Ask again.")

    more: dict[str, Callable[[], object]] = {
        "A policy cannot be warm-started": lambda: warm.work(rest),
        "A subject cannot be erased": eraser.work,
        "Captured inputs cannot be deleted": CaptureKeeper(home, clock, count=deleted.add).tidy,
    }

    datasets = DatasetDesk(home, database, clock)

    def tidy() -> None:
        keeper.tidy(most=0 if eraser.pending else 4)  # what is to be rewritten is not compacted meanwhile

    threads = [
        threading.Thread(
            target=_humbly,
            args=(follow, home, database, stop),
            kwargs={"tidy": tidy, "more": more, "listener": listener},
            name="ingest",
        ),
        threading.Thread(target=_humbly, args=(keep_shipping, home, keeper, stop), name="ship"),
        threading.Thread(
            target=_humbly,
            args=(keep_doing, home, "datasets", {"Data sets cannot be written": datasets.work}, stop),
            kwargs={"every_s": DATASETS_S},
            name="datasets",
        ),
        threading.Thread(target=_humbly, args=(sample_usage, home, database, clock, stop), name="usage"),
        threading.Thread(
            target=_humbly,
            args=(experiments.follow, home, database, JournalReader(home.journal), clock, stop),
            name="experiments",
        ),
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(DRAIN_S)  # what it has not finished by then is rolled back, or done again
        compacting.stop()


@contextmanager
def _working(jobs: JobDesk, replays: ReplayDesk, audits: PoolAuditDesk) -> Iterator[None]:
    """Run jobs, replays and pool audits while the block runs."""
    jobs.sweep()
    jobs.start()
    replays.start()
    audits.start()
    try:
        yield
    finally:
        audits.stop()
        replays.stop()
        jobs.stop()


async def _run(app: ASGIApp, listener: socket.socket, counters: Counters, *, life_fd: int, ready_fd: int) -> None:
    config = uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)
    end_with_supervisor(server, life_fd, log)
    ready = counters.gauge("quorate_ready")
    ready.set(1)
    readings = asyncio.create_task(_observe(ProcessMeter(counters)))
    os.write(ready_fd, b"1")
    os.close(ready_fd)
    try:
        await server.serve(sockets=[listener])
    finally:
        readings.cancel()
        ready.set(0)


async def _observe(meter: ProcessMeter) -> None:
    while True:
        meter.observe()
        await asyncio.sleep(READINGS_S)
