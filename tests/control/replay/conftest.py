"""A project with logged decisions: members' outputs, propensities and outcomes as a server would have left them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader, Segment
from quorate.control.journal.compact import compact
from quorate.control.journal.ingest import Ingest
from quorate.control.replay.asked import Answer, Question
from quorate.control.replay.run import replay
from quorate.core.combine.mean import Mean
from quorate.core.types import Decision, MemberRun, Outcome, Status
from quorate.ids import DecisionId

SALT = 9
MEMBERS, CLASSES, STRATEGIES = ("a", "b", "c"), ("no", "yes"), ("average", "best")
START = 1_700_000_000.0


def decided(
    number: int,
    outputs: np.ndarray,
    *,
    assigned: str = "average",
    propensities: Sequence[float] = (0.5, 0.5),
    strategies: Sequence[str] = STRATEGIES,
    slot: int = 0,
    **other: Any,
) -> Decision:
    """A decision of endpoint ``main`` whose members said ``outputs`` [n, 3, 2]."""
    outputs = np.asarray(outputs, np.float32)
    status = other.pop("status", np.zeros(outputs.shape[:2], np.int8))
    served = other.pop("served", assigned)
    answer = Mean().combine(outputs, status) if served == "average" else outputs[:, 0]
    fields: dict[str, Any] = {
        "id": str(DecisionId(int((START + number) * 1000), slot, 0, number)), "endpoint": "main", "revision": 1,
        "state_version": 0, "source": "policy", "arrived": START + number, "queue_ms": 0.0, "latency_ms": 1.0,
        "context": {}, "strategies": tuple(strategies), "propensities": tuple(propensities), "assigned": assigned,
        "served": served, "members": tuple(MemberRun(name, 1, Status.OK, 1.0) for name in MEMBERS), "outputs": outputs,
        "status": status, "answer": answer, "degraded": False, "rows": len(outputs), "input_digest": b"x",
        "classes": CLASSES,
    }  # fmt: skip
    return Decision(**(fields | other))


class Log:
    """The journal of a project, written at once."""

    def __init__(self, project: Any) -> None:
        self.project = project
        project.apply()

    def write(
        self, decisions: Sequence[Decision], outcomes: Iterable[Outcome] = (), *, slot: int = 0, first: int = 0
    ) -> Segment:
        """A sealed segment, ingested; sequences are those of the ids, outcomes come after."""
        path = self.project.home.journal / str(slot) / segment_name(0, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = [encode_header(Header(slot, 0, first, 1 + first, SALT))]
        last = first
        for d in decisions:
            last = DecisionId.parse(d.id).sequence
            data.append(encode_record(RecordKind.DECISION, last, decision_codec.encode(d), SALT))
        for number, outcome in enumerate(outcomes, last + 1):
            data.append(encode_record(RecordKind.OUTCOME, number, outcome_codec.encode(outcome), SALT))
            last = number
        path.write_bytes(b"".join([*data, encode_record(RecordKind.SEAL, last + 1, b"", SALT)]))
        Ingest(JournalReader(self.project.home.journal), self.project.database).catch_up()
        return Segment(slot, 0, first, path)

    def compact(self, segment: Segment) -> None:
        """Make it columns."""
        compact(segment)

    def replay(self, strategy: Any = None, **asked: Any) -> Answer:
        """Ask."""
        parts = self.project
        question = Question("main", strategy, **asked)
        return replay(question, parts.home, parts.database, parts.registry, parts.clock)


def drawn(count: int, seed: int = 0, rows: int = 1) -> np.ndarray:
    """Outputs of three members [count, rows, 3, 2]."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(2), (count, rows, 3)).astype(np.float32)


def told(decision: Decision, label: str, row: int = 0, **other: Any) -> Outcome:
    """The truth for a row."""
    return Outcome(decision.id, row, label, at=1.0, **other)


def rewarded(decision: Decision, rewards: Mapping[str, float], row: int = 0) -> Outcome:
    """Rewards for a row."""
    return Outcome(decision.id, row, None, {name: float(value) for name, value in rewards.items()}, at=1.0)


@pytest.fixture
def log(project: Any) -> Log:
    """The project's journal, empty."""
    return Log(project)
