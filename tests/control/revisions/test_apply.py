"""Applying: revisions, publications, the snapshot, crashes between them, and what a restart does."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from quorate.codecs import snapshot
from quorate.control.revisions.diff import diff
from quorate.errors import ConfigError, Conflict
from quorate.spec import ConfigProblems
from quorate.store.audit import entries
from quorate.store.revisions import newest_publication, revision, revisions


def _edit(project: Any, old: str, new: str) -> None:
    text = project.home.config.read_text()
    assert old in text
    project.write(text.replace(old, new))


def test_first_apply_makes_revision_one_and_a_snapshot(project: Any) -> None:
    applied = project.apply()
    assert applied.revisions == {"main": 1}
    assert applied.changed == ("main",)
    routing = snapshot.read(project.home.snapshot)
    assert routing.version == applied.snapshot_version == 1
    [endpoint] = routing.endpoints
    assert endpoint.revision == 1
    assert [(s.name, s.members, s.quorum) for s in endpoint.strategies] == [
        ("average", ("a", "b", "c"), 2),
        ("best", ("a",), 1),
    ]


def test_an_unchanged_file_changes_nothing(project: Any) -> None:
    first = project.apply()
    second = project.apply()
    assert second.changed == ()
    assert second.snapshot_version == first.snapshot_version
    with project.database.read() as connection:
        assert len(entries(connection)) == 1


def test_only_the_changed_endpoint_gets_a_new_revision(project: Any) -> None:
    _edit(project, "    quorum: 2\n", "    quorum: 2\n  other: {pool: letters, strategies: {average: {kind: mean}}}\n")
    assert project.apply().revisions == {"main": 1, "other": 1}
    _edit(project, "quorum: 2", "quorum: 3")
    applied = project.apply()
    assert applied.revisions == {"main": 2, "other": 1}
    assert applied.changed == ("main",)
    assert applied.snapshot_version == 2


def test_a_revision_is_what_it_was(project: Any) -> None:
    project.apply()
    with project.database.read() as connection:
        before = revision(connection, "main", 1)
    _edit(project, "quorum: 2", "quorum: 3")
    project.apply()
    with project.database.read() as connection:
        assert revision(connection, "main", 1) == before
        assert [found.number for found in revisions(connection, "main")] == [2, 1]


def test_a_new_model_version_is_served_from_the_next_apply(project: Any) -> None:
    project.apply()
    project.clock.advance(1)
    project.model("b")
    assert snapshot.read(project.home.snapshot).pools[0].members[1].version == 1
    assert project.apply().revisions == {"main": 2}
    assert snapshot.read(project.home.snapshot).pools[0].members[1].version == 2


def test_limits_are_published_without_a_revision(project: Any) -> None:
    project.apply()
    project.write(project.home.config.read_text() + "limits: {body_bytes: 1MiB}\n")
    applied = project.apply()
    assert (applied.changed, applied.snapshot_version) == ((), 2)
    assert snapshot.read(project.home.snapshot).limits.body_bytes == 1024 * 1024


def test_an_endpoint_that_left_the_file_is_not_served_and_its_numbers_go_on(project: Any) -> None:
    project.apply()
    text = project.home.config.read_text()
    project.write(text.replace("  main:", "  renamed:"))
    applied = project.apply()
    assert applied.removed == ("main",)
    assert [endpoint.name for endpoint in snapshot.read(project.home.snapshot).endpoints] == ["renamed"]
    project.write(text.replace("quorum: 2", "quorum: 1"))
    assert project.apply().revisions == {"main": 2}


def test_a_wrong_file_changes_nothing(project: Any) -> None:
    project.apply()
    _edit(project, "kind: mean", "kind: average")
    with pytest.raises(ConfigProblems):
        project.apply()
    assert snapshot.current_version(project.home.snapshot) == 1


def test_no_file_is_one_clear_error(project: Any) -> None:
    project.home.config.unlink()
    with pytest.raises(ConfigError, match=r"There is no quorate\.yaml in .*--project"):
        project.apply()


def test_expected_version_refuses_what_somebody_else_changed(project: Any) -> None:
    project.apply(expected=0)
    _edit(project, "quorum: 2", "quorum: 3")
    with pytest.raises(Conflict, match="version 1 by now, not 0"):
        project.apply(expected=0)
    assert project.apply(expected=1).snapshot_version == 2


def test_a_restart_keeps_what_came_after_an_unchanged_file(project: Any) -> None:
    project.apply()
    project.clock.advance(1)
    project.model("b")
    assert project.start().revisions == {"main": 1}
    project.write(project.home.config.read_text() + "# edited\n")
    assert project.start().revisions == {"main": 2}
    assert project.start().changed == ()


def test_an_edited_comment_counts_as_applied(project: Any) -> None:
    project.apply()
    project.write(project.home.config.read_text() + "# edited\n")
    project.apply()
    project.clock.advance(1)
    project.model("b")
    assert project.start().revisions == {"main": 1}


def test_a_crash_before_the_snapshot_is_repaired_at_the_next_start(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply()
    _edit(project, "quorum: 2", "quorum: 3")
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "write", _power_cut)
        with pytest.raises(OSError, match="power cut"):
            project.apply()
    assert snapshot.read(project.home.snapshot).version == 1
    applied = project.start()
    assert (applied.revisions, applied.changed, applied.snapshot_version) == ({"main": 2}, (), 2)
    assert snapshot.read(project.home.snapshot).version == 2
    assert snapshot.read(project.home.snapshot).endpoints[0].revision == 2


def _power_cut(*_: Any) -> None:
    raise OSError("power cut")


def test_a_lost_snapshot_folder_is_written_again(project: Any) -> None:
    project.apply()
    for path in project.home.snapshot.iterdir():
        path.unlink()
    project.start()
    assert snapshot.read(project.home.snapshot).version == 1


def test_versions_grow_also_when_the_store_was_lost(project: Any) -> None:
    for quorum in (3, 2, 1):
        _edit(project, "quorum: ", f"quorum: {quorum} # ")
        project.apply()
    project.database.close()
    for path in project.home.state.glob("store.db*"):
        path.unlink()
    project.database.migrate()
    assert project.apply().snapshot_version == 4


def test_who_applied_what_is_in_the_audit_trail(project: Any) -> None:
    applied = project.apply()
    with project.database.read() as connection:
        [entry] = entries(connection)
    assert (entry.actor, entry.action, entry.subject, entry.at) == (
        "tester",
        "apply",
        "quorate.yaml",
        project.clock.now(),
    )
    assert entry.detail["changed"] == {"main": 1}
    assert entry.detail["snapshot"] == applied.snapshot_version


_APPLIER = """
import os, sys
from pathlib import Path
from quorate.clock import SystemClock
from quorate.control.revisions.apply import apply
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database

home, clock = Home(Path(sys.argv[1])), SystemClock()
sys.stdin.readline()
for quorum in sys.argv[2:]:
    database = Database(home.store_url)
    text = home.config.read_text().partition("    quorum:")[0] + f"    quorum: {quorum}\\n"
    temporary = home.root / f"edit-{os.getpid()}"
    temporary.write_text(text)
    temporary.replace(home.config)
    apply(home, Registry(home.registry, clock), database, author=quorum, clock=clock)
    database.close()
"""


def test_concurrent_appliers_get_distinct_revisions_and_versions(project: Any) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _APPLIER, str(project.home.root), *quorums], stdin=subprocess.PIPE, text=True
        )
        for quorums in ("1232", "3121")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    with project.database.read() as connection:
        numbers = [found.number for found in revisions(connection, "main")]
        newest = newest_publication(connection)
    assert numbers == list(range(len(numbers), 0, -1))
    assert newest is not None
    assert newest.version == snapshot.current_version(project.home.snapshot)


def test_diff_says_nothing_where_nothing_would_change(project: Any) -> None:
    project.apply()
    assert diff(project.home, project.registry, project.database) == ()


def test_diff_names_every_changed_setting(project: Any) -> None:
    project.apply()
    project.clock.advance(1)
    project.model("b")
    _edit(project, "quorum: 2", "quorum: 3\n    deadline_ms: 50")
    project.write(project.home.config.read_text() + "limits: {rows: 5}\n")
    endpoint, settings = diff(project.home, project.registry, project.database)
    assert (endpoint.endpoint, endpoint.action, endpoint.revision) == ("main", "change", 1)
    changes = {change.path: (change.before, change.after) for change in endpoint.changes}
    assert changes["endpoint.deadline_ms"] == (1000.0, 50.0)
    assert changes["endpoint.strategies.average.quorum"] == (2, 3)
    assert changes["pool.members.b.version"] == (1, 2)
    assert {path.split(".")[0] for path in changes} == {"endpoint", "pool"}
    assert [(change.path, change.before, change.after) for change in settings.changes] == [("limits.rows", 10_000, 5)]


def test_diff_shows_added_and_removed_endpoints(project: Any) -> None:
    assert [(d.endpoint, d.action) for d in diff(project.home, project.registry, project.database)] == [("main", "add")]
    project.apply()
    _edit(project, "  main:", "  renamed:")
    found = [(d.endpoint, d.action) for d in diff(project.home, project.registry, project.database)]
    assert found == [("renamed", "add"), ("main", "remove")]


def test_the_projects_secret_is_made_once(project: Any) -> None:
    """It salts the assignment of sticky units, who must keep their arms."""
    project.apply()
    first = snapshot.read(project.home.snapshot).secret
    assert len(bytes.fromhex(first)) == 16
    _edit(project, "quorum: 2", "quorum: 3")
    assert project.apply().snapshot_version == 2
    assert snapshot.read(project.home.snapshot).secret == first
    assert diff(project.home, project.registry, project.database) == ()
