"""API keys: made, listed, revoked, and in the snapshot at once."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from quorate.codecs import snapshot
from quorate.control import keys
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.store.audit import entries
from quorate.store.keys import Key


def _create(project: Any, name: str = "app", *roles: str) -> tuple[Key, str]:
    return keys.create(
        project.home, project.database, name=name, roles=roles or ("predict",), author="tester", clock=project.clock
    )


def _revoke(project: Any, key: Key, **options: bool) -> Key:
    return keys.revoke(project.home, project.database, key.id, author="tester", clock=project.clock, **options)


def _published(project: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(key.id, key.sha256, key.roles) for key in snapshot.read(project.home.snapshot).keys]


def test_a_key_reaches_the_workers_at_once_and_its_secret_is_nowhere(project: Any) -> None:
    version = project.apply().snapshot_version
    key, secret = _create(project, "app", "outcome", "predict")
    assert secret.startswith("qk_")
    assert len(secret) >= 46  # 256 bits in base 64
    assert _published(project) == [(key.id, hashlib.sha256(secret.encode()).hexdigest(), ("predict", "outcome"))]
    assert snapshot.read(project.home.snapshot).version == version + 1
    for path in project.home.state.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_secrets_differ(project: Any) -> None:
    assert _create(project)[1] != _create(project)[1]


def test_a_key_made_before_the_first_apply_comes_with_it(project: Any) -> None:
    key, _ = _create(project)
    assert snapshot.current_version(project.home.snapshot) is None
    project.apply()
    assert [found[0] for found in _published(project)] == [key.id]


def test_keys_survive_an_apply(project: Any) -> None:
    project.apply()
    key, _ = _create(project)
    project.write(project.home.config.read_text().replace("quorum: 2", "quorum: 3"))
    project.apply()
    assert [found[0] for found in _published(project)] == [key.id]
    assert project.start().changed == ()


def test_a_revoked_key_is_gone_from_the_snapshot_and_stays_in_the_list(project: Any) -> None:
    project.apply()
    first, _ = _create(project, "one")
    project.clock.advance(5)
    second, _ = _create(project, "two")
    project.clock.advance(5)
    assert _revoke(project, first).revoked == project.clock.now()
    assert [found[0] for found in _published(project)] == [second.id]
    assert [(key.name, key.revoked is None) for key in keys.listed(project.database)] == [("one", False), ("two", True)]


def test_revoking_again_changes_nothing(project: Any) -> None:
    project.apply()
    first, _ = _create(project)
    _create(project)
    revoked = _revoke(project, first)
    version = snapshot.current_version(project.home.snapshot)
    project.clock.advance(5)
    assert _revoke(project, first) == revoked
    assert snapshot.current_version(project.home.snapshot) == version


def test_the_last_key_is_not_revoked_by_accident(project: Any) -> None:
    project.apply()
    key, _ = _create(project)
    with pytest.raises(Conflict, match="everybody is let in"):
        _revoke(project, key)
    assert [found[0] for found in _published(project)] == [key.id]
    _revoke(project, key, leave_none=True)
    assert _published(project) == []


def test_an_unknown_key_is_not_found(project: Any) -> None:
    with pytest.raises(NotFound, match="key-0"):
        keys.revoke(project.home, project.database, "key-0", author="tester", clock=project.clock)


@pytest.mark.parametrize(
    ("name", "roles", "path"), [("app", ("root",), "roles"), ("app", (), "roles"), (" ", ("predict",), "name")]
)
def test_what_is_no_key_is_refused(project: Any, name: str, roles: tuple[str, ...], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.create(project.home, project.database, name=name, roles=roles, author="t", clock=project.clock)
    assert caught.value.path == path
    assert keys.listed(project.database) == []


def test_every_change_is_in_the_audit_trail(project: Any) -> None:
    first, _ = _create(project, "one", "admin")
    _create(project, "two")
    _revoke(project, first)
    with project.database.read() as connection:
        found = [(entry.action, entry.actor, entry.detail) for entry in entries(connection)]
    assert found == [
        ("key.revoke", "tester", {"name": "one"}),
        ("key.create", "tester", {"name": "two", "roles": ["predict"]}),
        ("key.create", "tester", {"name": "one", "roles": ["admin"]}),
    ]


def test_a_crash_before_the_snapshot_is_repaired_by_the_next_change(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply()
    first, _ = _create(project)
    second, _ = _create(project)

    def power_cut(*_: Any) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "write", power_cut)
        with pytest.raises(OSError, match="power cut"):
            _revoke(project, first)
    assert len(_published(project)) == 2
    _revoke(project, first)
    assert [found[0] for found in _published(project)] == [second.id]
