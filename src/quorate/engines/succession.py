"""How a supervisor becomes its own successor: the same process, with the code that is on disk now.

Standard library only. ``exec`` keeps the process id, the children, open files and the lock of the project; what is
known of the children goes over in a file. Before that the successor is rehearsed: another process of the same code
reads the plan and that file. Only if it ends well, this one is given up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REHEARSAL_S = 30.0
FORMAT = 1
READS = (1,)


@dataclass(frozen=True, slots=True)
class Heir:
    """What a successor takes over: both ends of the children's ``life`` pipe, what is to be ``said`` when it has, and
    what is known of each child, in the order of the plan (times are those of the monotonic clock)."""

    life: tuple[int, int]
    said: str
    children: list[dict[str, Any]]

    def save(self, path: Path) -> None:
        """Write it where the successor reads it."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}))

    @classmethod
    def read(cls, path: Path) -> Heir:
        """Read what a predecessor wrote; ``ValueError`` for a format that this release cannot read."""
        raw = json.loads(path.read_text())
        if raw.pop("format") not in READS:
            raise ValueError(f"{path} is of a release that this one cannot follow.")
        return cls(tuple(raw["life"]), raw["said"], raw["children"])


class Succession:
    """Tries the successor of a supervisor out, and puts it in its place.

    ``said`` is what the upgrade came to, while the supervisor itself is still to be replaced; ``limit`` is when a
    rehearsal is given up.
    """

    def __init__(self, plan: Path, life_fd: int | None) -> None:
        self.said: str | None = None
        self.limit: float | None = None
        self._file = plan.with_name("heir.json")
        life = "-" if life_fd is None else str(life_fd)
        self._command = [sys.executable, "-P", "-m", "quorate.engines.local", str(plan), life, str(self._file)]
        self._rehearsal: subprocess.Popen[bytes] | None = None

    @property
    def begun(self) -> bool:
        """Whether the successor is being tried out, or has been."""
        return self._rehearsal is not None

    def rehearse(self, heir: Heir, now: float) -> None:
        """Begin to try the successor out; ``OSError`` where no process can be started."""
        heir.save(self._file)
        self._rehearsal = subprocess.Popen([*self._command, "rehearse"], stdin=subprocess.DEVNULL, process_group=0)
        self.limit = now + REHEARSAL_S

    def rehearsed(self, now: float) -> bool:
        """Whether the successor was tried out and can take over; ``OSError`` where it cannot."""
        if self._rehearsal is None:
            return False
        code = self._rehearsal.poll()
        if code is None and self.limit is not None and now < self.limit:
            return False
        self.limit = None
        if code != 0:
            self.abandon()
            raise OSError(0, "its successor did not start" if code is None else f"its successor ended with {code}")
        return True

    def abandon(self) -> None:
        """End a rehearsal that is under way."""
        if self._rehearsal is not None:
            self._rehearsal.kill()
            self._rehearsal.wait()
        self._rehearsal = self.limit = None

    def take_place(self, heir: Heir) -> None:
        """Become the successor: returns only by an ``OSError``."""
        heir.save(self._file)
        try:
            for descriptor in heir.life:
                os.set_inheritable(descriptor, True)
            os.execv(self._command[0], self._command)  # noqa: S606 - there is no shell to want
        finally:
            for descriptor in heir.life:
                os.set_inheritable(descriptor, False)
