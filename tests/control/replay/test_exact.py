"""Exact replay: other strategies' answers from the logged outputs, against the plain computation."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from quorate.control.replay.asked import Question
from quorate.control.replay.run import replay
from quorate.core.combine.vote import Vote
from quorate.core.stats.intervals import paired_difference, wilson
from quorate.core.types import MemberRun, Outcome, Status
from quorate.errors import InvalidInput, NotFound

from .conftest import CLASSES, START, STRATEGIES, Log, decided, drawn, told


def logged(count: int = 60) -> tuple[list[Any], list[Any], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    outputs, labels = drawn(count), rng.integers(2, size=count)
    decisions = [decided(i, outputs[i], assigned=STRATEGIES[i % 2]) for i in range(count)]
    return decisions, [told(d, CLASSES[t]) for d, t in zip(decisions, labels, strict=True)], outputs[:, 0], labels


@pytest.mark.parametrize("compacted", [False, True])
def test_a_strategy_is_computed_from_the_outputs(log: Any, compacted: bool) -> None:
    decisions, outcomes, outputs, labels = logged()
    segment = log.write(decisions, outcomes)
    if compacted:
        pytest.importorskip("pyarrow")
        log.compact(segment)
    right = outputs[:, 0].argmax(axis=1) == labels
    live = np.array([d.answer.argmax() for d in decisions]) == labels
    found = log.replay("best")
    assert (found.method, found.metric, found.counts.used, found.counts.rows) == ("exact", "accuracy", 60, 60)
    assert astuple(found.candidate)[:3] == pytest.approx(wilson(int(right.sum()), 60))
    assert astuple(found.live)[:3] == pytest.approx(wilson(int(live.sum()), 60))
    assert astuple(found.difference)[:3] == pytest.approx(paired_difference(right, live))
    assert (found.reproduced, found.differing) == (30, 0)
    assert (found.files.compacted, found.files.segments) == ((1, 0) if compacted else (0, 1))
    given = log.replay({"kind": "vote", "voting": "hard", "members": ["a", "c"]})
    said = Vote(Vote.Params(voting="hard")).combine(outputs[:, [0, 2]], np.zeros((60, 2), np.int8)).argmax(axis=1)
    assert given.candidate.value == np.mean(said == labels)
    member = log.replay("c")
    assert member.candidate.value == np.mean(outputs[:, 2].argmax(axis=1) == labels)
    policy = log.replay(policy={"kind": "split", "weights": {"average": 1, "best": 3}})
    mean = outputs.mean(axis=1).argmax(axis=1) == labels
    assert policy.candidate.value == pytest.approx(np.mean(0.25 * mean + 0.75 * right))


def test_which_decisions_are_used_and_why_others_are_not(log: Any) -> None:
    outputs = drawn(12)
    failed, skipped = np.int8([[0, 1, 0]]), np.int8([[0, 2, 0]])
    plain = {"assigned": "best", "propensities": (0.5, 0.5)}
    decisions = [
        decided(0, outputs[0], **plain),
        decided(1, outputs[1], **plain, source="rule"),
        decided(2, outputs[2], **plain, source="caller"),
        decided(3, outputs[3], **plain, source="cache"),
        decided(4, outputs[4], **plain, answer=None, served=None, error="no_quorum"),
        decided(5, outputs[5], **plain, abstained=True),
        decided(6, outputs[6], **plain),  # no outcome
        decided(7, outputs[7][:, :, :0], **plain, answer=outputs[7][:, 0]),  # sampled: without outputs
        decided(8, outputs[8], **plain, status=failed, degraded=True),  # one of three failed: two are its quorum
        decided(9, outputs[9], **plain, status=skipped),
        decided(10, outputs[10], **plain, status=np.int8([[0, 1, 1]])),
        decided(11, outputs[11], assigned="best", served="average"),
        decided(12, outputs[0], **plain, endpoint="other"),
    ]
    log.write(decisions, [told(d, "yes") for d in decisions if not d.id.endswith("6")])
    found = log.replay("average", method="exact")
    assert found.counts.left_out == {
        "chosen by the caller": 1,
        "answered from the cache": 1,
        "answered with an error": 1,
        "abstained": 1,
        "no outcome": 1,
        "outputs not recorded": 1,
        "members not run": 1,
        "too few members had answered": 1,
    }
    counts = found.counts
    assert (counts.decisions, counts.with_outcome, counts.used, counts.degraded, counts.fell_back) == (12, 11, 4, 1, 1)
    assert counts.decisions == counts.used + sum(counts.left_out.values())
    truth = CLASSES.index("yes")
    answers = [outputs[i].mean(axis=1) for i in (0, 1, 11)] + [outputs[8][:, [0, 2]].mean(axis=1)]
    assert found.candidate.value == np.mean([a.argmax() == truth for a in answers])
    assert any("Only 4 decisions" in warning for warning in found.warnings)


def test_rows_of_one_request_belong_together(log: Any) -> None:
    outputs = drawn(40, rows=3)
    decisions = [decided(i, outputs[i]) for i in range(40)]
    labels = np.random.default_rng(2).integers(2, size=(40, 3))
    outcomes = [told(d, CLASSES[labels[i, row]], row) for i, d in enumerate(decisions) for row in (0, 2)]
    log.write(decisions, outcomes)
    found = log.replay("b")
    rows = [0, 2]
    assert (found.counts.used, found.counts.rows) == (40, 80)
    assert found.candidate.value == np.mean(outputs[:, rows, 1].argmax(axis=2) == labels[:, rows])
    assert found.live.value == np.mean(outputs[:, rows].mean(axis=2).argmax(axis=2) == labels[:, rows])
    assert "Student" in found.interval


def test_time_revision_and_slots(log: Any) -> None:
    pytest.importorskip("pyarrow")
    outputs = drawn(30)
    first = [decided(i, outputs[i], revision=1 + i // 20) for i in range(30)]
    second = [decided(i, outputs[i], slot=1) for i in range(30)]
    log.compact(log.write(first, [told(d, "yes") for d in first]))
    log.write(second, [told(d, "yes") for d in second], slot=1)
    assert log.replay("a").counts.used == 60
    assert log.replay("a", since=START + 10).counts.used == 40
    assert log.replay("a", since=START + 10, until=START + 15).counts.decisions == 10
    assert log.replay("a", revision=2).counts.used == 10
    with pytest.raises(InvalidInput, match="No decision of endpoint 'main' can be used for 'accuracy': 0 in this time"):
        log.replay("a", until=START - 10_000)


def test_of_several_sources_the_best_counts(log: Any) -> None:
    decisions = [decided(i, drawn(1)[0]) for i in range(3)]
    answer = CLASSES[int(drawn(1)[0, 0, 0].argmax())]
    other = CLASSES[1 - CLASSES.index(answer)]
    log.write(
        decisions,
        [
            told(decisions[0], other, source="user"),
            told(decisions[0], answer, source="ground_truth"),
            told(decisions[1], other, source="expert"),
            told(decisions[1], answer, source="user"),
            told(decisions[2], answer, source="user"),
        ],
    )
    assert log.replay("a").candidate.value == pytest.approx(2 / 3)


def test_a_regression_is_measured_by_its_error(project: Any) -> None:
    for name in ("p", "q"):
        project.model(name, targets=("price",))
    text = "{pool: prices, strategies: {mean: {kind: mean}, p: {kind: single, member: p}}, policy: mean}"
    project.write(f"pools: {{prices: {{task: regression, members: [p, q]}}}}\nendpoints: {{main: {text}}}\n")
    log = Log(project)
    outputs = np.random.default_rng(0).normal(size=(20, 1, 2, 1)).astype(np.float32)
    members = tuple(MemberRun(name, 1, Status.OK, 1.0) for name in ("p", "q"))
    decisions = [
        decided(i, outputs[i], assigned="mean", strategies=("mean", "p"), propensities=(1.0, 0.0), members=members,
                answer=outputs[i].mean(axis=1), output_kind="values", classes=("price",))
        for i in range(20)
    ]  # fmt: skip
    log.write(decisions, [Outcome(d.id, 0, 0.25, at=1.0) for d in decisions])
    found = log.replay("p")
    error = np.abs(outputs[:, 0, 0, 0].astype(float) - 0.25)
    live = np.abs(outputs.mean(axis=2)[:, 0, 0].astype(float) - 0.25)
    assert (found.metric, found.higher_is_better) == ("error", False)
    assert found.candidate.value == pytest.approx(error.mean())
    assert found.difference.value == pytest.approx((error - live).mean())
    with pytest.raises(InvalidInput, match="is measured by error; got 'accuracy'"):
        log.replay("p", metric="accuracy")


def test_fitted_states_come_from_the_registry(log: Any) -> None:
    log.project.weights("tuned", ["a", "b", "c"], [0.0, 0.0, 2.0])
    decisions, outcomes, outputs, labels = logged()
    log.write(decisions, outcomes)
    found = log.replay({"kind": "weighted", "state": "tuned"})
    assert found.candidate.value == np.mean(outputs[:, 2].argmax(axis=1) == labels)


@pytest.mark.parametrize(
    ("asked", "path", "message"),
    [
        ({"strategy": {"kind": "nope"}}, "strategy.kind", "There is no kind 'nope'"),
        ({"strategy": {"kind": "mean", "members": ["z"]}}, "strategy.members[0]", "there is no member 'z'"),
        ({"strategy": {"kind": "mean", "state": "none"}}, "strategy.state", "none"),
        ({"strategy": {"kind": "online"}}, "strategy.kind", "learns from outcomes"),
        ({"policy": {"kind": "split", "weights": {"zz": 1}}}, "policy.weights.zz", "there is no strategy 'zz'"),
        ({"policy": {"kind": "split"}}, "policy.weights", "missing"),
        ({"strategy": "a", "policy": {"kind": "split"}}, "strategy", "got both"),
        ({}, "strategy", "got neither"),
        ({"strategy": "a", "since": 5.0, "until": 5.0}, "until", "since must be before until"),
        ({"strategy": "a", "since": float("nan")}, "since", "Unix seconds"),
        ({"strategy": "a", "metric": "clicks", "method": "exact"}, "method", "is not known"),
    ],
)
def test_what_cannot_be_is_refused_by_name(log: Any, asked: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        log.replay(**asked)
    assert refused.value.path == path


def test_an_unknown_name_is_not_found(log: Any) -> None:
    with pytest.raises(
        NotFound, match="has and had no strategy 'zz'; expected one of average, best, or one of its mem"
    ):
        log.replay("zz")
    parts = log.project
    with pytest.raises(NotFound, match="There is no endpoint 'nope'; expected one of: main"):
        replay(Question("nope", "a"), parts.home, parts.database, parts.registry, parts.clock)
