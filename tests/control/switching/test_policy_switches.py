"""Switches that a policy makes by itself, as its state tells them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs import learned
from quorate.codecs.learned import Learned
from quorate.control.switching.quantities import find
from quorate.control.switching.recording import EVERY_S, Recorder
from quorate.control.switching.report import report, summaries
from quorate.core.select.base import Feedback
from quorate.core.select.best import Best, BestParams
from quorate.core.types import State
from quorate.store import learners, switches
from quorate.store.learners import StoredLearner


def _learn(history: Any, version: int, count: int, at: float | None, *, key: str = "k", **last: Any) -> None:
    told = {"at": at, "from": "average", "to": "best", "why": "better reward by more than 0.01"} | last
    state = learned.pack(Learned("main", key, version, State("best", 1, {"switches": count, "last": told})))
    stored = StoredLearner("main", key, version, state, history.start * 60.0, history.clock.now())
    with history.database.begin() as connection:
        learners.put(connection, stored)


def _summaries(history: Any) -> list[tuple[int, str, int]]:
    return [(each.number, each.cause, each.missed) for each in summaries(history.database, "main")]


def test_a_policy_s_switch_is_told_like_any_other(history: Any) -> None:
    history.apply("{kind: split, weights: {average: 1, best: 1}}")
    at = history.at(30, 5.0)
    _learn(history, 5, 1, at)
    history.traffic(range(30), 1, "average", [8.0] * 50)
    history.traffic(range(31, 90), 1, "best", [4.0] * 50)
    history.judge(range(30), 1, "average", 40, 10)
    history.judge(range(31, 90), 1, "best", 45, 5)
    history.at(120)
    assert _summaries(history) == [(1, "policy", 0)]
    found = report(history.database, history.reader, history.served, "main", None, now=history.clock.now())
    assert found.at == at
    assert found.what == "the policy changed from 'average' to 'best' (better reward by more than 0.01)"
    accuracy = find(found.quantities, "accuracy")
    assert accuracy is not None
    assert (accuracy.before, accuracy.after) == pytest.approx((0.8, 0.9))
    assert found.before.requests == found.after.requests == 1500
    assert found.warm_up == ()
    assert any("loads nothing" in note for note in found.notes)


def test_those_that_were_not_seen_are_counted(history: Any) -> None:
    history.apply()
    _learn(history, 1, 1, history.at(1))
    assert _summaries(history) == [(1, "policy", 0)]
    _learn(history, 2, 4, history.at(2))
    assert _summaries(history) == [(2, "policy", 2), (1, "policy", 0)]
    _learn(history, 3, 1, history.at(3), key="another policy")
    assert _summaries(history)[0] == (3, "policy", 0)
    _learn(history, 4, 1, history.at(4), key="another policy")
    assert len(_summaries(history)) == 3


def test_the_policy_best_tells_its_switches_so(history: Any) -> None:
    history.apply()
    best = Best(["average", "best"], BestParams(min_evidence=5, window_rows=100, checks=1, check_rows=10))
    at = history.start * 60.0
    told = [Feedback({}, {}, (1.0, 0.0), 0, np.array([0.0, 1.0]), at + i, 1.0) for i in range(30)]
    state = best.learn(best.initial(), told)
    with history.database.begin() as connection:
        packed = learned.pack(Learned("main", "k", 1, state))
        learners.put(connection, StoredLearner("main", "k", 1, packed, at, at + 30))
    [found] = summaries(history.database, "main")
    assert found.what.startswith("the policy changed from 'average' to 'best' (better reward")
    assert at < found.at <= at + 30


@pytest.mark.parametrize(
    "meta", [{}, {"switches": 0, "last": None}, {"switches": "2", "last": {}}, {"switches": 2, "last": None}]
)
def test_states_that_tell_no_switches(history: Any, meta: dict[str, Any]) -> None:
    history.apply()
    packed = learned.pack(Learned("main", "k", 1, State("thompson", 1, meta)))
    with history.database.begin() as connection:
        learners.put(connection, StoredLearner("main", "k", 1, packed, 0.0, 0.0))
    assert summaries(history.database, "main") == []
    with history.database.begin() as connection:
        learners.put(connection, StoredLearner("main", "k", 2, b"nothing", 0.0, 0.0))
    assert summaries(history.database, "main") == []


def test_the_recorder_keeps_what_the_state_forgets(history: Any) -> None:
    history.apply()
    recorder = Recorder(history.database, history.clock)
    _learn(history, 1, 1, history.at(1))
    recorder.look()
    _learn(history, 2, 2, history.at(2))
    recorder.look()  # too soon
    with history.database.read() as connection:
        assert [each.detail["missed"] for each in switches.switches(connection, "main")] == [0]
    history.clock.advance(EVERY_S)
    recorder.look()
    with history.database.read() as connection:
        assert [each.mark for each in switches.switches(connection, "main")] == ["k:1", "k:2"]
    _learn(history, 3, 2, history.at(3))  # nothing new
    history.clock.advance(EVERY_S)
    recorder.look()
    assert len(_summaries(history)) == 2


def test_a_switch_without_a_time_has_that_of_the_state(history: Any) -> None:
    history.apply()
    history.at(7)
    _learn(history, 1, 1, None)
    [found] = summaries(history.database, "main")
    assert found.at == history.clock.now()
