"""A project whose endpoint is under an experiment, with a journal that the test writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import snapshot
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.experiments.desk import ExperimentDesk
from quorate.control.experiments.gathering import Gathering
from quorate.control.experiments.running import Runner
from quorate.control.journal.ingest import Ingest
from quorate.core.select.assign import draw, unit_uniform
from quorate.core.types import Decision, Outcome
from quorate.ids import DecisionId

SALT = 3


class Lab:
    """An endpoint ``main`` with the strategies ``average`` and ``best``, whose traffic is written by hand.

    The journal's times are those of the project's clock.
    """

    def __init__(self, project: Any) -> None:
        self.project = project
        self.home, self.clock, self.database = project.home, project.clock, project.database
        project.write(FIXED)
        project.apply()
        reader = JournalReader(self.home.journal)
        self.desk = ExperimentDesk(self.home, self.database, reader, self.clock)
        self.rng = np.random.default_rng(7)
        self._path = self.home.journal / "0" / segment_name(0, 0)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(encode_header(Header(0, 0, 0, 1, SALT)))
        self._sequence = 0
        self.restart()

    def restart(self) -> None:
        """As after the death of the control process: nothing but what is stored is left."""
        self.ingest = Ingest(JournalReader(self.home.journal), self.database, listener=Gathering(self.database))
        self.runner = Runner(self.home, self.database, JournalReader(self.home.journal), self.clock)

    @property
    def route(self) -> Any:
        return snapshot.read(self.home.snapshot).endpoints[0]

    def registration(self, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "name": "trial",
            "endpoint": "main",
            "control": "average",
            "treatments": ["best"],
            "metric": {"kind": "accuracy"},
            "minimum_effect": 0.2,
            "stop": {"max_units": 2000, "max_days": 10},
            "look_every_s": 60,
        }
        return made | changes

    def begin(self, **changes: Any) -> str:
        """Register and start; the id."""
        made = self.desk.register(self.registration(**changes), author="ann")
        return self.desk.start(made.id, author="ann").id

    def _append(self, kind: RecordKind, sequence: int, payload: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(encode_record(kind, sequence, payload, SALT))

    def decide(self, **changes: Any) -> Decision:
        """A decision of the revision that is served, assigned as serving does."""
        route, names = self.route, ("average", "best")
        weights = route.policy.params.get("weights") or {route.policy.params.get("strategy"): 1.0}
        p = tuple(weights.get(name, 0.0) / sum(weights.values()) for name in names)
        unit = changes.get("unit")
        u = self.rng.random() if unit is None else unit_uniform(unit, f"main {route.policy.salt}")
        now = self.clock.now()
        identity = DecisionId(int(now * 1000), 0, 0, self._sequence)
        self._sequence += 1
        assigned = changes.get("assigned") or names[draw(p, u)]
        fields: dict[str, Any] = {
            "id": str(identity), "endpoint": "main", "revision": route.revision, "state_version": 0,
            "source": "policy", "arrived": now, "queue_ms": 0.0, "latency_ms": 5.0,
            "context": {} if unit is None else {"user": unit},
            "strategies": names, "propensities": p, "assigned": assigned, "served": assigned, "members": (),
            "outputs": np.zeros((1, 0, 2), np.float32), "status": np.zeros((1, 0), np.int8),
            "answer": np.float32([[0, 1]]), "degraded": False, "rows": 1, "input_digest": b"", "classes": ("no", "yes"),
        }  # fmt: skip
        made = Decision(**(fields | changes))
        self._append(RecordKind.DECISION, identity.sequence, decision_codec.encode(made))
        return made

    def tell(self, decision: Decision, *, truth: str | None = None, **fields: Any) -> None:
        """An outcome of a decision, now."""
        now = fields.pop("at", self.clock.now())
        outcome = Outcome(decision.id, 0, truth, at=now, received=now, **fields)
        self._append(RecordKind.OUTCOME, self._sequence, outcome_codec.encode(outcome))
        self._sequence += 1

    def traffic(self, n: int, rates: dict[str, float], *, presence: float = 1.0, **changes: Any) -> list[Decision]:
        """Requests, each answered rightly with its arm's rate; of a share of them the truth is told."""
        made = [self.decide(**changes) for _ in range(n)]
        for decision in made:
            if self.rng.random() < presence:
                right = self.rng.random() < rates[decision.assigned]
                self.tell(decision, truth="yes" if right else "no")
        return made

    def pass_(self, seconds: float = 61.0) -> None:
        """Time goes by, the journal is read, and experiments are looked after."""
        self.clock.advance(seconds)
        self.ingest.catch_up()
        self.runner.run()


FIXED = """\
pools:
  letters: {task: classification, members: [a, b, c]}
endpoints:
  main:
    pool: letters
    strategies:
      average: {kind: mean}
      best: {kind: single, member: a}
    policy: average
"""


@pytest.fixture
def lab(project: Any) -> Lab:
    return Lab(project)
