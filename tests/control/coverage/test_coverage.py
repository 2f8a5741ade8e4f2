"""Coverage from what is logged: measured where a set was asked for, learned from every truth, shown from the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import learned, snapshot
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import (
    ConformalRoute,
    EndpointRoute,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    Routing,
    StrategyRoute,
)
from quorate.control.coverage.logged import promising
from quorate.control.coverage.measuring import CoverageListener
from quorate.control.coverage.report import CoverageReport, coverage_report
from quorate.control.coverage.shown import shown
from quorate.control.learning.learner import Learner, served
from quorate.control.learning.routes import view
from quorate.control.outcomes.joined import Joined
from quorate.control.revisions.publication import content
from quorate.core.conformal import adaptive
from quorate.core.conformal.calibrated import Calibrated, covers
from quorate.core.conformal.draws import draws
from quorate.core.erasing import mark
from quorate.core.types import Decision, MemberRun, OutputSpec, Signature, State, Status
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import learners
from quorate.store.database import Database
from quorate.store.ledger import JOINED, StoredOutcome
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock
from quorate.training.conformal import fit_conformal, fit_conformal_values

NewStore = Callable[[str], Database]
CLASSES = ("no", "yes", "so-so")
STATES: dict[str, State] = {}
RNG = np.random.default_rng(1)
P = RNG.dirichlet(np.ones(3), 400)
Y = (P.cumsum(axis=1) > RNG.random((400, 1))).argmax(axis=1)
STATES["lac"] = fit_conformal(P.astype(np.float32), Y, CLASSES)
STATES["own"] = fit_conformal(P.astype(np.float32), Y, CLASSES, conditional=True)
OUTPUTS = RNG.normal(size=(50, 2, 1)).astype(np.float32)
STATES["number"] = fit_conformal_values(
    OUTPUTS.mean(axis=1), RNG.normal(size=50), ("y",), score="normalised", outputs=OUTPUTS
)


def read(digest: str) -> bytes:
    name, _, file = digest.partition("/")
    return state_codec.encode(STATES[name])[file]


def conformal(name: str, **settings: Any) -> ConformalRoute:
    return ConformalRoute({file: f"{name}/{file}" for file in ("state.json", "arrays.npz")}, **settings)


class Project:
    """An endpoint over members a and b, and decisions made by hand."""

    def __init__(self, root: Path, new_store: NewStore, *strategies: StrategyRoute, output: OutputSpec) -> None:
        self.home = Home(root)
        self.database = new_store(self.home.store_url)
        signature = Signature("array", (), output)
        members = tuple(MemberRoute(n, 1, "onnx", n, {}, signature, (), "y", []) for n in "ab")
        self.pool = PoolRoute("pool", "classification", signature, members)
        policy = PolicyRoute("fixed", {"strategy": strategies[0].name})
        endpoint = EndpointRoute("e", 0, "pool", strategies, policy)
        with self.database.begin() as connection:
            number = add_revision(connection, "e", content(endpoint, self.pool), author="me", now=1.0).number
        self.endpoint = msgspec.structs.replace(endpoint, revision=number)
        self.routing = Routing(1, (self.pool,), (self.endpoint,))
        snapshot.write(self.home.snapshot, self.routing)
        self.output, self.sequence = output, 0
        self.listener = CoverageListener(read)
        self.learner = Learner(self.home, self.database, read, FakeClock(now=5000.0))

    def told(self, said: Any, truths: Any, facts: Any = None, served: str | None = "s", **changes: Any) -> Joined:
        self.sequence += 1
        answer = np.array(said, np.float32)
        n = len(answer)
        names = tuple(each.name for each in self.endpoint.strategies)
        fields: dict[str, Any] = {
            "id": str(DecisionId(self.sequence, 0, 0, self.sequence)), "endpoint": "e",
            "revision": self.endpoint.revision, "state_version": 0, "source": "policy",
            "arrived": 600.0 + self.sequence, "queue_ms": 0.0, "latency_ms": 5.0, "context": {},
            "strategies": names, "propensities": (1.0,) + (0.0,) * (len(names) - 1), "assigned": names[0],
            "served": served, "members": tuple(MemberRun(m, 1, Status.OK, 1.0) for m in "ab"),
            "outputs": np.repeat(answer[:, None], 2, axis=1), "status": np.zeros((n, 2), np.int8), "answer": answer,
            "degraded": False, "rows": n, "input_digest": b"", "output_kind": self.output.kind,
            "classes": self.output.classes or self.output.names, "facts": facts or {},
        }  # fmt: skip
        decision = Decision(**(fields | changes))
        known = {}
        for row, truth in enumerate(truths):
            label, value = (CLASSES[truth], None) if self.output.kind == "scores" else (None, float(truth))
            known[row] = StoredOutcome(decision.id, row, "truth", "user", label, value, 1.0, 1.0, JOINED)
        return Joined(decision_codec.pack(decision), known, {}, dict.fromkeys(known, frozenset({"truth"})), {}, {})

    def learn(self, *joined: Joined) -> None:
        with self.database.begin() as connection:
            self.listener.learn(connection, joined)
            self.learner.learn(connection, joined)
        self.learner.publish()

    def report(self) -> CoverageReport:
        mine = promising(self.endpoint, self.pool, read)
        with self.database.read() as connection:
            stored = learners.learner(connection, "e")
            known = {} if stored is None else learned.unpack(stored.state).combiners
            states = {n: known[learned.ADAPTIVE + n].state for n in mine if learned.ADAPTIVE + n in known}
            return coverage_report(connection, "e", mine, states)


SCORES = OutputSpec("scores", CLASSES)


def test_coverage_and_sizes_are_summed_by_what_was_asked_for(tmp_path: Path, new_store: NewStore) -> None:
    project = Project(
        tmp_path, new_store, StrategyRoute("s", "mean", ("a", "b"), 1, conformal=conformal("lac")), output=SCORES
    )
    calibrated = Calibrated(STATES["lac"])
    rng = np.random.default_rng(2)
    expected: dict[float, list[tuple[bool, int]]] = {0.8: [], 0.95: []}
    joined = []
    for i in range(60):
        p = rng.dirichlet(np.ones(3), 1 + i % 3)
        truths = rng.integers(0, 3, len(p)).tolist()
        coverage = (0.8, 0.95)[i % 2]
        joined.append(project.told(p, truths, {"coverage": coverage}))
        d = joined[-1].decision
        sets = calibrated.sets(p.astype(np.float32), draws(d.id, len(p)), calibrated.threshold(coverage))
        expected[coverage] += [
            (bool(inside[truth]), int(inside.sum())) for inside, truth in zip(sets, truths, strict=True)
        ]
    joined.append(project.told([[1.0, 0.0, 0.0]], [0]))  # nothing was asked for
    joined.append(project.told([[1.0, 0.0, 0.0]], [0], {"coverage": 0.8}, served="gone"))
    joined.append(project.told([[1.0, 0.0, 0.0]], [0], {"coverage": 0.8}, answer=None, served=None, error="no_quorum"))
    project.learn(*joined)
    (strategy,) = project.report().strategies
    assert (strategy.strategy, strategy.score, strategy.calibration_rows) == ("s", "lac", 400)
    assert [each.asked for each in strategy.promises] == [0.8, 0.95]
    for each in strategy.promises:
        mine = expected[each.asked]
        assert each.rows == len(mine)
        assert each.coverage == pytest.approx(np.mean([covered for covered, _ in mine]))
        assert each.low < each.coverage < each.high
        assert each.size == pytest.approx(np.mean([size for _, size in mine]))
    assert strategy.adaptive is None


def test_thresholds_on_record_and_of_each_class_count(tmp_path: Path, new_store: NewStore) -> None:
    strategies = (
        StrategyRoute("s", "mean", ("a", "b"), 1, conformal=conformal("own")),
        StrategyRoute("t", "mean", ("a",), 1, conformal=conformal("lac")),
    )
    project = Project(tmp_path, new_store, *strategies, output=SCORES)
    own = Calibrated(STATES["own"])
    limits = own.threshold(0.8).scores
    probe = [[1 - limits[c] + (0.01 if c == i else -0.01) for i in range(3)] for c in range(3)]
    project.learn(*(project.told([row], [c], {"coverage": 0.8}) for c, row in enumerate(probe)))
    assert project.report().strategies[0].promises[0].coverage == 1.0
    noted = {"coverage": 0.9, "coverage.threshold": 0.2, "coverage.tie": 1.0}
    unbounded = {"coverage": 0.9, "coverage.threshold": None, "coverage.tie": 1.0}
    told = [project.told([[0.7, 0.2, 0.1]], [0], facts, served="t") for facts in (noted, unbounded)]
    project.learn(*told)  # 0.3 is above 0.2; nothing is above what is unbounded
    with project.database.read() as connection:
        found = coverage_report(connection, "e", promising(project.endpoint, project.pool, read), {})
    by = {each.asked: each for each in found.strategies[0].promises}
    assert (by[0.9].rows, by[0.9].coverage, by[0.9].size) == (2, 0.5, 1.5)


def test_intervals_have_widths_where_they_are_bounded(tmp_path: Path, new_store: NewStore) -> None:
    route = StrategyRoute("s", "mean", ("a", "b"), 1, conformal=conformal("number"))
    project = Project(tmp_path, new_store, route, output=OutputSpec("values", names=("y",)))
    calibrated = Calibrated(STATES["number"])
    threshold = float(calibrated.threshold(0.9).scores[0])
    outputs = np.array([[[1.0], [3.0]]], np.float32)
    reach = threshold * (1.0 + STATES["number"].meta["floor"])
    lost = np.array([[0, 1]], np.int8)
    project.learn(
        project.told([[2.0]], [2.0 + 0.99 * reach], {"coverage": 0.9}, outputs=outputs),
        project.told([[2.0]], [2.0 + 1.01 * reach], {"coverage": 0.9}, outputs=outputs),
        project.told([[2.0]], [2.0], {"coverage": 0.9}, outputs=outputs, status=lost),
        project.told([[2.0]], [2.0], {"coverage": 0.9}, outputs=np.empty((1, 2, 0), np.float32)),
    )
    (found,) = project.report().strategies[0].promises
    assert (found.rows, found.coverage) == (3, pytest.approx(1 / 3))
    assert found.size == pytest.approx(2 * reach, rel=1e-5)


def test_an_adaptive_coverage_learns_from_every_truth_of_its_own_answers(tmp_path: Path, new_store: NewStore) -> None:
    strategies = (
        StrategyRoute("s", "mean", ("a", "b"), 1, conformal=conformal("lac", adaptive=True, coverage=0.85)),
        StrategyRoute("t", "mean", ("a",), 1, conformal=conformal("lac")),
    )
    project = Project(tmp_path, new_store, *strategies, output=SCORES)
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 80)
    truths = rng.integers(0, 3, 80)
    coverage = [None, 0.85, 0.9, 0.77]  # 0.77 is between levels
    facts = [{} if asked is None else {"coverage": asked} for asked in coverage]
    facts[2] |= {"coverage.threshold": 0.35, "coverage.tie": 1.0}
    project.learn(*(project.told(p[i : i + 1], [truths[i]], facts[i % 4]) for i in range(40)))
    project.learn(*(project.told(p[i : i + 2], truths[i : i + 2]) for i in range(40, 80, 2)))
    project.learn(
        project.told([[0.9, 0.05, 0.05]], [2], served="t"),
        project.told([[0.9, 0.05, 0.05]], [2], capture=mark("x")),
        project.told([[0.9, 0.05, 0.05]], [2], revision=7),
    )
    with project.database.read() as connection:
        stored = learners.learner(connection, "e")
    assert stored is not None
    known = learned.unpack(stored.state).combiners
    assert list(known) == [learned.ADAPTIVE + "s"]
    state = known[learned.ADAPTIVE + "s"].state
    calibrated = Calibrated(STATES["lac"])
    settings = adaptive.Adaptation(targets=tuple(sorted({*adaptive.TARGETS, 0.15})))
    scores = 1.0 - p.astype(np.float32).astype(np.float64)[np.arange(80), truths]
    ties = np.array([draws(str(DecisionId(i + 1, 0, 0, i + 1)), 1)[0, 1] for i in range(40)])
    pairs = [draws(str(DecisionId(i + 1, 0, 0, i + 1)), 2)[:, 1] for i in range(40, 60)]
    ties = np.concatenate([ties, *pairs])
    plain = calibrated.threshold(0.85)
    covered = np.ones(80, bool)
    covered[1:40:4] = covers(scores, ties, plain, np.zeros(80, np.intp))[1:40:4]
    covered[2:40:4] = scores[2:40:4] <= 0.35
    covered[3:40:4] = False  # of no level
    asked = np.full(80, np.nan)
    asked[1:40:4], asked[2:40:4], asked[3:40:4] = 0.85, 0.9, 0.77
    known_then = adaptive.learn(adaptive.start(calibrated, settings), scores, ties, settings, asked, covered)
    expected = adaptive.pack(known_then)
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(state.arrays[name], array, err_msg=name)
    (first, second) = project.report().strategies
    assert first.adaptive is not None
    assert (first.adaptive.rows, second.adaptive) == (80, None)
    assert 0.85 in [round(each.asked, 9) for each in first.adaptive.levels]
    learning = served(project.routing, "e")
    assert learning is not None
    assert learning.reward is None
    seen = view(learning, stored)
    assert seen.combiners == {}
    assert seen.coverage["s"] == first.adaptive
    read_back = learned.read(project.home.learned, "e", stored.version)
    assert read_back.combiners[learned.ADAPTIVE + "s"].key == learned.adaptive_key(strategies[0], project.pool)


def test_a_decision_is_shown_with_what_it_promised(tmp_path: Path, new_store: NewStore) -> None:
    route = StrategyRoute("s", "mean", ("a", "b"), 1, conformal=conformal("lac", abstain="ambiguous"))
    project = Project(tmp_path, new_store, route, output=SCORES)
    decision = decision_codec.decode(decision_codec.encode(_decision(project, [[0.34, 0.33, 0.33]], {"coverage": 0.9})))
    found = shown(decision, project.endpoint, project.pool, read)
    assert found is not None
    assert found.asked == 0.9
    assert found.rows is not None
    assert (found.rows[0].abstained, found.rows[0].reason) == (True, "ambiguous")
    unknown = shown(decision, None, None, read)
    assert unknown is not None
    assert unknown.rows is None
    lost = shown(decision, project.endpoint, project.pool, lambda digest: b"")
    assert lost is not None
    assert lost.rows is None
    bare = msgspec.structs.replace(project.endpoint, strategies=(StrategyRoute("s", "mean", ("a", "b"), 1),))
    uncalibrated = shown(decision, bare, project.pool, read)
    assert uncalibrated is not None
    assert uncalibrated.rows is not None
    assert (uncalibrated.rows[0].set, uncalibrated.rows[0].reason) == (list(CLASSES), "uncalibrated")
    assert shown(decision._replace(facts={}), project.endpoint, project.pool, read) is None


def _decision(project: Project, answer: Any, facts: Any) -> Decision:
    answer = np.array(answer, np.float32)
    return Decision(
        str(DecisionId(1, 0, 0, 1)), "e", 1, 0, "policy", 600.0, 0.0, 1.0, {}, ("s",), (1.0,), "s", "s",
        tuple(MemberRun(m, 1, Status.OK, 1.0) for m in "ab"), np.repeat(answer[:, None], 2, axis=1),
        np.zeros((1, 2), np.int8), answer, False, 1, b"", "scores", CLASSES, facts=facts,
    )  # fmt: skip
