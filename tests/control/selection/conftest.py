"""An endpoint over members a, b and c with two features, whose decisions and outcomes are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import snapshot
from quorate.codecs import state as state_codec
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
from quorate.control.journal.ingest import Ingest
from quorate.control.learning.learner import Learner
from quorate.control.revisions.publication import content
from quorate.control.selection.regret import regret
from quorate.control.selection.regret_views import RegretView
from quorate.control.selection.trust import TrustView, trust
from quorate.core.combine.mean import Mean
from quorate.core.combine.neighbours import squared_norms
from quorate.core.types import Decision, MemberRun, Outcome, OutputSpec, Signature, State, Status, TensorSpec
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store.database import Database
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock

INPUTS = (TensorSpec("age", "float32", (None,)), TensorSpec("size", "float32", (None,)))
SCORES = OutputSpec("scores", ("no", "yes"))
NUMBERS = OutputSpec("values", names=("price",))
MEMBERS = ("a", "b", "c")


class Lab:
    """``decide`` adds a decision, ``flush`` writes what was added and ingests it; then ask."""

    def __init__(self, root: Path, database: Database) -> None:
        self.home, self.database = Home(root), database
        self.blobs: dict[str, bytes] = {}
        self.version = self.sequence = self.first = 0
        self.clock = FakeClock(now=100_000.0)
        self.records: list[tuple[int, bytes]] = []
        self.reader = JournalReader(self.home.journal)
        learner = Learner(self.home, self.database, self.blobs.__getitem__, self.clock)
        self.ingest = Ingest(self.reader, self.database, listener=learner)

    def state(self, name: str, state: State) -> dict[str, str]:
        """Keep a fitted state; what a strategy's route has of it."""
        files = state_codec.encode(state)
        self.blobs |= {f"{name}/{file}": data for file, data in files.items()}
        return {file: f"{name}/{file}" for file in files}

    def serve(
        self,
        *strategies: StrategyRoute,
        policy: PolicyRoute | None = None,
        output: OutputSpec = SCORES,
        digests: dict[str, str] | None = None,
    ) -> None:
        """Apply a revision."""
        self.version += 1
        signature = Signature("columns", INPUTS, output)
        made = [(name, (digests or {}).get(name, name)) for name in MEMBERS]
        members = tuple(MemberRoute(name, 1, "onnx", d, {}, signature, (), "y", []) for name, d in made)
        self.pool = PoolRoute("pool", "classification", signature, members)
        policy = policy or PolicyRoute("fixed", {"strategy": strategies[0].name})
        endpoint = EndpointRoute("e", 0, "pool", strategies, policy)
        with self.database.begin() as connection:
            self.revision = add_revision(connection, "e", content(endpoint, self.pool), author="me", now=1.0).number
        self.endpoint = msgspec.structs.replace(endpoint, revision=self.revision)
        snapshot.write(self.home.snapshot, Routing(self.version, (self.pool,), (self.endpoint,)))

    def decide(
        self,
        outputs: Sequence[Any],
        *,
        truth: Any = None,
        rewards: dict[str, float] | None = None,
        answer: Any = None,
        features: Sequence[float] | None = None,
        status: Sequence[int] = (0, 0, 0),
        assigned: str | None = None,
        p: Sequence[float] | None = None,
        nothing: bool = False,
        bare: bool = False,
        **changes: Any,
    ) -> str:
        """A decision of one row: what members a, b and c say, a class index (or a number), and what is told of it.

        With ``nothing`` it was answered with an error; of a ``bare`` one the outputs were not recorded.
        """
        self.sequence += 1
        kind = self.pool.signature.output.kind
        said = np.eye(2, dtype=np.float32)[list(outputs)] if kind == "scores" else np.float32(outputs)[:, None]
        names = tuple(each.name for each in self.endpoint.strategies)
        got = said[0] if answer is None else np.eye(2, dtype=np.float32)[answer] if kind == "scores" else [answer]
        chosen = assigned or names[0]
        id_ = str(DecisionId(1_000_000 + 1000 * self.sequence, 0, 0, self.sequence))
        fields: dict[str, Any] = {
            "id": id_, "endpoint": "e", "revision": self.revision, "state_version": 0, "source": "policy",
            "arrived": 1000.0 + self.sequence, "queue_ms": 0.0, "latency_ms": 5.0, "context": {}, "strategies": names,
            "propensities": tuple(p) if p is not None else tuple(float(name == chosen) for name in names),
            "assigned": chosen, "served": chosen, "members": tuple(MemberRun(n, 1, Status.OK, 1.0) for n in MEMBERS),
            "outputs": said[None], "status": np.array([status], np.int8), "answer": np.array([got], np.float32),
            "degraded": False, "rows": 1, "input_digest": b"", "output_kind": kind,
            "classes": self.pool.signature.output.classes,
            "features": None if features is None else np.array([features], np.float32),
        }  # fmt: skip
        if nothing:
            fields |= {"answer": None, "served": None, "error": "no_quorum"}
        if bare:
            fields |= {"outputs": np.zeros((1, 0, 2), np.float32), "status": np.zeros((1, 0), np.int8), "members": ()}
        self.records.append((RecordKind.DECISION, decision_codec.encode(Decision(**(fields | changes)))))
        if truth is not None or rewards:
            label = SCORES.classes[truth] if truth is not None and kind == "scores" else truth
            told = Outcome(id_, 0, label, rewards or {}, at=2000.0, received=2000.0)
            self.sequence += 1
            self.records.append((RecordKind.OUTCOME, outcome_codec.encode(told)))
        return id_

    def flush(self) -> None:
        """Write a segment of what was added, and ingest it."""
        path = self.home.journal / "0" / segment_name(0, self.first + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        records = enumerate(self.records, self.first + 1)
        body = b"".join(encode_record(kind, number, payload, 7) for number, (kind, payload) in records)
        path.write_bytes(encode_header(Header(0, 0, self.first + 1, 1, 7)) + body)
        self.first, self.records = self.sequence, []
        self.ingest.catch_up()

    def read(self, digest: str) -> bytes:
        """A blob."""
        return self.blobs[digest]

    def trust(self, **asked: Any) -> TrustView:
        """Who is trusted where."""
        with self.database.read() as connection:
            return trust(connection, self.reader, self.read, self.endpoint, self.pool, **asked)

    def regret(self, points: int = 10) -> RegretView:
        """Regret over time."""
        with self.database.read() as connection:
            return regret(connection, self.reader, self.read, self.endpoint, self.pool, points=points)


@pytest.fixture
def lab(tmp_path: Path, new_store: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A project of its own; a cascade has no state here, as nobody asks it for an answer."""
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Mean if (f, n) == ("combiners", "cascade") else load(f, n))
    database = new_store(Home(tmp_path).store_url)
    yield Lab(tmp_path, database)
    database.close()


def near(lab: Lab, kind: str = "ola") -> StrategyRoute:
    """Whoever is right at the nearest reference row: a at (0, 0), b at (1, 0), c at (0, 1)."""
    reference = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    arrays = {
        "hits": np.eye(3, dtype=np.uint8), "reference": reference, "norms": squared_norms(reference),
        "centre": np.zeros(2), "scale": np.ones(2), "fill": np.zeros(2),
    }  # fmt: skip
    meta = {"members": list(MEMBERS), "classes": ["no", "yes"], "k": 1, "space": "input", "features": 2}
    return StrategyRoute("near", kind, MEMBERS, 1, state=lab.state(f"near-{kind}", State(kind, 1, meta, arrays)))


LEARNS = PolicyRoute("thompson", {"floor": 0.1}, reward=RewardRoute())
