"""What came of a replay, in words that do not say more than it does."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.evidence.replay_words import briefly, candidate, headline, line, resting, scales, times

QUESTION: dict[str, Any] = {"strategy": "mean", "policy": None, "since": None, "until": None, "revision": None}


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "standard_error": 0.01}


def answer(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "strategy": "mean",
        "policy": None,
        "metric": "accuracy",
        "method": "exact",
        "verdict": "better",
        "candidate": estimate(0.9, 0.88, 0.92),
        "live": estimate(0.85, 0.83, 0.87),
        "difference": estimate(0.05, 0.03, 0.07),
        "counts": {"used": 1000, "decisions": 1200},
        "overlap": None,
    }
    return found | changes


def replay(state: str = "done", **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"id": "1", "question": QUESTION, "state": state, "error": None, "answer": None}
    return found | changes


def test_a_difference_is_said_with_its_interval() -> None:
    assert headline(answer()) == (
        "With mean the mean accuracy would have been 90.0 % instead of 85.0 %: +5.00 points (+3.00 to +7.00 points). "
        "It would have been better."
    )
    unsure = headline(answer(verdict="not shown", difference=estimate(0.01, -0.01, 0.03)))
    assert unsure.endswith("The interval holds zero, so these decisions do not show a difference.")


def test_how_much_it_rests_on() -> None:
    assert resting(answer()).endswith("each counts in full: the effective sample size is 1,000.")
    few = resting(answer(method="off-policy", overlap={"effective": 120.4}))
    assert "they are worth 120, the effective sample size. Below 200" in few
    assert "Below 200" not in resting(answer(method="off-policy", overlap={"effective": 500.0}))


def test_a_row_says_exact_or_off_policy_and_the_effective_sample_size() -> None:
    (place,) = scales([replay(answer=answer())])
    assert place is not None
    shown = line(replay(answer=answer()), place)
    cells = [each if isinstance(each, str) else each.text for each in shown.cells]
    assert cells == ["mean", "better", "90.0 %", "85.0 %", "+5.00 points", "1,000", "1,000"]
    assert shown.cells[1].note == "accuracy, exact"  # type: ignore[union-attr]
    off = line(replay(answer=answer(method="off-policy", overlap={"effective": 321.7})), None)
    assert off.cells[-1].text == "322"  # type: ignore[union-attr]


def test_zero_is_where_the_intervals_of_a_metric_meet_it() -> None:
    down = answer(difference=estimate(-0.07, -0.09, -0.05))
    up, below, none, other = scales(
        [replay(answer=answer()), replay(answer=down), replay("failed"), replay(answer=answer(metric="revenue"))]
    )
    assert none is None
    assert up is not None
    assert below is not None
    assert other is not None
    assert up[3] == below[3] != other[3]
    assert below[2] < below[3] < up[0]  # type: ignore[operator]


def test_a_refusal_is_told_with_its_reason() -> None:
    shown = line(replay("failed", error={"message": "The log does not tell.", "code": "x", "path": None}), None)
    assert shown.cells[1] == ("no answer", "The log does not tell.", "worse", None)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (QUESTION, "mean"),
        (QUESTION | {"strategy": {"kind": "vote", "voting": "hard", "members": []}}, "vote (voting: hard)"),
        (
            QUESTION | {"strategy": None, "policy": {"kind": "split", "weights": {"a": 1}}},
            "policy split (weights: {a: 1})",
        ),
    ],
)
def test_candidates_on_a_line(question: dict[str, Any], said: str) -> None:
    assert candidate(question) == said
    assert briefly({}) == "of its own"


def test_which_decisions_were_asked_about() -> None:
    assert times(QUESTION) == "all decisions that are kept"
    assert times(QUESTION | {"since": 1_700_000_000, "revision": 2}) == "since 14 Nov 2023, 22:13 UTC, revision 2"
    assert times(QUESTION | {"until": 1_700_000_000}) == "until 14 Nov 2023, 22:13 UTC"
