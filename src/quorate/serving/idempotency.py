"""Requests answered once per idempotency key, and outcomes told apart from their repetitions, over all workers.

One SQLite file for all workers of a machine, used from a daemon thread. It is a memory of recent requests, not a
store of truth: bounded in age, rows and bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, ParamSpec, TypeVar

import msgspec

from quorate.clock import Clock
from quorate.errors import StoreError
from quorate.serving.background import Background
from quorate.sqlite import write_ahead

P = ParamSpec("P")
T = TypeVar("T")

VERSION = 1
STALE_S = 600.0
_PURGE_EVERY = 256
_BUSY_S = 10.0

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS owners (slot INTEGER PRIMARY KEY, boot INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, slot INTEGER NOT NULL, boot INTEGER NOT NULL, at REAL NOT NULL,
    status INTEGER, headers BLOB, body BLOB, size INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS claims_at ON claims (at);
CREATE TABLE IF NOT EXISTS seen (
    decision TEXT NOT NULL, row INTEGER NOT NULL, metric TEXT NOT NULL, source TEXT NOT NULL, digest BLOB NOT NULL,
    known_at REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (decision, row, metric, source)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The key is ours: answer, then ``finish``, or ``release`` on failure."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that was given before."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another request with this key is being answered."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for a different request."""


Claim = Claimed | Replay | InProgress | Mismatch
News = Literal["new", "duplicate", "correction"]


class Fact(NamedTuple):
    """One thing an outcome says: a value of ``metric`` for a row of a decision, known ``at`` (Unix seconds)."""

    decision: str
    row: int
    metric: str
    source: str
    value: str | float
    at: float

    @property
    def digest(self) -> bytes:
        """What tells values apart."""
        return hashlib.blake2b(repr(self.value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the table remembers at most."""

    age_s: float = 24 * 3600.0
    rows: int = 100_000
    body_bytes: int = 256 * 1024 * 1024
    facts: int = 1_000_000


class IdempotencyTable:
    """The view of one worker (``slot`` and ``boot``) on the machine's table; owned by one event loop."""

    def __init__(self, path: Path, *, slot: int, boot: int, clock: Clock, bounds: Bounds | None = None) -> None:
        self._path = path
        self._owner = (slot, boot)
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._finished = self._finished_bytes = self._remembered = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._open()
        self._background = Background("idempotency")

    async def claim(self, key: str, fingerprint: bytes) -> Claim:
        """Ask for a key. A claim whose worker has died, or that is older than ``STALE_S``, is taken over."""
        asked = self._background.submit(self._in_transaction, self._claim, key, fingerprint)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            # Nobody will finish what this may have claimed.
            asked.add_done_callback(lambda done: self._give_back(key, done))
            raise

    async def finish(self, key: str, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Remember the answer to a claimed key."""
        await self._background.submit(self._in_transaction, self._finish, key, status, _pack(headers), body)

    async def release(self, key: str) -> None:
        """Give a claimed key back: the request failed and may be tried again."""
        await asyncio.shield(self._background.submit(self._in_transaction, self._release, key))

    async def first_seen(self, facts: Sequence[Fact]) -> list[News]:
        """Tell new facts from repetitions and corrections of those remembered; remembers nothing itself."""
        return await self._background.submit(self._in_transaction, self._first_seen, facts)

    async def remember(self, facts: Sequence[Fact]) -> None:
        """Remember facts that are safe in the journal."""
        await self._background.submit(self._in_transaction, self._remember, facts)

    def close(self) -> None:
        """Finish what was asked and close the file."""
        self._background.close(self._connection.close)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            write_ahead(connection, _BUSY_S)
            # A power cut may lose the last claims, never the file's consistency.
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(f"{self._path} has version {version}; this release reads {VERSION}. Delete the file.")
            connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
            connection.execute(
                "INSERT INTO owners VALUES (?, ?) ON CONFLICT (slot) DO UPDATE SET boot = max(boot, excluded.boot)",
                self._owner,
            )
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"{self._path} cannot be used: {error}. Delete the file if that does not pass.") from error
        except StoreError:
            connection.close()
            raise
        return connection

    def _give_back(self, key: str, asked: asyncio.Future[Claim]) -> None:
        if not asked.cancelled() and asked.exception() is None and isinstance(asked.result(), Claimed):
            self._background.submit(self._in_transaction, self._release, key)

    # --- in the thread --------------------------------------------------------------------------------

    def _in_transaction(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = function(*args, **kwargs)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be used: {error}.") from error
        return result

    def _claim(self, key: str, fingerprint: bytes) -> Claim:
        now = self._clock.now()
        found = self._connection.execute(
            "SELECT fingerprint, status, headers, body, at, "
            "boot < (SELECT boot FROM owners WHERE owners.slot = claims.slot) FROM claims WHERE key = ? AND at > ?",
            (key, now - self._bounds.age_s),
        ).fetchone()
        if found is not None:
            before, status, headers, body, at, dead = found
            if before != fingerprint:
                return Mismatch()
            if status is not None:
                return Replay(status, _unpack(headers), body)
            if not dead and at > now - STALE_S:
                return InProgress()
        self._connection.execute(
            "INSERT OR REPLACE INTO claims (key, fingerprint, slot, boot, at) VALUES (?, ?, ?, ?, ?)",
            (key, fingerprint, *self._owner, now),
        )
        return Claimed()

    def _finish(self, key: str, status: int, headers: bytes, body: bytes) -> None:
        self._connection.execute(
            "UPDATE claims SET status = ?, headers = ?, body = ?, size = ? "
            "WHERE key = ? AND slot = ? AND boot = ? AND status IS NULL",
            (status, headers, body, len(body), key, *self._owner),
        )
        self._finished += 1
        self._finished_bytes += len(body)
        if self._finished >= _PURGE_EVERY or self._finished_bytes > self._bounds.body_bytes / 8:
            self._finished = self._finished_bytes = 0
            self._purge()

    def _release(self, key: str) -> None:
        self._connection.execute(
            "DELETE FROM claims WHERE key = ? AND slot = ? AND boot = ? AND status IS NULL", (key, *self._owner)
        )

    def _purge(self) -> None:
        """Forget what is too old, then the oldest answers beyond the bounds; claims being answered stay."""
        bounds = self._bounds
        self._connection.execute("DELETE FROM claims WHERE at <= ?", (self._clock.now() - bounds.age_s,))
        self._connection.execute(
            "DELETE FROM claims WHERE key IN (SELECT key FROM (SELECT key, sum(size) OVER newest AS bytes, "
            "row_number() OVER newest AS place FROM claims WHERE status IS NOT NULL "
            "WINDOW newest AS (ORDER BY at DESC, key ROWS UNBOUNDED PRECEDING)) WHERE bytes > ? OR place > ?)",
            (bounds.body_bytes, bounds.rows),
        )

    def _first_seen(self, facts: Sequence[Fact]) -> list[News]:
        known: dict[tuple[str, int, str, str], bytes] = {}
        answer: list[News] = []
        for fact in facts:
            key = fact[:4]
            digest = known.get(key) or self._known(key)
            answer.append("new" if digest is None else "duplicate" if digest == fact.digest else "correction")
            known[key] = fact.digest
        return answer

    def _known(self, key: tuple[str, int, str, str]) -> bytes | None:
        found = self._connection.execute(
            "SELECT digest FROM seen WHERE decision = ? AND row = ? AND metric = ? AND source = ? AND at > ?",
            (*key, self._clock.now() - self._bounds.age_s),
        ).fetchone()
        return None if found is None else bytes(found[0])

    def _remember(self, facts: Sequence[Fact]) -> None:
        now = self._clock.now()
        self._connection.executemany(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (decision, row, metric, source) DO UPDATE "
            "SET digest = excluded.digest, known_at = excluded.known_at, at = excluded.at "
            "WHERE excluded.known_at >= seen.known_at",
            [(*fact[:4], fact.digest, fact.at, now) for fact in facts],
        )
        self._remembered += len(facts)
        if self._remembered >= self._bounds.facts / 8:
            self._remembered = 0
            self._connection.execute("DELETE FROM seen WHERE at <= ?", (now - self._bounds.age_s,))
            self._connection.execute(
                "DELETE FROM seen WHERE at < (SELECT at FROM seen ORDER BY at DESC LIMIT 1 OFFSET ?)",
                (self._bounds.facts,),
            )


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode
