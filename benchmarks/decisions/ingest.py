"""Ingesting journals: decisions counted and outcomes joined a second, on one core, into SQLite.

Decisions have one row, five members and ten classes. Their outcomes come soon after them, or all of them later: in the
order of the decisions, in random order, or when the decisions are columns already. In the first case
a Thompson policy learns from all of them, and what it learned is published. Time is the processor's: who else is busy
does not matter.
"""

from __future__ import annotations

import gc
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.clock import SystemClock
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import parquet, snapshot
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import (
    EndpointRoute,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    RewardRoute,
    Routing,
    StrategyRoute,
)
from quorate.control.journal.compact import compact
from quorate.control.journal.ingest import INDEXES, Ingest
from quorate.control.learning.learner import Learner
from quorate.control.outcomes.joined import NOBODY
from quorate.control.revisions.publication import content
from quorate.core.types import Decision, MemberRun, Outcome, OutputSpec, Signature, Status
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import learners
from quorate.store.database import Database
from quorate.store.revisions import add_revision

MILLION, MANY, FEW = 1_000_000, 200_000, 2_000
PROMISED_S = 60.0
SEGMENT = 16 * 1024 * 1024
LATER = 5_000
SALT = 7
START = 1_700_000_000.0


def rows(*, quick: bool = False) -> list[Row]:
    """Pairs of decision and outcome a second, and the seconds of a million."""
    found = []
    million, many = (FEW, FEW) if quick else (MILLION, MANY)
    seconds, count = _measure(million, "soon", learns=True)
    workload = f"{count:,} decisions and their outcomes, joined, counted by minute and learned by Thompson"
    found.append(Row(workload, QUORATE, "processor time", "s", (seconds,)))
    found.append(Row(workload, LIMIT, "processor time", "s", (PROMISED_S,), "promised"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.append(Row(workload, QUORATE, "memory at most", "MiB", (peak,), "of this process, writing journals included"))
    seconds, count = _measure(many, "none")
    found.append(Row("decisions counted", QUORATE, "decisions", "1/s", (count / seconds,)))
    for name, order in (("soon after", "soon"), ("later, in order", "ordered"), ("later, at random", "random")):
        seconds, count = _measure(many, order)
        found.append(Row("outcomes joined", QUORATE, name, "1/s", (count / seconds,), "decisions counted, too"))
    if parquet.available():
        seconds, count = _measure(many, "compacted")
        found.append(Row("outcomes joined", QUORATE, "later, to compacted decisions", "1/s", (count / seconds,)))
    return found


def _measure(count: int, order: str, *, learns: bool = False) -> tuple[float, int]:
    """Processor seconds of ingesting so many decisions and their outcomes, and how many there were."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        database = Database(home.store_url)
        database.migrate()
        learner = _learner(home, database) if learns else NOBODY
        reader = JournalReader(home.journal, cached=INDEXES)
        ingest = Ingest(reader, database, listener=learner)
        told = _write(
            home, count, order, before_outcomes=lambda: _compact(ingest, home) if order == "compacted" else None
        )
        gc.collect()
        started = time.process_time()
        read = ingest.catch_up()
        learner.publish()
        seconds = time.process_time() - started
        _check(database, count, told)
        if learns:
            _check_learner(database, told)
        assert read == (told if order == "compacted" else count + told)
        database.close()
    return seconds, count


def _learner(home: Home, database: Database) -> Learner:
    """An endpoint whose policy learns, as it was applied."""
    signature = Signature("array", (), OutputSpec("scores", _CLASSES))
    members = tuple(MemberRoute(each.name, 1, "onnx", "d", {}, signature, (), "y", []) for each in _MEMBERS)
    pool = PoolRoute("digits", "classification", signature, members)
    names = tuple(member.name for member in members)
    strategies = (StrategyRoute("a", "mean", names, 1), StrategyRoute("b", "single", names[:1], 1))
    endpoint = EndpointRoute("digits", 1, "digits", strategies, PolicyRoute("thompson", reward=RewardRoute()))
    with database.begin() as connection:
        add_revision(connection, "digits", content(endpoint, pool), author="bench", now=START)
    snapshot.write(home.snapshot, Routing(1, (pool,), (endpoint,)))
    return Learner(home, database, lambda digest: b"", SystemClock())


def _check_learner(database: Database, told: int) -> None:
    with database.read() as connection:
        learner = learners.learner(connection, "digits")
    assert learner is not None
    assert learner.counts == {"learned": told}, learner.counts


def _check(database: Database, count: int, told: int) -> None:
    """A figure of outcomes that were not joined would be none."""
    with database.read() as connection:
        joined = connection.exec_driver_sql("SELECT count(*) FROM outcomes WHERE state = 'joined'").scalar()
        seen = connection.exec_driver_sql("SELECT sum(requests) FROM traffic").scalar()
    assert (joined, seen) == (told, count), (joined, seen)


def _compact(ingest: Ingest, home: Home) -> None:
    ingest.catch_up()
    for segment in JournalReader(home.journal).segments():
        compact(segment)


class _Journal:
    """Segments of one slot, written in order."""

    def __init__(self, home: Home) -> None:
        self._folder = home.journal / "0"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO | None = None
        self._size = 0
        self.sequence = 0

    def room(self) -> None:
        """Begin a segment where there is none, or it is full."""
        if self._file is None or self._size > SEGMENT:
            self.seal()
            self._file = (self._folder / segment_name(0, self.sequence)).open("wb")
            self._size = self._file.write(encode_header(Header(0, 0, self.sequence, 1, SALT)))

    def write(self, kind: RecordKind, payload: bytes) -> None:
        """Append a record."""
        self.room()
        assert self._file is not None
        self._size += self._file.write(encode_record(kind, self.sequence, payload, SALT))
        self.sequence += 1

    def seal(self) -> None:
        """End the segment."""
        if self._file is not None:
            self._file.write(encode_record(RecordKind.SEAL, self.sequence, b"", SALT))
            self._file.close()
            self._file = None
            self.sequence += 1


def _write(home: Home, count: int, order: str, *, before_outcomes: Callable[[], None]) -> int:
    """Write the journal; how many outcomes are in it."""
    rng = np.random.default_rng(1)
    outputs = rng.random((64, 1, 5, 10), dtype=np.float32)
    journal = _Journal(home)
    made = deque[tuple[str, float]](maxlen=LATER if order == "soon" else None)
    for i in range(count):
        journal.room()
        at = START + i / 1000
        if len(made) == made.maxlen:
            _tell(journal, *made.popleft(), 5.0)
            journal.room()
        made.append((str(DecisionId(int(at * 1000), 0, 0, journal.sequence)), at))
        journal.write(RecordKind.DECISION, decision_codec.encode(_decision(made[-1][0], at, outputs[i % 64])))
    if order == "none":
        journal.seal()
        return 0
    rest = list(made)
    if order == "random":
        rest = [rest[i] for i in rng.permutation(len(rest))]
    journal.seal()
    before_outcomes()
    for id_, at in rest:
        _tell(journal, id_, at, 5.0 if order == "soon" else 86_400.0)
    journal.seal()
    return count


def _tell(journal: _Journal, id_: str, at: float, after_s: float) -> None:
    outcome = Outcome(id_, 0, str(int(at * 1000) % 10), source="user", at=at + after_s, received=at + after_s)
    journal.write(RecordKind.OUTCOME, outcome_codec.encode(outcome))


_MEMBERS = tuple(MemberRun(f"member-{i}", 1, Status.OK, 1.0) for i in range(5))
_CLASSES = tuple("0123456789")


def _decision(id_: str, at: float, outputs: np.ndarray) -> Decision:
    arm = "ab"[int(at * 1000) % 2]
    return Decision(
        id_, "digits", 1, 0, "policy", at, 0.1, 5.0, {"user": "u1"}, ("a", "b"), (0.5, 0.5), arm, arm, _MEMBERS,
        outputs, np.zeros((1, 5), np.int8), outputs.mean(axis=1), False, 1, b"x" * 32, classes=_CLASSES,
        request_id="0f2b6c1d9a7e4b53",
    )  # fmt: skip
