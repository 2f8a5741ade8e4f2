"""A worker process: one slot, one event loop, the inference port shared by SO_REUSEPORT."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.clock import Clock
from quorate.codecs import sealing, snapshot
from quorate.codecs.lookup import JournalReader
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.serving.capture import CaptureDesk
from quorate.serving.cores import per_worker
from quorate.serving.desired import DesiredFile
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.journal import Journal
from quorate.serving.lanes import ThreadLane
from quorate.serving.learned import LearnedStates
from quorate.serving.listening import ConnectionLimits
from quorate.serving.loading import Loader
from quorate.serving.memory import give_back_memory
from quorate.serving.meters import Meters
from quorate.serving.outcomes import OutcomeDesk
from quorate.serving.plane import Plane
from quorate.serving.repository import Repository
from quorate.serving.rest import RestApp
from quorate.serving.server import BACKLOG, HttpServer
from quorate.telemetry import logs, tracing
from quorate.telemetry.counters import Counters
from quorate.web.auth import require_keys

if TYPE_CHECKING:
    from quorate.serving.grpc.server import GrpcServer

log = logging.getLogger("quorate.serving")

TICK = 0.1
RETRY_LOAD = 5.0
DRAIN_GRACE = 5.0
RESERVED_FILES = 256
"""Open files that connections must leave for models, the journal and the rest."""
THREADS = 4
COLLECT_AFTER = 10_000
"""Objects that are made and not yet freed before the youngest are searched for cycles. What some hundred requests under
way hold is fewer, and has no cycles; at Python's 700 a collection came with every run or two."""
PATIENCE = 1.0
"""Seconds for which open connections may send their next request to a worker that is replaced."""
EXIT_LANES_STUCK = 75  # EX_TEMPFAIL: the supervisor starts this slot again


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told at start. ``life_fd`` ends when the supervisor is gone; ``ready_fd`` is told once.

    Without a ``grpc_port`` there is no gRPC. ``workers`` share the machine's cores.
    """

    home: Path
    slot: int
    host: str
    port: int
    drain_s: float
    insecure: bool
    life_fd: int
    ready_fd: int
    access_log: bool = False
    grpc_port: int | None = None
    workers: int = 1


class Worker:
    """Loads the snapshot, serves, follows new snapshots, drains."""

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._home = Home(settings.home)
        self._counters = Counters(self._home.telemetry / f"worker-{settings.slot}.qt")
        self._meters = Meters(self._counters)
        cores = per_worker(settings.workers)
        self._lane = ThreadLane(max(THREADS, cores), clock=clock, name="member")
        self._loader = Loader(
            self._home.registry, clock=clock, lane=self._lane, meters=self._meters, cores=cores, drift=self._home.drift
        )
        self._serving = False
        self._leaving = asyncio.Event()
        self._gently = False
        self._exit_code = 0

    async def run(self) -> int:
        """Serve until told to drain; returns the exit status."""
        routing = snapshot.read(self._home.snapshot)
        require_keys(self._settings.host, routing.keys, insecure=self._settings.insecure)
        journal = Journal(
            self._home.journal, self._settings.slot, routing.journal, self._clock, lambda error: log.error("%s", error)
        )
        journal.start()
        captures = CaptureDesk(self._home.captures, self._settings.slot, journal.boot, routing.journal, self._clock)
        # The system's generator: who knows enough arms (labels may tell) can continue a Mersenne Twister's numbers.
        rng = random.SystemRandom()
        plane = Plane(
            clock=self._clock,
            lane=self._lane,
            journal=journal,
            rng=rng,
            meters=self._meters,
            residency=self._loader.residency,
            captures=captures,
        )
        repository = Repository(DesiredFile(self._home.desired), plane, self._loader.residency, journal)
        tracer = tracing.start(os.environ, self._counters, f"worker-{self._settings.slot}")
        if tracer is not None:
            plane.observers.append(tracer.observe)
        if self._settings.access_log:
            plane.observers.append(logs.log_access)
        idempotency = IdempotencyTable(
            self._home.run / "idempotency.db", slot=self._settings.slot, boot=journal.boot, clock=self._clock
        )
        outcomes = OutcomeDesk(JournalReader(self._home.journal), idempotency, journal, self._clock)
        plane.generation = await self._loader.load(routing, plane.generation, repository.read())
        learned = LearnedStates(self._home.learned)
        with guarded("following what was learned"):
            while learned.follow(plane.generation):
                pass
        app = RestApp(
            plane,
            host=self._settings.host,
            outcomes=outcomes,
            idempotency=idempotency,
            ready=lambda: self._serving,
            spool=self._home.run,
            repository=repository,
            telemetry=self._home.telemetry,
        )
        server = HttpServer(app.handle, clock=self._clock, limits=connection_limits(plane), prompt=app.prompt)
        remote = self._grpc(plane, idempotency, repository)
        listener = listen(self._settings.host, self._settings.port)
        gc.collect()
        gc.freeze()  # what is loaded stays; collections need not walk it
        gc.set_threshold(COLLECT_AFTER)
        give_back_memory()
        chores = [
            asyncio.create_task(self._tick(plane, journal, server)),
            asyncio.create_task(self._follow(plane, server, repository, remote, learned)),
            asyncio.create_task(self._seal(journal, captures)),
        ]
        self._watch_supervisor()
        self._serving = True
        self._meters.ready.set(1)
        await server.start(listener)
        if remote is not None:
            await remote.start()
        self._meters.time_collections()
        tell(self._settings.ready_fd)
        try:
            await self._leaving.wait()
            if self._gently:
                await server.retire(PATIENCE)
                self._serving = False
            drains: list[Awaitable[Any]] = [server.drain(self._settings.drain_s)]
            if remote is not None:
                drains.append(remote.stop(self._settings.drain_s))
            await asyncio.gather(*drains)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app.finish(), DRAIN_GRACE)
        finally:
            self._serving = False
            self._meters.ready.set(0)
            for chore in chores:
                chore.cancel()
            await asyncio.gather(journal.close(), asyncio.to_thread(captures.close))
            self._meters.observe(plane.generation.pools, journal, captures)  # what was counted since the last tick
            idempotency.close()
            plane.generation.release()
            if tracer is not None and not tracer.close():
                log.warning("Some spans could not be exported before the end.")
        return self._exit_code

    def _grpc(self, plane: Plane, idempotency: IdempotencyTable, repository: Repository) -> GrpcServer | None:
        if self._settings.grpc_port is None:
            return None
        from quorate.serving.grpc.server import GrpcServer  # the extra is imported only where it is used

        return GrpcServer(
            plane,
            host=self._settings.host,
            port=self._settings.grpc_port,
            idempotency=idempotency,
            ready=lambda: self._serving,
            telemetry=self._home.telemetry,
            repository=repository,
        )

    def _watch_supervisor(self) -> None:
        loop = asyncio.get_running_loop()

        def drain() -> None:
            self._serving = False
            self._leaving.set()

        def retire() -> None:
            self._gently = True
            self._leaving.set()

        loop.add_signal_handler(signal.SIGTERM, drain)
        loop.add_signal_handler(signal.SIGUSR1, retire)  # another process takes this one's place
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def follow() -> None:
            os.read(self._settings.life_fd, 1)  # nothing is ever written: this returns when the supervisor is gone
            log.warning("The supervisor is gone; draining.")
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(drain)
            time.sleep(self._settings.drain_s + DRAIN_GRACE)
            os._exit(1)  # nobody is left to kill a worker whose loop is stuck

        threading.Thread(target=follow, name="life", daemon=True).start()

    async def _tick(self, plane: Plane, journal: Journal, server: HttpServer) -> None:
        beat = 0
        while not self._lane.exhausted:
            beat += 1
            with guarded("housekeeping"):
                self._lane.sweep()
                plane.pace.observe(time.thread_time(), plane.came)
                for pool in plane.generation.pools:
                    pool.tick()
                if beat % 10 == 0:
                    self._meters.observe(plane.generation.pools, journal, plane.captures)
                    self._meters.snapshot.set(plane.generation.version)
                    self._meters.connections.set(len(server.connections))
                    received, sent = server.traffic()
                    self._meters.received(received)
                    self._meters.sent(sent)
            asleep = self._clock.monotonic()
            await asyncio.sleep(TICK)
            self._meters.lagged((self._clock.monotonic() - asleep - TICK) * 1000)
        log.error("Every spare thread is held by a hung member; this worker restarts itself.")
        self._exit_code = EXIT_LANES_STUCK
        self._leaving.set()

    async def _seal(self, journal: Journal, captures: CaptureDesk) -> None:
        """End the open segments whenever somebody asks for it."""
        path = self._home.seal
        known = sealing.stamp(path)
        while True:
            await asyncio.sleep(TICK)
            with guarded("sealing segments"):
                found = sealing.stamp(path)
                if found != known:
                    known = found
                    journal.seal()
                    captures.seal()

    async def _follow(
        self,
        plane: Plane,
        server: HttpServer,
        repository: Repository,
        remote: GrpcServer | None,
        learned: LearnedStates,
    ) -> None:
        """Load every newer snapshot beside the present one and switch; a bad one is reported and tried again later."""
        failed: int | None = None
        retry_at = 0.0
        while True:
            await asyncio.sleep(TICK)
            with guarded("following what is to be in memory"):
                repository.follow()
            with guarded("following what was learned"):
                while learned.follow(plane.generation):
                    await asyncio.sleep(0)
            version = None
            try:
                version = snapshot.current_version(self._home.snapshot)
                if version is None or version == plane.generation.version:
                    continue
                if version == failed and self._clock.monotonic() < retry_at:
                    continue
                fresh = await self._loader.load(
                    snapshot.read(self._home.snapshot), plane.generation, repository.desired
                )
            except Exception as error:
                failed, retry_at = version, self._clock.monotonic() + RETRY_LOAD
                expected = isinstance(error, QuorateError | OSError | ValueError)
                log.error(
                    "Snapshot %s cannot be loaded, still serving %s: %s",
                    version,
                    plane.generation.version,
                    error,
                    exc_info=None if expected else error,
                )
                continue
            with guarded("following what was learned"):
                learned.apply(fresh)
            old, plane.generation = plane.generation, fresh
            repository.apply()  # it may have changed meanwhile
            old.release()
            server.limits = connection_limits(plane)
            if remote is not None:
                remote.told()
            log.info("Serving snapshot %s.", fresh.version)
            del old, fresh  # what they held is free now, unless requests still run it
            await self._loader.give_back()


@contextlib.contextmanager
def guarded(what: str) -> Any:
    """Housekeeping must never end: log what goes wrong and go on."""
    try:
        yield
    except Exception:
        log.exception("An error in %s", what)


def connection_limits(plane: Plane) -> ConnectionLimits:
    """What the snapshot says about connections."""
    limits = plane.generation.limits
    connections = min(limits.connections, max(1, open_files() - RESERVED_FILES))
    return ConnectionLimits(head_s=limits.head_s, idle_s=limits.idle_s, connections=connections)


def open_files() -> int:
    """How many files this process may have open: as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that other workers may share the port of."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)  # connections wait from here on, so "ready" is true
    listener.setblocking(False)
    return listener


def tell(descriptor: int) -> None:
    """Say "ready" to the supervisor."""
    os.write(descriptor, b"1")
    os.close(descriptor)


def main(settings: WorkerSettings, clock: Clock) -> None:
    """Run a worker to its end; never returns."""
    code = 1
    try:
        code = run_loop(lambda: Worker(settings, clock).run())
    except QuorateError as error:
        log.error("%s", error)
    except Exception:
        log.exception("The worker failed")
    with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
        logging.shutdown()
        sys.stderr.flush()
    os._exit(code)  # a hung member's thread must not hold the exit up


def run_loop(main_: Callable[[], Awaitable[int]]) -> int:
    """Run a coroutine on uvloop, or on asyncio where there is none."""

    async def entry() -> int:
        return await main_()

    try:
        import uvloop
    except ImportError:
        return asyncio.run(entry())
    return int(uvloop.run(entry()))
