"""Pins: whoever needs decisions later (a learner, an experiment, a replay) holds their deletion back.

A pin is a file ``journal/pins/<name>.json``, so that it survives restarts and needs no store. As long as it is there,
and its own ``until`` has not passed, retention deletes no file with decisions at or after ``since``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from quorate.errors import ConfigError, JournalError
from quorate.home import Home
from quorate.registry.files import make_folder, settle, settle_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decisions from ``since`` on are needed (Unix seconds), at most ``until`` then (None: until unpinned)."""

    name: str
    since: float
    reason: str
    until: float | None = None


def _folder(home: Home) -> Path:
    return home.journal / "pins"


def pin(home: Home, made: Pin) -> None:
    """Set a pin, or replace the one of that name; it counts for every file whose deletion has not begun."""
    if not _NAME.fullmatch(made.name):
        raise ConfigError(
            f"A pin's name is made of a-z, 0-9, '.', '_' and '-'; got '{made.name[:64]}'. Take another one.",
            path="name",
        )
    folder = _folder(home)
    make_folder(folder)
    temporary = folder / f".{made.name}.{os.getpid()}"
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(made))
        settle(file)
    temporary.replace(folder / f"{made.name}.json")
    settle_folder(folder)


def unpin(home: Home, name: str) -> bool:
    """Remove a pin; False if there is none of that name."""
    try:
        (_folder(home) / f"{name}.json").unlink()
    except FileNotFoundError:
        return False
    return True


def pins(home: Home, now: float) -> list[Pin]:
    """The pins that hold at ``now``, by name; :class:`JournalError` for one that cannot be read."""
    found = []
    for path in sorted(_folder(home).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Pin))
        except FileNotFoundError:
            continue
        except msgspec.MsgspecError as error:
            raise JournalError(
                f"The pin {path} cannot be read: {error}; nothing is deleted until it is gone."
            ) from error
    return [each for each in found if each.until is None or each.until > now]
