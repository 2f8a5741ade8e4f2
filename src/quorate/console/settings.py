"""What the console process is told at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """What the console is told at start.

    ``inference`` and ``control`` are the URLs of the APIs it is a client of; ``state`` is a folder for the files that
    its framework may want to write.
    """

    host: str
    port: int
    inference: str
    control: str
    allowed_hosts: tuple[str, ...]
    state: Path
