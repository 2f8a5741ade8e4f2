"""The audit trail of changes that are not made in the store itself, and who is making a change here."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

from quorate.clock import Clock
from quorate.store.audit import add_entry
from quorate.store.database import Database


def record(
    database: Database, clock: Clock, *, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry about a change made elsewhere, such as a moved alias; call it right after the change."""
    with database.begin() as connection:
        add_entry(connection, at=clock.now(), actor=actor, action=action, subject=subject, detail=detail)


def local_user() -> str:
    """The name of the user at this machine, as the author of what a command changes."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system, as in some containers
        return "unknown"
