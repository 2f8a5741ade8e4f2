"""Every database the store can be kept in keeps its contract."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.store.database import Database
from quorate.testing.store import check_store

POSTGRES = os.environ.get("QUORATE_TEST_POSTGRES")


def test_sqlite(tmp_path: Path) -> None:
    check_store(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.mark.skipif(POSTGRES is None, reason="set QUORATE_TEST_POSTGRES to the URL of a PostgreSQL database")
def test_postgres() -> None:
    assert POSTGRES is not None
    admin = Database(POSTGRES)
    schema = f"quorate_{secrets.token_hex(4)}"
    with admin.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    try:
        url = admin.url.update_query_dict({"options": f"-csearch_path={schema}"})
        check_store(url.render_as_string(hide_password=False))
    finally:
        with admin.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
        admin.close()


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    database = Database(url)
    database.migrate()
    database.close()
    with pytest.raises(AssertionError, match="empty"):
        check_store(url)
