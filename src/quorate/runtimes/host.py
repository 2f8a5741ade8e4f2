"""A member in a process of its own, seen from the worker: it can be killed, and takes nobody with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from quorate.clock import Clock, SystemClock
from quorate.core.types import Artifact, Tensors
from quorate.errors import (
    FormatRefused,
    MemberCrashed,
    MemberError,
    MemberTimeout,
    QuorateError,
    RegistryError,
    SignatureViolation,
)
from quorate.runtimes import wire
from quorate.runtimes.signature import InputCheck

START_TIMEOUT_S = 60.0
MAX_IN_FLIGHT = 64
_AHEAD = 2  # frames sent before the first is answered: the host never waits for the next, the rest can be withdrawn

_SENDS_A_TURN = 16  # a frame of many megabytes must not hold the loop
_RECEIVE = 64 << 10

_SYSTEM_CLOCK = SystemClock()
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_FAULTS: dict[str, type[QuorateError]] = {
    fault.code: fault
    for fault in (MemberError, MemberCrashed, MemberTimeout, SignatureViolation, FormatRefused, RegistryError)
}

Reply = asyncio.Future[Tensors]


class MemberHost:
    """Runs one artifact of an isolated runtime in a process; belongs to the event loop that starts it.

    ``run`` may be called by many tasks at once; the member sees one run after the other. Nothing restarts by itself:
    who owns the host decides when.
    """

    def __init__(self, artifact: Artifact, *, max_in_flight: int = MAX_IN_FLIGHT, clock: Clock = _SYSTEM_CLOCK) -> None:
        self.artifact = artifact
        self._starts = 0
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._check = InputCheck(artifact.name, artifact.tensors)
        self._life: _Life | None = None
        self._changing = asyncio.Lock()

    @property
    def restarts(self) -> int:
        """Processes after the first."""
        return max(0, self._starts - 1)

    @property
    def ready(self) -> bool:
        """Whether the member is loaded and its process alive, as far as is known now."""
        return self._life is not None and self._life.ready

    @property
    def pid(self) -> int | None:
        """The process id while there is a process."""
        return self._life.pid if self._life is not None else None

    @property
    def busy_since(self) -> float | None:
        """The monotonic time at which the member began the run it has not answered yet; None when it is idle."""
        return self._life.busy_since if self._life is not None else None

    @property
    def in_flight(self) -> int:
        """Runs the member has not answered; of those whose caller no longer waits, only the ones already sent."""
        return self._life.in_flight if self._life is not None else 0

    async def start(self, *, timeout: float = START_TIMEOUT_S) -> None:
        """Start the process and load the member.

        :class:`FormatRefused` if the artifact is not allowed, :class:`MemberCrashed` if it cannot be loaded,
        :class:`MemberTimeout` if that takes longer than ``timeout`` seconds. On error no process is left.
        """
        async with self._changing:
            await self._start(timeout)

    async def restart(self, *, timeout: float = START_TIMEOUT_S) -> None:
        """Kill the process, if there is one, and start anew; raises as :meth:`start`."""
        async with self._changing:
            await self._stop("is being restarted")
            await self._start(timeout)

    async def close(self) -> None:
        """Kill the process and wait until it is gone; a second call does nothing."""
        async with self._changing:
            await self._stop("is closed")

    def kill(self) -> None:
        """Kill the process now; every run in flight fails with :class:`MemberCrashed`. Does not wait."""
        if self._life is not None:
            self._life.end("was killed")

    async def run(self, inputs: Tensors, *, timeout: float | None = None) -> Tensors:
        """Run the member on its tensors (see :class:`~quorate.runtimes.base.Session`), which must not change meanwhile.

        :class:`MemberCrashed` if it raises, dies or is not running; :class:`SignatureViolation` if input or output
        are not as declared; :class:`MemberTimeout` after ``timeout`` seconds; plain :class:`MemberError`, at once, if
        too many runs are in flight. A caller that is cancelled or timed out harms nobody; its answer is dropped.
        """
        life = self._life
        if life is None or not life.ready:
            raise self._error(MemberCrashed, "has no running process")
        if life.in_flight >= self._max_in_flight:
            raise self._error(MemberError, f"is busy: {life.in_flight} runs have not been answered")
        self._check(inputs)
        number, reply = life.submit(inputs)
        timer = None
        if timeout is not None:
            late = self._error(MemberTimeout, f"did not answer within {timeout} s")
            timer = asyncio.get_running_loop().call_later(timeout, _fail, reply, late)
        try:
            return await reply
        finally:
            life.withdraw(number)
            if timer is not None:
                timer.cancel()

    async def _start(self, timeout: float) -> None:
        if self._life is not None:
            raise RuntimeError(f"the host of '{self.artifact.name}' has been started; use restart().")
        self._starts += 1
        life = self._life = _Life(self.artifact, self._clock)
        try:
            async with asyncio.timeout(timeout):
                await life.begin()
        except TimeoutError:
            await self._stop("took too long to start")
            raise self._error(MemberTimeout, f"was not loaded within {timeout} s") from None
        except BaseException:
            await self._stop("could not be started")
            raise

    async def _stop(self, reason: str) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.end(reason)
            await asyncio.shield(life.gone)

    def _error(self, kind: type[MemberError], what: str) -> MemberError:
        return kind(f"Member '{self.artifact.name}' {what}.", path=self.artifact.name)


class _Life:
    """One process of a host, from spawn to exit; nothing of it survives into the next."""

    def __init__(self, artifact: Artifact, clock: Clock) -> None:
        self._artifact = artifact
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[list[wire.Buffer], Reply]] = {}
        self._sent: dict[int, Reply] = {}
        self._received = bytearray()
        self._unsent: deque[memoryview] = deque()
        self._writing = False
        self._socket: socket.socket | None = None
        self._killed = False
        self._ended = False
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.ready = False
        self.pid: int | None = None
        self.busy_since: float | None = None

    # --- the process ------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Spawn, load, and return when the member is ready."""
        ours, theirs = socket.socketpair()
        # A thread of its own, for three reasons: the spawn does not stall the loop; it reaps the process whatever
        # the loop does; and the kernel sends PR_SET_PDEATHSIG when the *thread* that spawned ends, so that thread
        # must live as long as the process. A daemon thread, so that it keeps no worker from exiting.
        threading.Thread(target=self._attend, args=(theirs,), name=f"host-{self._artifact.name}", daemon=True).start()
        self._connect(ours)
        await self._loaded

    def _attend(self, theirs: socket.socket) -> None:
        try:
            process = _spawn(theirs)
        except OSError as error:
            theirs.close()
            self._tell(self._exited, f"could not be started ({error})")
            return
        theirs.close()
        self._tell(self._spawned, process.pid)
        code = process.wait()
        _kill_group(process.pid)  # what the member itself had started
        self._tell(self._exited, f"ended by signal {-code}" if code < 0 else f"exited with status {code}")

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _spawned(self, pid: int) -> None:
        self.pid = pid
        if self._killed:
            _kill_group(pid)

    def _kill(self) -> None:
        """Kill the process and hear no more of it; what it owes fails when it has ended, with the reason of that."""
        self._killed = True
        self.ready = False
        self.busy_since = None
        if self.pid is not None:
            _kill_group(self.pid)
        self._disconnect()

    def _exited(self, how: str) -> None:
        self.pid = None
        self.end(how)
        if not self.gone.done():
            self.gone.set_result(None)

    def end(self, how: str) -> None:
        """Kill the process and fail what it owes; only the first reason counts."""
        if self._ended:
            return
        self._ended = True
        self._kill()
        waiting = [reply for _, reply in self._waiting.values()]
        owed: list[asyncio.Future[Any]] = [self._loaded, *self._sent.values(), *waiting]
        for pending in (self._sent, self._waiting, self._unsent):
            pending.clear()
        for reply in owed:
            _fail(reply, MemberCrashed(f"Member '{self._artifact.name}' {how}.", path=self._artifact.name))

    # --- runs -------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return len(self._sent) + len(self._waiting)

    def submit(self, inputs: Tensors) -> tuple[int, Reply]:
        """Send a run, or queue it behind those the member has not answered."""
        number = next(self._numbers)
        reply: Reply = self._loop.create_future()
        self._waiting[number] = wire.pack_tensors(wire.Kind.RUN, number, inputs), reply
        self._pump()
        return number, reply

    def withdraw(self, number: int) -> None:
        """Forget a run that is still queued; the answer to one that was sent is dropped when it comes."""
        self._waiting.pop(number, None)

    def _pump(self) -> None:
        while self._waiting and len(self._sent) < _AHEAD:
            number = next(iter(self._waiting))
            frame, self._sent[number] = self._waiting.pop(number)
            if self.busy_since is None:
                self.busy_since = self._clock.monotonic()
            self._send(frame)

    # --- the socket -------------------------------------------------------------------------------

    def _connect(self, ours: socket.socket) -> None:
        # Reader callbacks and direct sends, not a transport: uvloop's sends at the end of a loop turn only, which
        # costs a third of a small run's round trip.
        ours.setblocking(False)
        self._socket = ours
        self._loop.add_reader(ours.fileno(), self._readable)
        self._send(wire.pack(wire.Kind.LOAD, 0, self._artifact))

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _send(self, frame: list[wire.Buffer]) -> None:
        idle = not self._unsent
        self._unsent.extend(memoryview(part) for part in frame)
        if idle:
            self._writable()

    def _writable(self) -> None:
        for _ in range(_SENDS_A_TURN):
            if self._socket is None or not self._unsent:
                break
            part = self._unsent[0]
            try:
                sent = self._socket.send(part)
            except BlockingIOError:
                break
            except OSError:
                self._kill()
                return
            if sent == len(part):
                self._unsent.popleft()
            else:
                self._unsent[0] = part[sent:]
        if self._socket is not None and bool(self._unsent) is not self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._socket.fileno(), self._writable)
            else:
                self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._kill()
            return
        self._received += data
        try:
            while not self._killed and (frame := wire.take_frame(self._received)) is not None:
                self._answered(*frame)
        except wire.WireError as error:
            self.end(f"broke the protocol of its host: {error}")

    def _answered(self, header: wire.Header, meta: bytes, body: bytearray) -> None:
        if header.request == 0:
            self._load_answered(header, meta)
            return
        reply = self._sent.get(header.request)
        if reply is None:
            raise wire.WireError(f"it answered run {header.request}, which was not asked")
        if header.kind == wire.Kind.RESULT:
            if not reply.done():
                reply.set_result(wire.read_tensors(meta, body))
        else:
            _fail(reply, _fault(meta))
        del self._sent[header.request]
        self.busy_since = self._clock.monotonic() if self._sent else None
        self._pump()

    def _load_answered(self, header: wire.Header, meta: bytes) -> None:
        self.ready = header.kind == wire.Kind.READY
        if not self.ready:
            _fail(self._loaded, _fault(meta))
        elif not self._loaded.done():
            self._loaded.set_result(None)


def _fail(reply: asyncio.Future[Any], error: QuorateError) -> None:
    if not reply.done():
        reply.set_exception(error)


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """The host process; it prints to standard error, and leads a session, so that it dies with what it starts."""
    command = [sys.executable, "-P", "-m", "quorate.runtimes.host_main", str(theirs.fileno()), str(os.getpid())]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
        env=dict.fromkeys(_ONE_THREAD, "1") | os.environ,
    )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fault(meta: bytes) -> QuorateError:
    fault = wire.read_fault(meta)
    return _FAULTS.get(fault.code, MemberCrashed)(fault.message, path=fault.path)
