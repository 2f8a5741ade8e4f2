"""Combiners that learn: from every row whose truth is known, in the endpoint's one learner, whoever had answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from quorate import plugins
from quorate.codecs import decision as decision_codec
from quorate.codecs import learned, snapshot
from quorate.codecs.snapshot import (
    EndpointRoute,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    RewardRoute,
    Routing,
    StrategyRoute,
)
from quorate.control.learning.learner import Learner, served
from quorate.control.learning.routes import forget, view
from quorate.control.outcomes.joined import Joined
from quorate.control.revisions.publication import content
from quorate.core.combine.online import Online
from quorate.core.erasing import mark
from quorate.core.types import Decision, MemberRun, OutputSpec, Signature, Status
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import learners
from quorate.store.database import Database
from quorate.store.ledger import JOINED, StoredOutcome
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock

SIGNATURE = Signature("array", (), OutputSpec("scores", ("no", "yes")))
STRATEGIES = (
    StrategyRoute("a", "single", ("a",), 1),
    StrategyRoute("both", "online", ("b", "a"), 1),
    StrategyRoute("one", "online", ("c",), 1, {"prior": "vote"}),
)
FIXED = PolicyRoute("fixed", {"strategy": "a"})
THOMPSON = PolicyRoute("thompson", {}, reward=RewardRoute())


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Online if (f, n) == ("combiners", "online") else load(f, n))


class Project:
    """An endpoint over members a, b and c; decisions made by hand."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.database = Database(self.home.store_url)
        self.database.migrate()
        self.version = self.sequence = 0
        self.bodies: dict[str, bytes] = {}
        self.serve(FIXED)
        self.learner = Learner(self.home, self.database, lambda digest: b"", FakeClock(now=5000.0))

    def serve(self, policy: PolicyRoute, strategies: Sequence[StrategyRoute] = STRATEGIES, **digests: str) -> None:
        """Apply another revision."""
        self.version += 1
        members = tuple(MemberRoute(n, 1, "onnx", digests.get(n, n), {}, SIGNATURE, (), "y", []) for n in "abc")
        pool = PoolRoute("pool", "classification", SIGNATURE, members)
        endpoint = EndpointRoute("e", 0, "pool", tuple(strategies), policy)
        with self.database.begin() as connection:
            self.revision = add_revision(connection, "e", content(endpoint, pool), author="me", now=1.0).number
        self.strategies = tuple(each.name for each in strategies)
        endpoint = msgspec.structs.replace(endpoint, revision=self.revision)
        self.routing = Routing(self.version, (pool,), (endpoint,))
        snapshot.write(self.home.snapshot, self.routing)

    def told(self, a: int, b: int, c: int, truth: int, **changes: Any) -> Joined:
        """A decision of members that are sure, and its truth."""
        self.sequence += 1
        outputs = np.eye(2, dtype=np.float32)[[[a, b, c]]]
        k = len(self.strategies)
        fields: dict[str, Any] = {
            "id": str(DecisionId(self.sequence, 0, 0, self.sequence)), "endpoint": "e", "revision": self.revision,
            "state_version": 0, "source": "policy", "arrived": 600.0 + self.sequence, "queue_ms": 0.0,
            "latency_ms": 5.0, "context": {}, "strategies": self.strategies, "propensities": (1 / k,) * k,
            "assigned": "a", "served": "a", "members": tuple(MemberRun(n, 1, Status.OK, 1.0) for n in "abc"),
            "outputs": outputs, "status": np.zeros((1, 3), np.int8), "answer": outputs[:, 0], "degraded": False,
            "rows": 1, "input_digest": b"", "classes": ("no", "yes"),
        }  # fmt: skip
        decision = Decision(**(fields | changes))
        self.bodies[decision.id] = decision_codec.encode(decision)
        known = StoredOutcome(decision.id, 0, "truth", "user", ("no", "yes")[truth], None, 1.0, 1.0, JOINED)
        return Joined(decision_codec.pack(decision), {0: known}, {}, {0: frozenset({"truth"})}, {}, {})

    def show(self, *joined: Joined) -> None:
        """Ingest sees decisions, before anything is known of them."""
        watcher = self.learner.watcher()
        for each in joined:
            watcher.see(decision_codec.summary(self.bodies[each.decision.id]))
        with self.database.begin() as connection:
            watcher.keep(connection)

    def learn(self, *joined: Joined) -> None:
        with self.database.begin() as connection:
            self.learner.learn(connection, joined)
        self.learner.publish()

    @property
    def stored(self) -> learners.StoredLearner:
        with self.database.read() as connection:
            found = learners.learner(connection, "e")
        assert found is not None
        return found

    def counts(self, strategy: str) -> Any:
        """What a combiner has counted that nothing is forgotten of, ``[m, truth, said]``."""
        return learned.unpack(self.stored.state).combiners[strategy].state.arrays["counts"][0].tolist()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_every_row_with_a_truth_teaches_all_of_them_whoever_answered(project: Project) -> None:
    project.learn(project.told(0, 1, 1, 1), project.told(1, 0, 0, 1, source="caller", assigned="a", propensities=()))
    assert project.counts("both") == [[[0, 0], [1, 1]], [[0, 0], [1, 1]]]
    project.learn(project.told(0, 0, 1, 0))
    assert project.counts("both") == [[[1, 0], [1, 1]], [[1, 0], [1, 1]]]
    assert project.counts("one") == [[[0, 1], [1, 1]]]
    assert dict(project.stored.counts) == {"learned": 3}
    assert learned.read(project.home.learned, "e", project.stored.version).combiners.keys() == {"both", "one"}


def test_a_row_counts_once_and_only_where_the_outputs_are_on_record(project: Project) -> None:
    told = project.told(0, 1, 1, 1)
    bare = structs.replace(told.decision, shape=(1, 3, 0), outputs=b"")
    project.learn(told, told._replace(new={0: frozenset()}), told._replace(decision=bare))
    project.learn(told._replace(decision=structs.replace(told.decision, capture=mark("token"))))
    assert project.counts("one") == [[[0, 0], [0, 1]]]
    assert dict(project.stored.counts) == {"learned": 1, "no_reward": 2}


def test_rows_teach_in_the_order_in_which_their_requests_came(project: Project, tmp_path: Path) -> None:
    told = [project.told(i % 2, (i // 2) % 2, 1, i % 2) for i in range(8)]
    project.learn(*reversed(told))
    other = Project(tmp_path / "other")
    other.learn(*told)
    one, two = (learned.unpack(each.stored.state).combiners["both"].state for each in (project, other))
    assert all(np.array_equal(array, two.arrays[name]) for name, array in one.arrays.items())


def test_decisions_teach_when_they_are_made_how_members_agree(project: Project) -> None:
    project.serve(FIXED, [STRATEGIES[0], StrategyRoute("both", "online", ("b", "a", "c"), 1)])
    told = [project.told(1, 1, 0, 1) for _ in range(5)]
    project.show(*told)
    with project.database.read() as connection:
        assert learners.learner(connection, "e") is None  # there is nothing before the first outcome
    project.learn(*told[:2])
    version = project.stored.version
    project.show(*told[:1])
    project.show(project.told(0, 0, 1, 0, source="caller", assigned="a", propensities=()), *told[2:])

    def arrays() -> Any:
        return learned.unpack(project.stored.state).combiners["both"].state.arrays

    assert project.stored.version == version + 2
    assert arrays()["apart_who"][:, -1].tolist() == [2]  # c, which is the third of the strategy
    assert arrays()["rows"].tolist() == [2]
    moment = told[-1].decision.arrived
    assert arrays()["apart_since"].max() == told[0].decision.arrived < moment
    project.learn(told[-1])
    assert arrays()["cells"][0].sum() == pytest.approx(2 * (1 + 0.998 + 0.998**2))
    bare = project.told(0, 1, 1, 1, outputs=np.zeros((1, 3, 0), np.float32))
    version = project.stored.version
    project.show(bare)
    assert project.stored.version == version  # its outputs were not recorded


def test_of_many_decisions_at_once_some_are_looked_at(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.control.learning.combining.WATCHED", 10)
    learning = served(project.routing, "e")
    assert learning is not None
    told = [project.told(0, 1, 1, 1) for _ in range(95)]
    with project.database.read() as connection:
        found = project.learner._revision(connection, "e", project.revision)
    assert found is not None
    sights = learning.sights(found[1], [decision_codec.summary(project.bodies[each.decision.id]) for each in told])
    assert {name: len(sight.at) for name, sight in sights.items()} == {"both": 10, "one": 10}
    assert sights["both"].outputs.shape == (10, 2, 2)
    assert (np.diff(sights["one"].at) == 10).all()


def test_a_new_policy_keeps_what_combiners_know_and_a_new_member_does_not(project: Project) -> None:
    old = project.told(0, 1, 1, 1)
    project.learn(old)
    project.serve(THOMPSON)
    project.learn(project.told(0, 1, 1, 1))
    assert project.counts("one") == [[[0, 0], [0, 2]]]
    assert dict(project.stored.counts) == {"learned": 1}
    project.serve(THOMPSON, c="another file")
    project.learn(project.told(0, 1, 1, 1))
    assert project.counts("one") == [[[0, 0], [0, 1]]]
    assert project.counts("both")[0] == [[0, 0], [0, 3]]
    project.learn(old)  # decided with the other c: what a and b said is as good as ever
    assert project.counts("one") == [[[0, 0], [0, 1]]]
    assert project.counts("both")[0] == [[0, 0], [0, 4]]


def test_a_policy_scores_a_strategy_by_what_it_knew_before_the_outcome(project: Project) -> None:
    """Member b is always wrong, which 'both' knows by then: it earns what the policy is told."""
    project.serve(THOMPSON, [STRATEGIES[0], StrategyRoute("both", "online", ("b",), 1)])
    project.learn(*(project.told(0, i % 2, 0, 1 - i % 2) for i in range(60)))
    learning = served(project.routing, "e")
    assert learning is not None
    first = view(learning, project.stored).shares["both"]
    project.learn(*(project.told(0, i % 2, 0, 1 - i % 2) for i in range(60)))
    assert first < 0.001  # nothing of the first sixty was known before them
    assert view(learning, project.stored).shares["both"] == pytest.approx(0.5)  # a is right half of the time


def test_what_is_shown_and_what_is_forgotten(project: Project) -> None:
    project.learn(*(project.told(1, i % 2, 0, 1) for i in range(40)))
    learning = served(project.routing, "e")
    assert learning is not None
    shown = view(learning, project.stored)
    assert (shown.policy, shown.reward, shown.shares) == ("fixed", None, {"a": 1.0, "both": 0.0, "one": 0.0})
    assert shown.combiners["both"].rows == 40
    assert sum(shown.combiners["both"].trust.values()) == pytest.approx(1)
    assert shown.combiners["both"].trust["a"] > shown.combiners["both"].trust["b"]
    version = project.stored.version
    shown = forget(project.database, learning, "me", 1.0)
    assert (shown.version, shown.combiners["both"].rows) == (version + 1, 0)


def test_without_a_combiner_that_learns_nothing_is_kept(project: Project) -> None:
    project.serve(FIXED, [STRATEGIES[0]])
    project.learn(project.told(0, 1, 1, 1))
    with project.database.read() as connection:
        assert learners.learner(connection, "e") is None
    assert served(project.routing, "e") is None
