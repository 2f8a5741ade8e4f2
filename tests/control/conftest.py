"""A project's journal and ledger, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.ingest import Ingest
from quorate.control.outcomes.joined import Joined, Listener
from quorate.control.report import Report, report
from quorate.core.types import Decision, Outcome
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import ledger
from quorate.store.database import Database
from quorate.store.revisions import add_revision

SALT = 3


class Hearing(Listener):
    """Calls a function with what was joined."""

    def __init__(self, hear: Callable[[sa.Connection, Sequence[Joined]], object]) -> None:
        self._hear = hear

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        self._hear(connection, joined)


class Books:
    """A project's journal, written by hand, and its ledger."""

    def __init__(self, root: Path, new_store: Callable[[str], Database]) -> None:
        self.home = Home(root)
        self.database = new_store(self.home.store_url)
        self.joined: list[Joined] = []
        hearing = Hearing(lambda _, joined: self.joined.extend(joined))
        self.ingest = Ingest(JournalReader(self.home.journal), self.database, listener=hearing)
        self._sequences: dict[tuple[int, int], int] = {}

    def path(self, slot: int = 0, boot: int = 0, first: int = 0, created: int = 1) -> Path:
        path = self.home.journal / str(slot) / segment_name(boot, first)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_header(Header(slot, boot, first, created, SALT)))
        return path

    def identity(self, slot: int = 0, boot: int = 0) -> DecisionId:
        sequence = self._sequences.get((slot, boot), -1) + 1
        self._sequences[slot, boot] = sequence
        return DecisionId(1000 + sequence, slot, boot, sequence)

    def decision(self, slot: int = 0, *, says: str = "no", rows: int = 1, **changes: Any) -> tuple[str, bytes]:
        """A decision of class ``says`` in every row: its id, and its record."""
        id_ = self.identity(slot)
        answer = np.tile(np.float32([says == "no", says == "yes"]), (rows, 1))
        fields: dict[str, Any] = {
            "id": str(id_), "endpoint": "e", "revision": 1, "state_version": 0, "source": "policy", "arrived": 600.0,
            "queue_ms": 0.0, "latency_ms": 5.0, "context": {}, "strategies": ("s",), "propensities": (1.0,),
            "assigned": "s", "served": "s", "members": (), "outputs": np.zeros((rows, 0, 2), np.float32),
            "status": np.zeros((rows, 0), np.int8), "answer": answer, "degraded": False, "rows": rows,
            "input_digest": b"", "classes": ("no", "yes"),
        }  # fmt: skip
        payload = decision_codec.encode(Decision(**(fields | changes)))
        return str(id_), encode_record(RecordKind.DECISION, id_.sequence, payload, SALT)

    def outcome(self, decision: str, truth: Any = None, *, slot: int = 0, at: float = 1.0, **fields: Any) -> bytes:
        """The record of an outcome."""
        made = Outcome(decision, fields.pop("row", 0), truth, at=at, received=at, **fields)
        return encode_record(RecordKind.OUTCOME, self.identity(slot).sequence, outcome_codec.encode(made), SALT)

    def write(self, *records: bytes, slot: int = 0, first: int = 0) -> None:
        with self.path(slot, first=first).open("ab") as file:
            file.write(b"".join(records))

    def rules(self, content: str) -> None:
        """The next revision of the endpoint, with these settings as JSON."""
        with self.database.begin() as connection:
            add_revision(connection, "e", f'{{"endpoint": {content}}}', author="tester", now=1.0)

    def report(self, now: float | None = None) -> Report:
        """The endpoint's report."""
        with self.database.read() as connection:
            return report(connection, "e", now=now)

    def values(self) -> list[tuple[Any, ...]]:
        """Everything told: decision, row, metric, source, value and state."""
        with self.database.read() as connection:
            ids = [row[0] for row in connection.exec_driver_sql("SELECT DISTINCT decision FROM outcomes")]
            found = ledger.outcomes_of(connection, ids)
        return [
            (o.decision, o.row, o.metric, o.source, o.value if o.label is None else o.label, o.state) for o in found
        ]

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is recorded of outcomes; sums to nine digits, without those that are nothing."""
        with self.database.read() as connection:
            found = {
                name: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]  # noqa: S608 - no input
                for name in ("outcomes", "measured", "told", "delays")
            }
        rounded = {
            name: sorted(tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in rows)
            for name, rows in found.items()
        }
        rounded["measured"] = [row for row in rounded["measured"] if row[6]]
        rounded["told"] = [row for row in rounded["told"] if any(row[4:])]
        rounded["delays"] = [row for row in rounded["delays"] if row[3] != "{}"]
        return rounded

    def totals(self) -> tuple[int, int, int]:
        """Requests, judged rows, right ones."""
        with self.database.read() as connection:
            found = report(connection, "e")
        strategies = (*found.strategies, *found.chosen_by_caller)
        rows = sum(s.judged_rows for s in strategies)
        return (
            sum(s.requests for s in strategies),
            rows,
            round(sum(s.judged_rows * (s.accuracy or 0) for s in strategies)),
        )

    def outcome_counts(self) -> dict[str, int]:
        """Values by state, those that there are."""
        with self.database.read() as connection:
            return {
                row[0]: row[1]
                for row in connection.exec_driver_sql("SELECT state, count(*) FROM outcomes GROUP BY state")
            }


@pytest.fixture
def books(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[Books]:
    books = Books(tmp_path, new_store)
    yield books
    books.database.close()


@pytest.fixture
def more_books(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[Any]:
    """Makes one more project with a journal and a ledger."""
    made: list[Books] = []

    def make() -> Books:
        made.append(Books(tmp_path / f"more-{len(made)}", new_store))
        return made[-1]

    yield make
    for books in made:
        books.database.close()
