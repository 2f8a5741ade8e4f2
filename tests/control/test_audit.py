"""Entries about changes that are made elsewhere, such as in the registry."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control import audit
from quorate.store.audit import entries


def test_a_moved_alias_is_recorded(project: Any) -> None:
    project.registry.set_alias("a", "champion", 1)
    audit.record(
        project.database, project.clock, actor="me", action="model.alias", subject="a@champion", detail={"version": 1}
    )
    with project.database.read() as connection:
        [entry] = entries(connection)
    assert (entry.at, entry.actor, entry.action, entry.subject) == (
        project.clock.now(),
        "me",
        "model.alias",
        "a@champion",
    )
    assert entry.detail == {"version": 1}


def test_the_local_user_has_a_name_also_where_the_system_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "someone")
    assert audit.local_user() == "someone"

    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(audit.getpass, "getuser", nobody)
    assert audit.local_user() == "unknown"
