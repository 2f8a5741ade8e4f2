"""Answers and votes as the page keeps them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.client import Answer, Prediction
from quorate.console.parts.record import Vote, of_answer, stages_of, votes_of
from quorate.console.parts.votes import agreement


def _member(name: str, status: str, outputs: list[float | None], reason: str | None = None) -> dict[str, Any]:
    return {"name": name, "latency_ms": 1.5, "row_status": [status], "reason": reason, "outputs": [outputs]}


def test_votes_are_the_members_own_labels_or_why_there_are_none() -> None:
    decision = {
        "classes": ["no", "yes"],
        "output_kind": "scores",
        "members": [
            _member("a", "ok", [0.25, 0.75]),
            _member("b", "failed", [None, None], "member_timeout"),
            _member("c", "skipped", [None, None]),
        ],
    }
    assert votes_of(decision) == [
        Vote("a", "yes", 0.75, 1.5),
        Vote("b", why="too slow"),
        Vote("c", why="not asked", asked=False),
    ]
    regression = {"classes": ["price"], "output_kind": "values", "members": [_member("a", "ok", [12.5])]}
    assert votes_of(regression) == [Vote("a", "12.5", None, 1.5)]


def test_an_answer_with_everything() -> None:
    one = Prediction("7", 0.9, {"7": 0.9, "1": 0.1})
    answer = Answer("id", "digits", (one,), "mean", degraded=True, missing=("b",), latency_ms=2.0)
    entry = of_answer(answer, 3, "picture", ())
    assert (entry.number, entry.id, entry.label, entry.confidence) == (3, "id", "7", 0.9)
    assert (entry.strategy, entry.degraded, entry.missing, entry.latency_ms) == ("mean", True, ("b",), 2.0)


def test_a_blind_answer_is_its_label() -> None:
    entry = of_answer(Answer("id", "blind", (Prediction("7"),)), 1, "picture", ())
    assert entry.label == "7"
    assert (entry.confidence, entry.probabilities, entry.strategy, entry.latency_ms) == (None, None, None, None)


@pytest.mark.parametrize(
    ("one", "units", "label", "unit"),
    [
        (Prediction(value=12.3456789), ("EUR",), "12.3457", "EUR"),
        (Prediction(values={"low": 1.0, "high": 2.0}), (), "1 · 2", ""),
    ],
)
def test_values_of_a_regression(one: Prediction, units: tuple[str, ...], label: str, unit: str) -> None:
    entry = of_answer(Answer("id", "e", (one,)), 1, "row", units)
    assert (entry.label, entry.unit) == (label, unit)


def test_who_was_not_asked_says_why() -> None:
    decision = {
        "classes": ["no", "yes"],
        "output_kind": "scores",
        "members": [
            _member("a", "ok", [0.25, 0.75]),
            _member("b", "skipped", [None, None]) | {"skipped": ["stopped"]},
            _member("c", "skipped", [None, None]) | {"skipped": ["no_time"]},
        ],
    }
    votes = votes_of(decision)
    assert [(vote.why, vote.asked) for vote in votes] == [("", True), ("not needed", False), ("no time", False)]
    assert votes[2].about == "It would not have answered in time."
    entry = of_answer(Answer("id", "e", (Prediction("yes", 0.75),), "steps"), 1, "row", ())
    assert agreement(entry, votes) == "1 of 1 member says yes. 2 were not asked."
    withheld = of_answer(Answer("id", "e", (Prediction(abstained=True),), "steps"), 1, "row", ())
    assert agreement(withheld, votes) == "1 member was asked. 2 were not asked."


def test_how_far_an_answer_went() -> None:
    stage = {"members": ["a"], "rows": 1, "stopped": 0, "no_time": 0}
    decision = {
        "stages": [
            stage,
            {"members": ["b", "c"], "rows": 0, "stopped": 0, "no_time": 1},
            {"members": ["d"], "rows": 0, "stopped": 1, "no_time": 0},
            {"members": ["e"], "rows": 0, "stopped": 0, "no_time": 0},
        ]
    }
    assert stages_of(decision) == "In stages: 1. a; 2. b and c (no time); 3. d (not needed); 4. e (not asked)."
    assert stages_of({"stages": [stage]}) == ""
    assert stages_of({}) == ""


def test_an_answer_that_abstains_has_its_set_and_no_label() -> None:
    one = Prediction(confidence=0.5, set=("4", "9"), abstained=True, reason="ambiguous", members=("a",))
    entry = of_answer(Answer("id", "digits", (one,), "mean"), 1, "row", (), 0.9)
    assert (entry.label, entry.abstained, entry.labels, entry.coverage) == ("–", True, ("4", "9"), 0.9)
    assert (entry.reason, entry.members) == ("Several labels are possible.", ("a",))
    said = "The confidence, 0.5, is below min_confidence, 0.9."
    told = of_answer(Answer("id", "e", (Prediction(abstained=True, reason=said),), "mean"), 1, "row", ())
    assert told.reason == said
