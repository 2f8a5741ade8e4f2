"""A launch plan: which processes a supervisor runs. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process: a name for people and its command; ``--life-fd`` and ``--ready-fd`` are appended to it.

    One that is not ``essential`` is not waited for, and where it cannot be started the others go on without it. One
    that is ``gentle`` obeys SIGUSR1: it answers what still comes on its connections for a moment before it drains.
    """

    name: str
    argv: tuple[str, ...]
    essential: bool = True
    gentle: bool = False


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """All processes, what to print when every essential one is ready, and how long a drain may take (seconds).

    ``spare`` stands in for those that an upgrade replaces; what came of that is written to ``upgrade_file``.
    """

    children: tuple[ChildPlan, ...]
    message: str = ""
    drain_s: float = 10.0
    pid_file: str | None = None
    log_format: str = "text"
    spare: ChildPlan | None = None
    upgrade_file: str | None = None

    def save(self, path: Path) -> None:
        """Write the plan where :func:`main` reads it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        plan = {
            "children": [asdict(child) for child in self.children],
            "message": self.message,
            "drain_s": self.drain_s,
            "pid_file": self.pid_file,
            "log_format": self.log_format,
            "spare": None if self.spare is None else asdict(self.spare),
            "upgrade_file": self.upgrade_file,
        }
        path.write_text(json.dumps(plan, indent=1))

    @classmethod
    def read(cls, path: Path) -> LaunchPlan:
        """Read a saved plan."""
        raw: dict[str, Any] = json.loads(path.read_text())
        children = tuple(_child_plan(child) for child in raw.pop("children"))
        spare = raw.pop("spare")
        return cls(children, spare=None if spare is None else _child_plan(spare), **raw)


def _child_plan(raw: dict[str, Any]) -> ChildPlan:
    return ChildPlan(**{**raw, "argv": tuple(raw["argv"])})
