"""The connection to the SQL store, and its schema: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from quorate.errors import StoreError
from quorate.sqlite import write_ahead

metadata = sa.MetaData()
"""All tables of the store; a repository declares its own here, and a migration creates them."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 10_000
_WRITERS = 0x71756F72  # the advisory lock's number on PostgreSQL: "quor"


class Database:
    """One store, by SQLAlchemy URL; making one touches nothing, :meth:`migrate` creates or upgrades the schema.

    Safe for threads. Both :meth:`begin` and :meth:`read` raise :class:`StoreError` where the store is locked,
    unreachable or was never migrated.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url: URL = make_url(url)
        except ArgumentError:
            raise StoreError(
                "The store's URL cannot be read; expected sqlite:///PATH or postgresql://USER@HOST/NAME."
            ) from None
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise StoreError(
                f"A store cannot be kept in '{self.url.get_backend_name()}'; expected sqlite:///PATH or "
                "postgresql://USER@HOST/NAME."
            )

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for PostgreSQL and for a store in memory."""
        if self.url.get_backend_name() != "sqlite" or self.url.database in (None, "", ":memory:"):
            return None
        return Path(self.url.database or "")

    @cached_property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine, made on first use."""
        try:
            engine = sa.create_engine(self.url, pool_pre_ping=self.url.get_backend_name() != "sqlite")
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StoreError(
                f"The store at {self.url.render_as_string()} needs a driver that is not installed ({error}); "
                "for PostgreSQL install `psycopg[binary]`."
            ) from None
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _configure_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One writing transaction: committed at the end, rolled back on an exception; one writer at a time."""
        with self._connected() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                # SQLite has one writer at a time; the same here, so that "read the newest, add the next" is safe.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS})
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One reading transaction; it neither waits for writers nor holds them up."""
        with self._connected() as connection, connection.execution_options(quorate_read=True).begin():
            yield connection

    def version(self) -> str | None:
        """The schema's version (``0001``); None where nothing was created yet."""
        if self.file is not None and not self.file.exists():
            return None
        with self.read() as connection:
            return _version(connection)

    def migrate(self) -> None:
        """Create the schema, or upgrade it after a backup; :class:`StoreError` if a newer release wrote it."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        known = schema_versions()
        if self.version() == known[-1]:
            return
        with self.begin() as connection:
            found = _version(connection)  # again: another process may have migrated while this one waited
            if found == known[-1]:
                return
            if found is not None and found not in known:
                raise StoreError(
                    f"The store at {self.url.render_as_string()} has schema {found}; this release knows {known[-1]} "
                    "at most. Upgrade Quorate, or restore the backup made before the migration."
                )
            if found is not None and self.file is not None:
                backup(self.file, self.file.with_name(f"{self.file.name}.before-{known[-1]}"))
            _upgrade(connection)

    def close(self) -> None:
        """Close idle connections; the next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            raise StoreError(
                f"The store at {self.url.render_as_string()} cannot be used: {reason}. Is it reachable, not locked by "
                "another program, and made by `quorate apply`?"
            ) from error


def schema_versions() -> tuple[str, ...]:
    """The versions this release knows, oldest first."""
    return tuple(sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")))


def backup(source: Path, target: Path) -> None:
    """Copy a SQLite file, also while it is in use; ``target`` is complete or absent."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(temporary)) as new:
        old.backup(new)
    temporary.replace(target)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _configure_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # The driver must not open transactions itself: it leaves DDL outside of them. `_begin_sqlite` opens them.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    write_ahead(connection, _BUSY_MS / 1000)


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes its lock at the start: a reader that turns writer half-way would fail instead of waiting.
    reading = connection.get_execution_options().get("quorate_read")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
