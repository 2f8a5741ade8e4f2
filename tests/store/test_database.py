"""Opening, migrating, backing up and refusing a store."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import quorate.store
from quorate.errors import StoreError
from quorate.store import database as database_module
from quorate.store.database import Database, backup, metadata, schema_versions

_ENTRY = sa.text("INSERT INTO audit (at, actor, action, subject, detail) VALUES (1, 'a', 'b', 'c', '{}')")


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A migrated store with one audit entry."""
    path = tmp_path / "store.db"
    database = Database(_url(path))
    database.migrate()
    with database.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO audit (at, actor, action, subject, detail) VALUES (1,'a','b','c','{}')")
        )
    database.close()
    return path


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A release with one more migration."""
    folder = tmp_path / "migrations"
    shutil.copytree(database_module._MIGRATIONS, folder)
    (folder / "versions" / "9999_more.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9999'\ndown_revision = '{schema_versions()[-1]}'\n"
        "def upgrade():\n    op.create_table('more', sa.Column('id', sa.Integer, primary_key=True))\n"
    )
    monkeypatch.setattr(database_module, "_MIGRATIONS", folder)
    return monkeypatch


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    for module in pkgutil.iter_modules(quorate.store.__path__):
        if not module.ispkg:
            importlib.import_module(f"quorate.store.{module.name}")
    database = Database(_url(tmp_path / "store.db"))
    database.migrate()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(version) for version in schema_versions()] == list(range(1, len(schema_versions()) + 1))


def test_making_a_database_touches_nothing(tmp_path: Path) -> None:
    database = Database(_url(tmp_path / "new" / "store.db"))
    assert database.version() is None
    assert list(tmp_path.iterdir()) == []
    database.migrate()
    assert database.version() == schema_versions()[-1]
    database.close()


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    database = Database(_url(tmp_path / "50% of ä b" / "store.db"))
    database.migrate()
    assert database.file is not None
    assert database.file.exists()
    database.close()


def test_a_new_store_needs_no_backup(store: Path) -> None:
    assert [path.name for path in store.parent.glob("store.db*")] == ["store.db"]


def test_an_older_store_is_backed_up_and_upgraded(store: Path, next_release: pytest.MonkeyPatch) -> None:
    database = Database(_url(store))
    old = database.version()
    database.migrate()
    assert (old, database.version()) == (schema_versions()[-2], "9999")
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM audit")) == 1
        assert sa.inspect(connection).has_table("more")
    database.close()
    saved = Database(_url(store.with_name("store.db.before-9999")))
    assert saved.version() == old
    with saved.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM audit")) == 1
    saved.close()


def test_a_newer_store_is_refused_and_left_alone(store: Path, next_release: pytest.MonkeyPatch) -> None:
    newer = Database(_url(store))
    newer.migrate()
    newer.close()
    next_release.undo()
    older = Database(_url(store))
    with pytest.raises(StoreError, match=r"schema 9999; this release knows \d{4} at most"):
        older.migrate()
    assert older.version() == "9999"
    older.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(store: Path, next_release: pytest.MonkeyPatch) -> None:
    path = database_module._MIGRATIONS / "versions" / "9999_more.py"
    path.write_text(path.read_text() + "    op.create_table('more', sa.Column('id', sa.Integer))\n")
    database = Database(_url(store))
    with pytest.raises(StoreError):
        database.migrate()
    assert database.version() == schema_versions()[-2]
    with database.read() as connection:
        assert not sa.inspect(connection).has_table("more")
    database.close()


def test_sqlite_is_set_up_for_several_processes(store: Path) -> None:
    database = Database(_url(store))
    with database.read() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA busy_timeout")) >= 5000
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2  # a committed revision survives a power cut
    database.close()


def test_a_backup_is_taken_while_the_store_is_written(store: Path, tmp_path: Path) -> None:
    database = Database(_url(store))
    with database.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO audit (at, actor, action, subject, detail) VALUES (2,'a','b','c','{}')")
        )
        backup(store, tmp_path / "copy.db")
    database.close()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM audit").fetchone() == (1,)


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "sqlite+nothing:///x"])
def test_a_url_that_cannot_be_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError):
        Database(url).migrate()


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(StoreError, match="driver that is not installed"):
        Database("postgresql+pg8000://user:secret@localhost/x").migrate()


def test_no_error_shows_a_password() -> None:
    with pytest.raises(StoreError) as caught:
        Database("postgresql+pg8000://user:secret@localhost/x").migrate()
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database" * 100)
    database = Database(_url(path))
    with pytest.raises(StoreError, match="not a database"):
        database.migrate()
    database.close()
    assert path.read_bytes() == b"not a database" * 100


def test_reading_what_was_never_migrated_is_one_clear_error(tmp_path: Path) -> None:
    database = Database(_url(tmp_path / "nowhere" / "store.db"))
    with pytest.raises(StoreError, match="cannot be used"), database.read():
        pass
    database.close()
