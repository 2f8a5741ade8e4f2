"""Asking workers to end the segments they write: whoever wants to rewrite them touches a file that workers follow."""

from __future__ import annotations

import os
from pathlib import Path

Stamp = tuple[int, int] | None


def ask(path: Path) -> None:
    """Ask all workers to end their open segments; they do within some 100 ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(b"")
    temporary.replace(path)  # a new file: its number tells, whatever the clock says


def stamp(path: Path) -> Stamp:
    """Differs after every :func:`ask`; cheap enough to poll. None where nobody ever asked."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
