"""The supervisor of one machine: starts the processes, watches, restarts and drains them; nothing else.

Standard library only, and no project state: it reads a launch plan (a JSON file) and obeys signals. A child that dies
is started again at once, then with growing pauses while it keeps dying. Children hold the read end of a pipe whose
write end only the supervisor has: when it is gone, however it died, they drain and exit, so there are no orphans.
At the end of an upgrade the supervisor becomes its own successor (:mod:`quorate.engines.succession`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from quorate.engines.child import Child, kill_group, reason_of
from quorate.engines.plan import ChildPlan, LaunchPlan
from quorate.engines.rolling import START_ATTEMPTS, Rolling
from quorate.engines.succession import Heir, Succession

__all__ = ["UPGRADE", "ChildPlan", "LaunchPlan", "Supervisor", "main", "run"]

MAX_PAUSE = 5.0
STABLE_AFTER = 5.0
KILL_GRACE = 2.0
GENTLE_S = 2.0
"""What a gentle end may take longer than a drain."""
UPGRADE = signal.SIGUSR2
_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, UPGRADE)


class Supervisor:
    """Runs a launch plan until a signal ends it, or ``life_fd`` does; ``log`` takes one line at a time.

    ``succession`` is how it becomes its successor, None where it cannot; ``heir`` is what its predecessor left it.
    """

    def __init__(
        self,
        plan: LaunchPlan,
        *,
        log: Callable[[str], None],
        life_fd: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        succession: Succession | None = None,
        heir: Heir | None = None,
    ) -> None:
        self._plan = plan
        self._life_fd = life_fd
        self._log = log
        self._clock = clock
        self._children = [Child(p) for p in plan.children]
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._stopping = False
        self._kill_at: float | None = None
        self._failed = False
        self._upgrade: Rolling[Child] | None = None
        self._succession = succession
        self._heir = heir

    def run(self) -> int:
        """Block until stopped; 0 after a drain that was asked for, 1 when the plan could not be started."""
        life_read, life_write = os.pipe() if self._heir is None else self._heir.life
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        old_wake = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        # CPython runs a handler for a signal only if one is set; the work is done when the pipe wakes the loop.
        old = {number: signal.signal(number, lambda *_: None) for number in _WATCHED}
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        if self._life_fd is not None:
            self._selector.register(self._life_fd, selectors.EVENT_READ, self._life_fd)
        if self._heir is not None:
            self._inherit(self._heir)
        try:
            while not self._done():
                self._start_due(life_read)
                for key, _ in self._selector.select(self._timeout()):
                    if key.data is None:
                        self._signals(os.read(wake_read, 4096))
                    elif key.data == self._life_fd:
                        self._selector.unregister(key.fileobj)
                        self.stop()
                    else:
                        self._heard(key.data)
                self._reap()
                self._roll()
                self._succeed((life_read, life_write), wake_read)
                self._enforce()
        finally:
            self._kill_all()
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_wake)
            self._selector.close()
            for descriptor in (life_read, life_write, wake_read, wake_write):
                os.close(descriptor)
        return 1 if self._failed else 0

    def _done(self) -> bool:
        return self._stopping and all(child.process is None for child in self._children)

    def _timeout(self) -> float | None:
        moments = [c.start_at for c in self._children if c.start_at is not None and not self._stopping]
        moments += [c.kill_at for c in self._children if c.kill_at is not None]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        if self._upgrade is not None:
            moments.append(self._upgrade.limit)
        if self._succession is not None and self._succession.limit is not None:
            moments.append(self._succession.limit)
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _start_due(self, life_fd: int) -> None:
        now = self._clock()
        for child in self._children:
            if child.start_at is not None and child.start_at <= now and not self._stopping:
                self._start(child, life_fd)

    def _start(self, child: Child, life_fd: int) -> None:
        ready_read, ready_write = os.pipe()
        argv = [*child.plan.argv, "--life-fd", str(life_fd), "--ready-fd", str(ready_write)]
        child.start_at = None
        child.started = self._clock()
        child.ready_at = None
        try:
            # A group of its own: a terminal's Ctrl-C reaches only us, and its own children can be killed with it.
            child.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, pass_fds=(life_fd, ready_write), process_group=0
            )
        except OSError as error:  # no memory or no process left just now: the others must not die of it
            os.close(ready_read)
            self._died(child, error.strerror or str(error))
        else:
            child.ready_fd = ready_read
            self._selector.register(ready_read, selectors.EVENT_READ, child)
        finally:
            os.close(ready_write)

    def _heard(self, child: Child) -> None:
        if os.read(child.ready_fd, 16):
            child.ready_at = self._clock()
            child.was_ready = True
            if child.deaths:
                self._log(f"{child.plan.name} is back after {child.ready_at - child.started:.1f} s.")
        self._forget_pipe(child)
        if not self._announced and all(c.ready_at is not None for c in self._children if c.plan.essential):
            self._announced = True
            if self._plan.message:
                self._log(self._plan.message)

    def _forget_pipe(self, child: Child) -> None:
        if child.ready_fd >= 0:
            self._selector.unregister(child.ready_fd)
            os.close(child.ready_fd)
            child.ready_fd = -1

    def _signals(self, numbers: bytes) -> None:
        if UPGRADE in numbers and not self._stopping:
            self.upgrade()
        asked = [number for number in numbers if number not in (signal.SIGCHLD, UPGRADE)]
        # A closing terminal may say so twice; only a person who asks again is in a hurry.
        again = sum(number != signal.SIGHUP for number in asked) > (not self._stopping)
        if asked and not self._stopping:
            self.stop()
        if again:
            self._kill_at = self._clock()

    def stop(self) -> None:
        """Ask every child to drain; those that take longer than the plan allows are killed."""
        self._stopping = True
        self._kill_at = self._clock() + self._plan.drain_s + KILL_GRACE
        for child in self._children:
            if child.process is not None:
                child.process.terminate()

    def upgrade(self) -> None:
        """Replace every process by a fresh one, one after the other; none of what a worker was sent is lost."""
        plan = self._plan.spare
        if plan is None:
            self._told(False, "This launch plan has no spare process; stop the server and start it again.")
            return
        changing = self._upgrade is not None or (self._succession is not None and self._succession.said is not None)
        if changing or not self._announced:
            self._log("An upgrade is under way already, or the processes are still starting; ask again later.")
            return
        spare = next((child for child in self._children if child.plan is plan), None)
        children = [child for child in self._children if child is not spare and child.process is not None]
        if spare is None:
            spare = Child(plan, start_at=self._clock())
            self._children.append(spare)
        self._log(f"Upgrading: {plan.name} is started first.")
        self._upgrade = Rolling(spare, children, retire=self._retire, clock=self._clock)

    def _retire(self, child: Child) -> None:
        """End a child gently; :meth:`_reap` starts it again, unless it is the spare."""
        child.deaths = 0
        if child.process is None:  # it died just now, and comes back by itself
            return
        child.retiring = True
        child.kill_at = self._clock() + self._plan.drain_s + KILL_GRACE + GENTLE_S
        child.process.send_signal(signal.SIGUSR1 if child.plan.gentle else signal.SIGTERM)

    def _roll(self) -> None:
        if self._upgrade is None or self._stopping:
            return
        came = self._upgrade.step()
        if came is None:
            return
        spare, self._upgrade = self._upgrade.spare, None
        if not came[0] and spare.ready_at is None:
            self._retire(spare)
            spare.kill_at = self._clock()
            if spare.process is None:
                self._children.remove(spare)
        if came[0] and self._succession is not None:
            self._succession.said = came[1]  # told when the spare has gone and this process has its turn
        else:
            self._told(*came)

    def _succeed(self, life: tuple[int, int], wake_fd: int) -> None:
        """Become the successor, in a moment when no child is coming or going; does not return then."""
        succession = self._succession
        if succession is None or succession.said is None or self._stopping:
            return
        spare = any(child.plan is self._plan.spare for child in self._children)
        quiet = not spare and not any(child.ready_fd >= 0 or child.retiring for child in self._children)
        try:
            if quiet and not succession.begun:
                succession.rehearse(self._left(life, succession.said), self._clock())
            if not succession.rehearsed(self._clock()) or not quiet:
                return
            signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)  # the mask outlives this program, and so what is pending
            with contextlib.suppress(BlockingIOError):
                self._signals(os.read(wake_fd, 4096))
            if not self._stopping:
                succession.take_place(self._left(life, succession.said))
        except OSError as error:
            self._told(True, f"{succession.said} The supervisor goes on as it was: {error.strerror or error}.")
            succession.said = None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)

    def _left(self, life: tuple[int, int], said: str) -> Heir:
        """What the successor needs of this process."""
        return Heir(life, said, [child.left() for child in self._children])

    def _inherit(self, heir: Heir) -> None:
        for child, left in zip(self._children, heir.children, strict=True):
            child.inherit(left)
        self._announced = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)  # what came meanwhile
        self._told(True, f"{heir.said} So was the supervisor.")
        self._reap()

    def _told(self, done: bool, sentence: str) -> None:
        self._log(sentence)
        if self._plan.upgrade_file is not None:
            path = Path(self._plan.upgrade_file)
            with contextlib.suppress(OSError):
                temporary = path.with_suffix(".new")
                temporary.write_text(json.dumps({"done": done, "message": sentence}))
                temporary.replace(path)

    def _reap(self) -> None:
        for child in list(self._children):
            if child.process is None:
                continue
            code = child.process.poll()
            if code is None:
                continue
            kill_group(child.process.pid)
            child.process = None
            self._forget_pipe(child)
            if child.retiring and not self._stopping:
                child.retiring, child.kill_at, child.ready_at = False, None, None
                child.start_at = self._clock()
                if child.plan is self._plan.spare:
                    self._children.remove(child)
            elif not self._stopping:
                self._died(child, reason_of(code))

    def _died(self, child: Child, reason: str) -> None:
        now = self._clock()
        stable = child.ready_at is not None and now - child.ready_at > STABLE_AFTER
        child.deaths = 1 if stable else child.deaths + 1
        child.ready_at = None
        if child.plan is self._plan.spare and not child.was_ready:
            self._log(f"{child.plan.name} died ({reason}).")
            return
        if not child.plan.essential and not child.was_ready and child.deaths >= START_ATTEMPTS:
            self._log(f"{child.plan.name} could not be started ({reason}); going on without it.")
            return
        if child.plan.essential and not self._announced and child.deaths >= START_ATTEMPTS:
            self._log(f"{child.plan.name} could not be started ({reason}); stopping.")
            self._failed = True
            self.stop()
            return
        pause = 0.0 if child.deaths == 1 else min(MAX_PAUSE, 0.1 * 2.0 ** min(child.deaths, 10))
        child.start_at = now + pause
        self._log(f"{child.plan.name} died ({reason}); starting it again" + (f" in {pause:.1f} s." if pause else "."))

    def _enforce(self) -> None:
        if self._kill_at is not None and self._clock() >= self._kill_at:
            self._kill_all()
        for child in self._children:
            if child.kill_at is not None and child.process is not None and self._clock() >= child.kill_at:
                kill_group(child.process.pid)
                child.kill_at = None

    def _kill_all(self) -> None:
        if self._succession is not None:
            self._succession.abandon()
        for child in self._children:
            if child.process is not None:
                kill_group(child.process.pid)
                child.process.wait()
                child.process = None


def _json_line(message: str) -> str:
    """As the other processes write theirs (``telemetry/logs.py``, which this one does not import)."""
    now = time.time()
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+00:00",
        "level": "INFO",
        "logger": "quorate.supervisor",
        "process": "supervisor",
        "message": message.strip(),
    }
    return json.dumps(line)


def run(
    plan: LaunchPlan,
    out: IO[str],
    life_fd: int | None = None,
    *,
    succession: Succession | None = None,
    heir: Heir | None = None,
) -> int:
    """Run a plan, keeping its pid file while it runs; the rest is of :class:`Supervisor`."""

    def log(line: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; serving goes on
            print(_json_line(line) if plan.log_format == "json" else line, file=out, flush=True)

    pid_file = Path(plan.pid_file) if plan.pid_file is not None else None
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()))
    try:
        return Supervisor(plan, log=log, life_fd=life_fd, succession=succession, heir=heir).run()
    finally:
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)


def main(argv: Sequence[str]) -> int:
    """``python -m quorate.engines.local PLAN [LIFE_FD [HEIR [rehearse]]]``: without a life pipe, only signals end it.

    LIFE_FD is ``-`` where there is none but a file HEIR, which a predecessor wrote: its process is now this one. With
    ``rehearse``, another process sees whether both files can be read, and that is all.
    """
    file, life, heir_file, rehearse = (*argv, None, None, None)[:4]
    plan = LaunchPlan.read(Path(str(file)))
    heir = None if heir_file is None else Heir.read(Path(heir_file))
    life_fd = None if life in (None, "-") else int(life)
    if rehearse is not None:
        Supervisor(plan, log=print, life_fd=life_fd, heir=heir)
        return 0
    return run(plan, sys.stderr, life_fd, succession=Succession(Path(str(file)), life_fd), heir=heir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
