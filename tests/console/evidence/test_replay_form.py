"""What is typed into the form of a replay, and where what is refused is said."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.evidence.replay_form import Candidate, Wrong, place, read


def test_every_candidate_becomes_a_question_of_its_own() -> None:
    typed = {
        "names": ["mean", "svm"],
        "strategy": "{kind: vote, voting: hard}",
        "policy": "kind: split\nweights: {a: 3, b: 1}",
        "since": 5.5,
        "until": None,
        "metric": "revenue",
        "method": "off-policy",
        "revision": "3",
    }
    found, common = read(typed)
    assert [(each.kind, each.what) for each in found] == [
        ("strategy", "mean"),
        ("strategy", "svm"),
        ("strategy", {"kind": "vote", "voting": "hard"}),
        ("policy", {"kind": "split", "weights": {"a": 3, "b": 1}}),
    ]
    assert common == {"method": "off-policy", "since": 5.5, "metric": "revenue", "revision": 3}


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({}, "strategy", "Choose a strategy"),
        ({"policy": "kind: [split"}, "policy", "not YAML in line"),
        ({"policy": "split"}, "policy", "Expected a policy as in quorate.yaml"),
        ({"strategy": "[1]"}, "strategy", "Expected a strategy"),
        ({"names": ["a"], "since": 9.0, "until": 8.0}, "until", "must be before"),
        ({"names": ["a"], "revision": "-1"}, "revision", "whole number"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(typed: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(Wrong, match=said) as wrong:
        read(typed)
    assert wrong.value.field == field


@pytest.mark.parametrize(
    ("path", "field"),
    [("policy.weights.x", "policy"), ("since", "until"), ("metric", "metric"), ("endpoint", ""), (None, "")],
)
def test_a_refusal_has_its_place(path: str | None, field: str) -> None:
    assert place(path, Candidate("policy", {}, "policy")) == field
