"""A hand-made history: one endpoint that switches once, with round numbers before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import Routing, read
from quorate.control.journal.ingest import Ingest
from quorate.core.types import Decision, MemberRun, Outcome, Status
from quorate.ids import DecisionId
from quorate.store import ledger, usage
from quorate.store.ledger import Tally, TrafficKey
from quorate.store.usage import UsageKey, Used

CONFIG = """\
pools:
  letters: {{task: classification, members: [a, b, c]}}
endpoints:
  main:
    pool: letters
    strategies:
      average: {{kind: mean, members: [a, b]}}
      best: {{kind: single, member: a}}
    policy: {policy}
{more}"""
PRICES = "prices: {currency: EUR, cpu_hour: 0.04, gib_hour: 0.005}\n"
SOURCE, MINUTE_S = "policy", 60.0
GIB = 1024**3


class History:
    """Writes what a project's ledger, usage and journal say of chosen minutes; ``start`` is its first minute."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.home, self.clock, self.database = project.home, project.clock, project.database
        self.start = int(self.clock.now() // 60) + 1
        self.sequence = 0
        self.clock.set_now(self.start * 60.0)

    def apply(self, policy: str = "average", more: str = "") -> int:
        """Apply a configuration; the revision of ``main``."""
        self.project.write(CONFIG.format(policy=policy, more=more))
        return int(self.project.apply().revisions["main"])

    def at(self, minute: int, second: float = 0.0) -> float:
        """Set the clock to a time of the history, and return it."""
        self.clock.set_now((self.start + minute) * 60.0 + second)
        return float(self.clock.now())

    def traffic(
        self,
        minutes: range,
        revision: int,
        strategy: str,
        latencies: Sequence[float],
        *,
        errors: int = 0,
        source: str = SOURCE,
        endpoint: str = "main",
    ) -> None:
        """The same requests in each minute."""
        tallies = {}
        for minute in minutes:
            tally = Tally(len(latencies), len(latencies), errors)
            tally.latency.add(latencies)
            tallies[TrafficKey(endpoint, self.start + minute, revision, strategy, source)] = tally
        with self.database.begin() as connection:
            ledger.add_traffic(connection, tallies)

    def judge(
        self, minutes: range, revision: int, strategy: str, right: int, wrong: int, *, source: str = SOURCE
    ) -> None:
        """So many judged decisions of one row in each minute."""
        n = right + wrong
        self.measure(minutes, revision, strategy, "truth.scores", (n, n, n, wrong, wrong, wrong), source=source)

    def measure(
        self,
        minutes: range,
        revision: int,
        strategy: str,
        metric: str,
        sums: tuple[float, ...],
        *,
        source: str = SOURCE,
    ) -> None:
        """The same sums in each minute."""
        with self.database.begin() as connection:
            connection.execute(sa.text(_MEASURED))
            for minute in minutes:
                row = ("main", self.start + minute, revision, strategy, source, metric, *sums)
                names = ", ".join(f":v{i}" for i in range(len(row)))
                values = {f"v{i}": value for i, value in enumerate(row)}
                connection.execute(sa.text(f"INSERT INTO measured VALUES ({names})"), values)  # noqa: S608 - no input

    def used(self, minutes: range, kind: str, name: str, used: Used) -> None:
        """The same use in each minute."""
        with self.database.begin() as connection:
            usage.add(connection, {UsageKey(self.start + minute, kind, name): used for minute in minutes})

    def journal(self, slot: int, records: Sequence[Decision | Outcome], *, created: float) -> None:
        """A segment of a slot, and its ingest."""
        path = self.home.journal / str(slot) / segment_name(0, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode_header(Header(slot, 0, 0, int(created * 1e9), 7))
        for i, record in enumerate(records):
            if isinstance(record, Decision):
                data += encode_record(RecordKind.DECISION, i, decision_codec.encode(record), 7)
            else:
                data += encode_record(RecordKind.OUTCOME, i, outcome_codec.encode(record), 7)
        path.write_bytes(data)
        Ingest(JournalReader(self.home.journal), self.database).catch_up()

    def decision(
        self,
        slot: int,
        sequence: int,
        arrived: float,
        revision: int,
        strategy: str = "average",
        *,
        latency_ms: float = 10.0,
        said: Sequence[int] = (1, 1, 1),
        source: Any = SOURCE,
    ) -> Decision:
        """One row; each member says one of two classes, or with -1 did not run."""
        outputs = np.full((1, 3, 2), np.nan, np.float32)
        status = np.full((1, 3), Status.SKIPPED, np.int8)
        for i, label in enumerate(said):
            if label >= 0:
                outputs[0, i] = (0.9, 0.1) if label == 0 else (0.1, 0.9)
                status[0, i] = Status.OK
        answer = outputs[:, 0] if strategy == "best" else outputs[:, :2].mean(axis=1)
        runs = tuple(MemberRun(name, 1, Status.OK, 1.0) for name in "abc")
        decided = DecisionId(int(arrived * 1000), slot, 0, sequence)
        return Decision(
            str(decided), "main", revision, 0, source, arrived, 0.1, latency_ms, {}, ("average", "best"),
            (0.5, 0.5), strategy, strategy, runs, outputs, status, answer, False, 1, b"x", classes=("no", "yes"),
        )  # fmt: skip

    @property
    def reader(self) -> JournalReader:
        """Of the journals."""
        return JournalReader(self.home.journal)

    @property
    def served(self) -> Routing:
        """What is served now."""
        return read(self.home.snapshot)


_MEASURED = """
CREATE TABLE IF NOT EXISTS measured (endpoint TEXT, minute INTEGER, revision INTEGER, strategy TEXT, source TEXT,
metric TEXT, decisions INTEGER, rows INTEGER, row_squares INTEGER, total REAL, squares REAL, products REAL,
PRIMARY KEY (endpoint, minute, revision, strategy, source, metric))"""


@pytest.fixture
def history(project: Any) -> History:
    """A project without any history yet."""
    return History(project)


@pytest.fixture
def switched(history: History) -> History:
    """An hour of ``average``, then more than one of ``best``, which is twice as fast and right more often.

    100 requests a minute; 80 of 100 right before, 90 after. Workers use 6 and then 3 processor seconds a minute, and
    2 GiB; member ``c`` runs in a process of its own with 1 GiB.
    """
    history.apply("average", PRICES)
    history.at(60, 10.0)
    history.apply("best", PRICES)
    for minutes, revision, strategy, latency, right, cpu in (
        (range(60), 1, "average", 10.0, 80, 6.0),
        (range(61, 210), 2, "best", 5.0, 90, 3.0),
    ):
        history.traffic(minutes, revision, strategy, [latency * (0.505 + i / 100) for i in range(100)])
        history.judge(minutes, revision, strategy, right, 100 - right)
        history.used(minutes, usage.WORKER, "worker-0", Used(60.0, cpu, 2.0 * GIB * 60))
        history.used(minutes, usage.HOST, "c", Used(60.0, 0.0, 1.0 * GIB * 60))
        history.used(minutes, usage.POOL, "letters", Used(60.0, 0.0, 0.5 * GIB * 60, 1.0, 100.0, 100.0))
        history.used(minutes, usage.ENDPOINT, "main", Used(60.0, requests=100.0))
    history.at(210)
    return history


Make = Callable[..., Any]
