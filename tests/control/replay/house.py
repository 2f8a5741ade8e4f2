"""A project whose endpoint learns to combine: workers, control and callers are played by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quorate.codecs import decision as decision_codec
from quorate.codecs import learned, snapshot
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader, Segment
from quorate.codecs.snapshot import EndpointRoute, JournalSettings, MemberRoute, PolicyRoute, PoolRoute, Routing
from quorate.codecs.snapshot import StrategyRoute as Route
from quorate.control.journal.ingest import Ingest
from quorate.control.learning.learner import Learner, Learning
from quorate.control.replay.asked import Answer, Question
from quorate.control.replay.run import replay
from quorate.control.revisions.publication import content
from quorate.core.combine.base import Combiner
from quorate.core.combine.mean import Mean
from quorate.core.combine.online import Online
from quorate.core.types import Decision, MemberRun, Outcome, OutputSpec, Signature, Status, TensorSpec
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.store import lessons
from quorate.store.database import Database
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock

SALT, START, MEMBERS = 5, 1_700_000_000.0, ("a", "b", "c")
ONLINE, MEAN = Route("online", "online", MEMBERS, 1), Route("mean", "mean", MEMBERS, 1)
FIXED = PolicyRoute("fixed", {"strategy": "online"})


class House:
    """An endpoint whose strategy ``online`` learns; workers, control and callers are played by hand."""

    def __init__(self, root: Path, new_store: Any, output: OutputSpec | None = None) -> None:
        self.home, self.clock = Home(root), FakeClock(now=START)
        self.database: Database = new_store(self.home.store_url)
        self.registry = Registry(self.home.registry, self.clock)
        self.output = output or OutputSpec("scores", ("x", "y", "z"))
        self.rng = np.random.default_rng(3)
        self.version = 0
        self.first = {0: 0, 1: 0}
        self.sequence = {0: 0, 1: 0}
        tensors = (TensorSpec("input", "float32", (None, 1)),)
        self.signature = Signature("array", tensors, self.output)
        for name in MEMBERS:
            draft = Manifest(name=name, format="callable", signature=self.signature, tensors=tensors,
                             output_name="output", options={"entry": "predict"})  # fmt: skip
            self.registry.register(draft, {"model.py": f"def predict(input): ...\n# {name}\n".encode()})
        self.serve()
        self.restart()

    def serve(self, *strategies: Route, policy: PolicyRoute = FIXED, **digests: str) -> None:
        """Apply another revision."""
        self.version += 1
        members = tuple(
            MemberRoute(n, 1, "callable", digests.get(n, n), {}, self.signature, (), "output", []) for n in MEMBERS
        )
        task = "classification" if self.output.kind == "scores" else "regression"
        self.pool = PoolRoute("pool", task, self.signature, members)
        self.strategies = strategies or (ONLINE, MEAN)
        endpoint = EndpointRoute("main", 0, "pool", self.strategies, policy)
        with self.database.begin() as connection:
            made = add_revision(connection, "main", content(endpoint, self.pool), author="me", now=1.0)
        self.endpoint = msgspec.structs.replace(endpoint, revision=made.number)
        snapshot.write(self.home.snapshot, Routing(self.version, (self.pool,), (self.endpoint,)))

    def keep(self, settings: JournalSettings) -> None:
        """Say what is kept of the journal."""
        routing = snapshot.read(self.home.snapshot)
        snapshot.write(self.home.snapshot, msgspec.structs.replace(routing, journal=settings))

    def restart(self) -> None:
        """Control is killed and comes back: it knows what the store knows."""
        self.learner = Learner(self.home, self.database, lambda digest: b"", self.clock)
        self.ingest = Ingest(JournalReader(self.home.journal), self.database, listener=self.learner)

    def control(self) -> int:
        """A pass of control over the journals; the version that is published then."""
        self.clock.advance(1.0)
        self.ingest.catch_up()
        self.learner.publish()
        return learned.versions(self.home.learned).get("main", 0)

    def ask(self, count: int, *, rows: int = 1, strategy: str = "online", **changes: Any) -> list[Decision]:
        """So many requests, answered by workers 0 and 1 in turn as the published state says."""
        version = learned.versions(self.home.learned).get("main", 0)
        known = learned.read(self.home.learned, "main", version).combiners if version else {}
        mine = known.get("online")
        route = next(each for each in self.strategies if each.name == strategy)
        fits = mine is not None and mine.key == learned.combiner_key(ONLINE, self.pool)
        state = mine.state if mine is not None and fits and route.kind == "online" else None
        combiner: Combiner = Online() if route.kind == "online" else Mean()
        made = []
        for number in range(count):
            self.clock.advance(0.01)
            slot = number % 2
            outputs, status = self.said(rows)
            sequence = self.take(slot)
            fields: dict[str, Any] = {
                "id": str(DecisionId(int(self.clock.now() * 1000), slot, 0, sequence)), "endpoint": "main",
                "revision": self.endpoint.revision, "state_version": version, "source": "policy",
                "arrived": self.clock.now(), "queue_ms": 0.0, "latency_ms": 1.0, "context": {"user": number % 5},
                "strategies": tuple(each.name for each in self.strategies),
                "propensities": tuple(float(each.name == strategy) for each in self.strategies),
                "assigned": strategy, "served": strategy,
                "members": tuple(MemberRun(n, 1, Status.OK, 1.0) for n in MEMBERS), "outputs": outputs,
                "status": status, "answer": combiner.combine(outputs, status, state), "degraded": bool(status.any()),
                "rows": rows, "input_digest": b"", "classes": self.output.classes or self.output.names,
                "output_kind": self.output.kind,
            }  # fmt: skip
            decision = Decision(**(fields | changes))
            self.append(slot, RecordKind.DECISION, sequence, decision_codec.encode(decision))
            made.append(decision)
        return made

    def said(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        status = (self.rng.random((rows, 3)) < 0.05).astype(np.int8)
        status[status.all(axis=1)] = 0
        if self.output.kind == "values":
            return self.rng.normal(size=(rows, 3, 1)).astype(np.float32), status
        return self.rng.dirichlet(np.ones(3), (rows, 3)).astype(np.float32), status

    def tell(self, decisions: Iterable[Decision], *, share: float = 1.0) -> None:
        """The truth: mostly what the second member said, of some rows only where the share is less than 1."""
        for number, d in enumerate(decisions):
            for row in range(d.rows):
                if self.rng.random() >= share:
                    continue
                slot = (number + row) % 2
                said = d.outputs[row, 1]
                label = self.output.classes[int(said.argmax())] if self.output.kind == "scores" else None
                truth = label if label is not None else float(said[0]) + 0.1
                made = Outcome(d.id, row, truth, at=self.clock.now(), received=self.clock.now())
                self.append(slot, RecordKind.OUTCOME, self.take(slot), outcome_codec.encode(made))

    def take(self, slot: int) -> int:
        self.sequence[slot] += 1
        return self.sequence[slot]

    def append(self, slot: int, kind: RecordKind, sequence: int, payload: bytes) -> None:
        path = self.home.journal / str(slot) / segment_name(0, self.first[slot])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            created = int(self.clock.now() * 1e9)
            path.write_bytes(encode_header(Header(slot, 0, self.first[slot], created, SALT)))
        with path.open("ab") as file:
            file.write(encode_record(kind, sequence, payload, SALT))

    def seal(self) -> list[Segment]:
        """End all segments; others follow."""
        sealed = []
        for slot in self.first:
            path = self.home.journal / str(slot) / segment_name(0, self.first[slot])
            if path.exists():
                self.append(slot, RecordKind.SEAL, self.take(slot), b"")
                sealed.append(Segment(slot, 0, self.first[slot], path))
                self.first[slot] = self.sequence[slot] + 1
                self.sequence[slot] += 1
        self.control()
        return sealed

    def live(self, turns: int = 12, **asked: Any) -> list[Decision]:
        """Turns of requests, with outcomes that come late, for some rows, and in another order; and control between."""
        made: list[Decision] = []
        waiting: list[Decision] = []
        for turn in range(turns):
            now = self.ask(10, **asked)
            made += now
            waiting += now
            if turn % 3 == 2:
                late = waiting[: len(waiting) // 2]
                self.rng.shuffle(late)  # type: ignore[arg-type]
                self.tell(late, share=0.7)
                waiting = waiting[len(late) :]
            self.control()
        self.tell(made)  # at last all of them; what is known already teaches nothing
        self.control()
        return made

    def replay(self, strategy: Any = "online", **asked: Any) -> Answer:
        question = Question("main", strategy, **asked)
        return replay(question, self.home, self.database, self.registry, self.clock)

    def steps(self) -> list[lessons.Step]:
        with self.database.read() as connection:
            return lessons.steps(connection, "main", -1, 100_000)

    def learning(self) -> Learning:
        return Learning(self.endpoint, self.pool)
