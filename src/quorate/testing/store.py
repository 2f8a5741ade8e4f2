"""The contract of the SQL store as generated checks, for any database that Quorate is to keep its truth in."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from quorate.errors import NotFound, StoreError
from quorate.store.audit import add_entry, entries
from quorate.store.database import Database, schema_versions
from quorate.store.keys import Key, add_key, keys, revoke_key
from quorate.store.revisions import (
    Publication,
    add_publication,
    add_revision,
    newest_publication,
    newest_revision,
    revision,
    revisions,
)

_NOW = 1_700_000_000.25
_TEXT = '{"name": "Ä 😀 \\" \\\\", "long": "' + "x" * 100_000 + '"}'


def check_store(url: str) -> None:
    """Check the database at ``url``, which must be empty; :class:`AssertionError` says what it broke.

    What the checks write stays there.
    """
    database = Database(url)
    try:
        if database.version() is not None:
            raise AssertionError("check_store needs an empty database; this one has a schema.")
        _migrates_from_empty(database, url)
        _revisions_are_numbered_and_immutable(database)
        _publications_keep_the_newest(database)
        _keys_are_kept_and_revoked(database)
        _audit_only_grows(database)
        _failed_transactions_leave_nothing(database)
        _readers_do_not_wait(database, url)
        _writers_take_turns(url)
        _everything_is_there_after_reopening(database, url)
    finally:
        database.close()


def _migrates_from_empty(database: Database, url: str) -> None:
    others = [Database(url) for _ in range(3)]
    _at_once([other.migrate for other in (database, *others)])
    for other in others:
        _expect(other.version() == schema_versions()[-1], "migrate() must bring an empty database to the newest schema")
        other.close()
    database.migrate()
    _expect(database.version() == schema_versions()[-1], "a second migrate() must change nothing")


def _revisions_are_numbered_and_immutable(database: Database) -> None:
    with database.begin() as connection:
        _expect(newest_revision(connection, "digits") is None, "an unknown endpoint has no revision")
        first = add_revision(connection, "digits", _TEXT, author="a", now=_NOW)
        again = add_revision(connection, "digits", _TEXT, author="b", now=_NOW + 1)
        second = add_revision(connection, "digits", "{}", author="b", now=_NOW + 1)
        back = add_revision(connection, "digits", _TEXT, author="a", now=_NOW + 2)
        other = add_revision(connection, "letters", _TEXT, author="a", now=_NOW)
    _expect(first == again, "the same content again must be the same revision")
    _expect((first.number, second.number, back.number, other.number) == (1, 2, 3, 1), "revisions count from 1 by one")
    with database.read() as connection:
        _expect(revision(connection, "digits", 1) == first, "a revision must come back as it was written")
        _expect([r.number for r in revisions(connection, "digits")] == [3, 2, 1], "revisions are listed newest first")
        _expect(len(revisions(connection)) == 4, "revisions of all endpoints are listed without a name")
        try:
            revision(connection, "digits", 4)
        except NotFound:
            pass
        else:
            raise AssertionError("a revision that does not exist must raise NotFound")
    _refuses(database, "UPDATE revisions SET content = 'x' WHERE number = 1")
    _refuses(database, "DELETE FROM revisions WHERE number = 1")


def _publications_keep_the_newest(database: Database) -> None:
    with database.begin() as connection:
        _expect(newest_publication(connection) is None, "an empty store has no publication")
        for version in range(1, 31):
            newest = Publication(version, _TEXT, "0" * 64, "a", _NOW)
            add_publication(connection, newest)
            _expect(newest_publication(connection) == newest, "the newest publication has the highest version")
        kept = connection.scalar(sa.text("SELECT count(*) FROM publications"))
    _expect(kept == 20, f"20 publications are kept; found {kept}")


def _keys_are_kept_and_revoked(database: Database) -> None:
    first = Key("key-1", "one Ä", "1" * 64, ("predict", "outcome"), _NOW)
    second = Key("key-2", "two", "2" * 64, ("admin",), _NOW + 1)
    with database.begin() as connection:
        add_key(connection, second)
        add_key(connection, first)
        _expect(keys(connection) == [first, second], "keys must come back as they were written, oldest first")
        _expect(revoke_key(connection, "key-1", now=_NOW + 2), "a valid key can be revoked")
        _expect(not revoke_key(connection, "key-1", now=_NOW + 3), "a key is revoked once")
        _expect(not revoke_key(connection, "key-9", now=_NOW), "an unknown key cannot be revoked")
        _expect([key.revoked for key in keys(connection)] == [_NOW + 2, None], "the time of revocation is kept")
    try:
        with database.begin() as connection:
            add_key(connection, Key("key-3", "three", "1" * 64, ("predict",), _NOW))
    except DBAPIError:
        return
    raise AssertionError("two keys must not have the same secret")


def _audit_only_grows(database: Database) -> None:
    with database.begin() as connection:
        for i in range(3):
            add_entry(connection, at=_NOW + i, actor="a", action="apply", subject=f"s{i}", detail={"i": i, "text": "Ä"})
    with database.read() as connection:
        found = entries(connection)
        _expect([entry.subject for entry in found] == ["s2", "s1", "s0"], "entries are listed newest first")
        _expect(found[0].detail == {"i": 2, "text": "Ä"} and found[0].at == _NOW + 2, "an entry comes back as written")
        page = entries(connection, before=found[0].id, limit=1)
        _expect([entry.subject for entry in page] == ["s1"], "entries are paged by id")
    _refuses(database, "UPDATE audit SET actor = 'x'")
    _refuses(database, "DELETE FROM audit")


def _failed_transactions_leave_nothing(database: Database) -> None:
    class Stop(Exception):
        pass

    try:
        with database.begin() as connection:
            add_revision(connection, "undone", "{}", author="a", now=_NOW)
            raise Stop
    except Stop:
        pass
    with database.read() as connection:
        _expect(newest_revision(connection, "undone") is None, "what a failed transaction wrote must be gone")
    try:
        with database.begin() as connection:
            connection.execute(sa.text("SELECT 1 FROM no_such_table"))
    except StoreError:
        return
    raise AssertionError("the database's own errors must be StoreErrors")


def _readers_do_not_wait(database: Database, url: str) -> None:
    reader = Database(url)
    with database.begin() as writing:
        add_revision(writing, "open", "{}", author="a", now=_NOW)
        with reader.read() as reading:
            _expect(newest_revision(reading, "open") is None, "what is not committed must not be seen")
    with reader.read() as reading:
        _expect(newest_revision(reading, "open") is not None, "what is committed must be seen")
    reader.close()


def _writers_take_turns(url: str) -> None:
    writers, each = 4, 8
    numbers: list[int] = []

    def write(name: str) -> None:
        database = Database(url)
        for i in range(each):
            with database.begin() as connection:
                numbers.append(add_revision(connection, "shared", f"{name}{i}", author=name, now=_NOW).number)
        database.close()

    _at_once([lambda name=f"w{i}": write(name) for i in range(writers)])  # type: ignore[misc]
    _expect(sorted(numbers) == list(range(1, writers * each + 1)), "concurrent writers must get distinct numbers")


def _everything_is_there_after_reopening(database: Database, url: str) -> None:
    with database.read() as connection:
        before = (revisions(connection), keys(connection), entries(connection), newest_publication(connection))
    again = Database(url)
    again.migrate()
    with again.read() as connection:
        after = (revisions(connection), keys(connection), entries(connection), newest_publication(connection))
    again.close()
    _expect(before == after, "a reopened store must hold what was written")


def _at_once(actions: list[Callable[[], None]]) -> None:
    barrier = threading.Barrier(len(actions))
    failures: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        barrier.wait()
        try:
            action()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _refuses(database: Database, statement: str) -> None:
    try:
        with database.begin() as connection:
            connection.execute(sa.text(statement))
    except (DBAPIError, StoreError):
        return
    raise AssertionError(f"the database must refuse: {statement}")


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"{rule}.")
