"""A child of the supervisor: its plan, its process, and how it has done. Standard library only."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any, Protocol

from quorate.engines.plan import ChildPlan


class Process(Protocol):
    """What a supervisor does with a child; ``subprocess.Popen`` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def terminate(self) -> None: ...

    def send_signal(self, sig: int) -> None: ...


class Adopted:
    """A child that this process has from before it became another program."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit status once it has ended, as that of ``subprocess.Popen``."""
        return self._ended(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end."""
        code = self._ended(0)
        assert code is not None  # noqa: S101 - it was waited for
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended: its number may be another process's by then."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _ended(self, options: int) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # it is nobody's child any more
                self._code = 255
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


@dataclass(slots=True)
class Child:
    """``ready_at`` and the other times are those of the monotonic clock, None where there is no such moment."""

    plan: ChildPlan
    process: Process | None = None
    ready_fd: int = -1
    ready_at: float | None = None
    was_ready: bool = False
    started: float = 0.0
    deaths: int = 0
    start_at: float | None = 0.0
    retiring: bool = False
    kill_at: float | None = None

    @property
    def name(self) -> str:
        """For people."""
        return self.plan.name

    def left(self) -> dict[str, Any]:
        """What a successor of the supervisor needs to know of it."""
        known = {name: getattr(self, name) for name in _LEFT}
        return {"pid": None if self.process is None else self.process.pid, **known}

    def inherit(self, left: dict[str, Any]) -> None:
        """Be what a predecessor's child was."""
        self.process = None if left["pid"] is None else Adopted(left["pid"])
        for name in _LEFT:
            setattr(self, name, left[name])


_LEFT = ("ready_at", "was_ready", "started", "deaths", "start_at")


def kill_group(pid: int) -> None:
    """Kill a process with all that it has started, where they are there still."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def reason_of(code: int) -> str:
    """An exit status in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
