"""The learner: every row once, scored for all strategies where that can be known, kept and published."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quorate import plugins
from quorate.cli import main
from quorate.clock import SystemClock
from quorate.codecs import decision as decision_codec
from quorate.codecs import learned, snapshot
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.snapshot import (
    EndpointRoute,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    RewardRoute,
    Routing,
    StrategyRoute,
)
from quorate.control.journal.ingest import ingest_lock
from quorate.control.learning.learner import Learner, served
from quorate.control.learning.routes import forget
from quorate.control.learning.views import view
from quorate.control.listening import catch_up
from quorate.control.outcomes.joined import Joined
from quorate.control.revisions.publication import content
from quorate.core.erasing import mark
from quorate.core.params import NoParams
from quorate.core.select.base import Feedback, Policy
from quorate.core.types import Decision, MemberRun, Outcome, OutputSpec, Signature, State, Status
from quorate.core.value import ValueSpec
from quorate.errors import RegistryError
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import learners
from quorate.store.audit import entries
from quorate.store.database import Database
from quorate.store.ledger import JOINED, StoredOutcome
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock

SIGNATURE = Signature("array", (), OutputSpec("scores", ("no", "yes")))


class Adding(Policy):
    """Adds up the rewards it is told."""

    kind = "adding"
    learns = True
    Params = NoParams
    broken = False

    def check(self) -> None:
        pass

    def initial(self) -> State:
        return State("adding", 1, {}, {"sum": np.zeros(len(self.strategies)), "known": np.zeros(len(self.strategies))})

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return np.full(len(self.strategies), 1 / len(self.strategies))

    def learn(self, state: State | None, feedback: Sequence[Feedback]) -> State | None:
        if Adding.broken:
            raise ZeroDivisionError
        assert state is not None
        rewards = np.stack([each.rewards for each in feedback])
        arrays = {
            "sum": state.arrays["sum"] + np.nansum(rewards, axis=0),
            "known": state.arrays["known"] + np.isfinite(rewards).sum(axis=0),
        }
        return dataclasses.replace(state, arrays=arrays)


class Project:
    """An endpoint over two members, and strategies ``a``, ``b`` and ``both``; decisions made by hand."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, new_store: Callable[[str], Database]) -> None:
        load = plugins.load
        monkeypatch.setattr(plugins, "load", lambda f, n: Adding if (f, n) == ("policies", "adding") else load(f, n))
        self.home = Home(root)
        self.database = new_store(self.home.store_url)
        members = tuple(MemberRoute(name, 1, "onnx", name, {}, SIGNATURE, (), "y", []) for name in "ab")
        self.pool = PoolRoute("pool", "classification", SIGNATURE, members)
        self.revision = 0
        self.version = 0
        self.sequence = 0
        self.state: dict[str, str] | None = None
        self.value: ValueSpec | None = None
        self.serve()
        self.learner = Learner(self.home, self.database, lambda digest: b"", FakeClock(now=5000.0))

    def serve(self, reward: RewardRoute = RewardRoute(), **policy: Any) -> None:  # noqa: B008
        """Apply another revision."""
        self.version += 1
        route = PolicyRoute(policy.pop("kind", "adding"), reward=reward, **policy)
        strategies = (
            StrategyRoute("a", "single", ("a",), 1),
            StrategyRoute("b", "single", ("b",), 1),
            StrategyRoute("both", "mean", ("a", "b"), 2, state=self.state),
        )
        endpoint = EndpointRoute("e", 0, "pool", strategies, route, value=self.value)
        with self.database.begin() as connection:
            text = content(endpoint, self.pool)
            self.revision = add_revision(connection, "e", text, author="me", now=1.0).number
        endpoint = msgspec.structs.replace(endpoint, revision=self.revision)
        snapshot.write(self.home.snapshot, Routing(self.version, (self.pool,), (endpoint,)))

    def decision(self, a: float, b: float, assigned: str = "a", **changes: Any) -> Decision:
        """Members that are so sure of "yes"."""
        self.sequence += 1
        outputs = np.array([[[1 - a, a], [1 - b, b]]], np.float32)
        answer = {"a": outputs[:, 0], "b": outputs[:, 1], "both": outputs.mean(axis=1)}[assigned]
        fields: dict[str, Any] = {
            "id": str(DecisionId(self.sequence, 0, 0, self.sequence)), "endpoint": "e", "revision": self.revision,
            "state_version": 0, "source": "policy", "arrived": 600.0, "queue_ms": 0.0, "latency_ms": 5.0,
            "context": {"k": 1}, "strategies": ("a", "b", "both"), "propensities": (0.5, 0.25, 0.25),
            "assigned": assigned, "served": assigned,
            "members": tuple(MemberRun(name, 1, Status.OK, 1.0) for name in "ab"), "outputs": outputs,
            "status": np.zeros((1, 2), np.int8), "answer": answer, "degraded": False, "rows": 1, "input_digest": b"",
            "classes": ("no", "yes"),
        }  # fmt: skip
        return Decision(**(fields | changes))

    def journal(self, decisions: Sequence[Decision], outcomes: Sequence[Outcome]) -> None:
        """Write a segment of both."""
        records = [(RecordKind.DECISION, decision_codec.encode(decision)) for decision in decisions]
        records += [(RecordKind.OUTCOME, outcome_codec.encode(outcome)) for outcome in outcomes]
        path = self.home.journal / "0" / segment_name(0, 1)
        path.parent.mkdir(parents=True)
        path.write_bytes(
            encode_header(Header(0, 0, 1, 1, 7))
            + b"".join(encode_record(kind, i, payload, 7) for i, (kind, payload) in enumerate(records, 1))
        )

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

    def sums(self) -> tuple[list[float], list[float]]:
        arrays = learned.unpack(self.stored.state).state.arrays
        return arrays["sum"].tolist(), arrays["known"].tolist()


def truth(decision: Decision, label: str = "yes", *, new: bool = True) -> Joined:
    known = StoredOutcome(decision.id, 0, "truth", "user", label, None, 1.0, 1.0, JOINED)
    return Joined(decision_codec.pack(decision), {0: known}, {}, {0: frozenset({"truth"} if new else ())}, {}, {})


def rewarded(decision: Decision, **rewards: float) -> Joined:
    return Joined(decision_codec.pack(decision), {}, {0: rewards}, {0: frozenset(rewards)}, {}, {})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: Callable[[str], Database]) -> Project:
    return Project(tmp_path, monkeypatch, new_store)


def test_with_the_truth_every_strategy_has_a_reward(project: Project) -> None:
    project.learn(truth(project.decision(0.9, 0.2)), truth(project.decision(0.9, 0.8), "no"))
    project.learn(truth(project.decision(0.4, 0.8, "both")))
    assert project.sums() == ([1.0, 1.0, 2.0], [3.0, 3.0, 3.0])
    assert dict(project.stored.counts) == {"learned": 3}
    assert (project.stored.version, project.stored.updated) == (3, 5000.0)


def test_without_the_members_outputs_only_the_drawn_one_has_a_reward(project: Project) -> None:
    bare = project.decision(0.9, 0.2, "b")
    project.learn(truth(bare._replace(outputs=bare.outputs[:, :, :0]), "no"))
    assert project.sums() == ([0.0, 1.0, 0.0], [0.0, 1.0, 0.0])


def test_a_strategy_whose_member_did_not_run_is_not_known_and_one_with_too_few_neither(project: Project) -> None:
    for status in (Status.SKIPPED, Status.FAILED):
        project.learn(truth(project.decision(0.9, 0.9)._replace(status=np.array([[Status.OK, status]], np.int8))))
    assert project.sums() == ([2.0, 0.0, 0.0], [2.0, 0.0, 0.0])


def test_the_drawn_one_earns_what_the_caller_got(project: Project) -> None:
    fell_back = project.decision(0.9, 0.2)
    project.learn(truth(fell_back._replace(served="b", answer=fell_back.outputs[:, 1])))
    project.learn(truth(project.decision(0.9, 0.2)._replace(served=None, answer=None, error="no_quorum")))
    assert project.sums()[0][0] == 0.0


def test_a_reward_by_name_is_of_the_drawn_one_between_its_bounds(project: Project) -> None:
    project.serve(RewardRoute("revenue", -10.0, 10.0))
    project.learn(
        rewarded(project.decision(0.9, 0.2, "b"), revenue=5.0, clicks=3.0),
        rewarded(project.decision(0.9, 0.2, "a"), revenue=1e9),
        rewarded(project.decision(0.9, 0.2, "a"), clicks=1.0),
        truth(project.decision(0.9, 0.2)),
    )
    assert project.sums() == ([1.0, 0.75, 0.0], [1.0, 1.0, 0.0])
    assert dict(project.stored.counts) == {"learned": 2, "no_reward": 2}


def test_the_value_is_of_all_strategies_where_it_follows_from_the_truth(project: Project) -> None:
    project.value = ValueSpec(correct=1.0, error=-3.0, per_ms=-0.1)
    project.serve(RewardRoute("value", -4.0, 4.0))
    told = truth(project.decision(0.9, 0.2))
    project.learn(told._replace(values={0: 0.5}, valued=frozenset({0})))
    project.learn(told._replace(values={0: 0.5}))
    assert project.sums()[0] == pytest.approx([4.5 / 8, 0.5 / 8, 4.5 / 8])
    project.value = ValueSpec(correct=1.0, rewards={"revenue": 1.0})
    project.serve(RewardRoute("value", -4.0, 4.0))
    told = truth(project.decision(0.9, 0.2, "b"))
    project.learn(told._replace(values={0: 2.0}, valued=frozenset({0})))
    assert project.sums() == ([0.0, 0.75, 0.0], [0.0, 1.0, 0.0])


def test_what_is_not_new_and_what_the_policy_did_not_draw_is_not_learned_from(project: Project) -> None:
    project.learn(truth(project.decision(0.9, 0.2), new=False), truth(project.decision(0.9, 0.2, source="caller")))
    assert project.sums()[1] == [0.0, 0.0, 0.0]
    assert dict(project.stored.counts) == {"learned": 0, "not_drawn": 1}
    assert project.stored.version == 1


def test_another_policy_begins_anew_and_does_not_learn_from_what_was_decided_before(project: Project) -> None:
    old = project.decision(0.9, 0.2)
    project.learn(truth(old))
    project.serve(blind=True)  # the same policy
    project.learn(truth(project.decision(0.9, 0.2)))
    assert (project.stored.version, project.sums()[1][0]) == (3, 2.0)
    project.serve(RewardRoute("accuracy", 1.0, 0.0))
    project.learn(truth(old))
    assert (project.stored.version, project.sums()[1][0]) == (4, 0.0)
    assert dict(project.stored.counts) == {"other_policy": 1}
    project.learn(truth(project.decision(0.9, 0.2)))
    assert (project.stored.version, project.sums()[0]) == (5, [0.0, 1.0, 0.0])


def test_what_was_erased_is_not_learned_from(project: Project) -> None:
    project.learn(truth(project.decision(0.9, 0.2, capture=mark("token"))))
    assert dict(project.stored.counts) == {"erased": 1, "learned": 0}


def test_a_transaction_that_is_rolled_back_leaves_nothing(project: Project) -> None:
    def killed() -> None:
        with project.database.begin() as connection:
            project.learner.learn(connection, [truth(project.decision(0.9, 0.2))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        killed()
    with project.database.read() as connection:
        assert learners.learner(connection, "e") is None
    project.learner.publish()
    assert learned.versions(project.home.learned) == {}


def test_a_policy_that_raises_holds_nothing_up(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Adding, "broken", True)
    project.learn(truth(project.decision(0.9, 0.2)))
    assert "could not learn from 1 rows" in caplog.text
    assert dict(project.stored.counts) == {"failed": 1, "learned": 0}
    monkeypatch.setattr(Adding, "broken", False)
    project.learn(truth(project.decision(0.9, 0.2)))
    assert project.sums()[1][0] == 1.0


def test_what_was_learned_is_published_and_what_a_crash_kept_back_at_the_next_start(project: Project) -> None:
    with project.database.begin() as connection:
        project.learner.learn(connection, [truth(project.decision(0.9, 0.2))])
    assert learned.versions(project.home.learned) == {}  # killed before it published
    Learner(project.home, project.database, lambda digest: b"", FakeClock()).publish()
    assert learned.versions(project.home.learned) == {"e": 2}
    found = learned.read(project.home.learned, "e", 2)
    assert (found.key, found.state.arrays["sum"].tolist()) == (project.stored.key, project.sums()[0])


def test_a_strategy_whose_fitted_state_is_lost_is_not_known(project: Project) -> None:
    def lost(digest: str) -> bytes:
        raise RegistryError("gone.")

    project.learner = Learner(project.home, project.database, lost, FakeClock())
    project.state = {"state.json": "1", "arrays.npz": "2"}
    project.serve()
    project.learn(truth(project.decision(0.9, 0.2)))
    assert project.sums()[1] == [1.0, 1.0, 0.0]


def test_a_policy_that_is_not_installed_here_is_told(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.serve(kind="of-another-release")
    project.learn(truth(project.decision(0.9, 0.2)))
    assert "The policy of 'e' does not learn" in caplog.text


def test_a_policy_begins_with_what_another_left(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    first = [project.decision(0.9, 0.2), project.decision(0.4, 0.8, "both"), project.decision(0.9, 0.2)]
    project.serve(RewardRoute("clicks"))
    second = [project.decision(0.4, 0.8, "b"), project.decision(0.9, 0.2, source="caller")]
    project.journal([*first, *second], [Outcome(d.id, 0, "yes", at=1.0, received=1.0) for d in [*first[:2], *second]])
    project.serve(RewardRoute())
    with ingest_lock(project.home) as mine:
        assert mine
        catch_up(project.home, project.database, SystemClock())
    assert dict(project.stored.counts) == {"learned": 2, "other_policy": 2}

    (project.home.root / "quorate.yaml").write_text("")
    with pytest.raises(SystemExit) as stop:
        main(["learner", "warm-start", "e", "--since", "0", "--json", "--project", str(project.home.root)])
    assert stop.value.code == 0, capsys.readouterr()
    assert json.loads(capsys.readouterr().out)["rows"] == {"learned": 3, "not_drawn": 1}
    assert project.sums() == ([1.0, 2.0, 3.0], [3.0, 3.0, 3.0])
    with project.database.read() as connection:
        assert entries(connection)[0].action == "learner.warm_start"
    with pytest.raises(SystemExit):
        main(["learner", "warm-start", "e", "--since", "1d", "--json", "--project", str(project.home.root)])
    assert project.sums()[1] == [0.0, 0.0, 0.0]


def test_it_forgets_when_it_is_told_to_and_its_version_grows(project: Project) -> None:
    learning = served(snapshot.read(project.home.snapshot), "e")
    assert learning is not None
    before = forget(project.database, learning, "key 1", 1.0)
    assert (before.version, before.rows, before.shares["both"]) == (1, {}, pytest.approx(1 / 3))
    project.learn(truth(project.decision(0.9, 0.2)))
    with project.database.read() as connection:
        known = view(learning, learners.learner(connection, "e"))
    assert (known.version, known.rows, known.state) == (2, {"learned": 1}, {"sum": [1, 0, 1], "known": [1, 1, 1]})
    after = forget(project.database, learning, "key 1", 2.0)
    assert (after.version, after.rows, after.state["known"]) == (3, {}, [0, 0, 0])
    project.learner.publish()
    assert learned.versions(project.home.learned) == {"e": 3}
    with project.database.read() as connection:
        (entry, _) = entries(connection)
    assert (entry.actor, entry.action, entry.subject) == ("key 1", "learner.reset", "e")
    assert entry.detail == {"version": 2, "rows": {"learned": 1}}
    assert served(snapshot.read(project.home.snapshot), "other") is None
