"""Pool audits in words that do not say more than they do."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.selection import audit_words as say

QUESTION: dict[str, Any] = {"strategy": None, "since": None, "until": None}


def estimate(value: float, half: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "standard_error": half / 2}


def member(name: str, verdict: str, shapley: float) -> dict[str, Any]:
    return {
        "name": name, "verdict": verdict, "reason": "Because.", "alone": estimate(0.8), "shapley": estimate(shapley),
        "leave_one_out": estimate(-0.02), "kept": None, "cost": 1.5,
    }  # fmt: skip


def pair(first: str, second: str, q: float | None = 0.5) -> dict[str, Any]:
    unknown = {"value": None, "low": None, "high": None, "standard_error": None}
    return {
        "first": first, "second": second, "rows": 100, "q": unknown if q is None else estimate(q),
        "disagreement": estimate(0.2), "double_fault": estimate(0.1), "correlation": None,
    }  # fmt: skip


def answer(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "metric": "accuracy", "margin": 0.005, "rows": 1000, "decisions": 900, "unit": "ms", "cost": 6.0,
        "currency": "EUR", "money_per_million": 0.5, "orders": None, "seconds": 1.0, "counts": None,
        "members": [member("a", "useful", 0.1), member("b", "redundant", 0.2), member("c", "harmful", -0.1)],
        "pairs": [pair("a", "b", 0.99), pair("a", "c", None), pair("b", "c", -0.4)],
        "headroom": {
            "best_member": "a", "oracle": estimate(0.98), "best": estimate(0.8), "ensemble": estimate(0.85),
            "over_best": estimate(0.18), "over_ensemble": estimate(0.13),
        },
        "steps": [
            {"drops": "c", "keeps": ["a", "b"], "searched": 0.1, "value": estimate(0.9), "gain": estimate(0.05),
             "by_step": estimate(0.05), "over_best": None, "holds": True},
            {"drops": "a", "keeps": ["b"], "searched": 0.1, "value": estimate(0.8), "gain": estimate(-0.05),
             "by_step": estimate(-0.1), "over_best": None, "holds": False},
        ],
        "recommended": {
            "keep": ["a"], "drop": ["b", "c"], "strategy": None, "cost": 1.5, "saves": 4.5, "share": 0.75,
        },
        "check": {"rows": 500, "whole": estimate(0.85), "recommended": estimate(0.9), "gain": estimate(0.05)},
        "summary": ["Drop b and c.", "Replayed."], "warnings": [], "assumptions": [],
    }  # fmt: skip
    return found | changes


def audit(state: str = "done", **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": "1", "name": "e", "author": "key k", "created": 1_700_000_000.0, "question": QUESTION, "state": state,
        "error": None, "answer": None,
    }  # fmt: skip
    return found | changes


def cells(line: Any) -> list[str]:
    return [each if isinstance(each, str) else each.text for each in line.cells]


def test_an_audit_as_a_row() -> None:
    shown = say.line(audit(answer=answer()))
    assert cells(shown) == [
        "14 Nov 2023, 22:13 UTC", "drop b and c", "4.5 ms a request (75 %), 0.5 EUR for a million requests",
        "+5.00 points", "1,000",
    ]  # fmt: skip
    assert shown.cells[1].note == "accuracy, margin 0.5 points"
    kept = answer(recommended=answer()["recommended"] | {"drop": []})
    assert cells(say.line(audit(answer=kept)))[1:3] == ["keep all", "–"]
    failed = say.line(audit("failed", error={"message": "Too few.", "code": "x", "path": None}))
    assert failed.cells[1] == ("no answer", "Too few.", "worse", None)
    assert len(failed.cells) == len(shown.cells)


def test_members_come_by_their_value_with_pictures_on_one_scale() -> None:
    lines = say.member_lines(answer())
    assert [line.key for line in lines] == ["b", "a", "c"]
    assert cells(lines[0]) == ["b", "redundant", "+20.00 points", "−2.00 points", "80.0 %", "1.5 ms"]
    assert lines[2].cells[1].classes == "text worse"
    spans = [line.cells[2].span for line in lines]
    assert spans[0][3] == spans[1][3] == spans[2][3]
    assert spans[2][2] < spans[2][3] < spans[1][0]


def test_steps_headroom_and_the_check() -> None:
    assert [cells(line) for line in say.step_lines(answer())] == [
        ["without c", "90.0 %", "+5.00 points", "yes"], ["without a", "80.0 %", "−5.00 points", "no"],
    ]  # fmt: skip
    assert cells(say.headroom_lines(answer())[1]) == ["a, the best single one", "80.0 %", "+18.00 points"]
    assert say.check_sentence(answer()) == (
        "Replayed on 500 rows that the search did not see, the recommended pool's accuracy is 90.0 % (89.0 to 91.0 %), "
        "the whole pool's 85.0 %: +5.00 points (+4.00 to +6.00 points). Its members cost 1.5 ms instead of 6.0 ms."
    )
    none = answer(recommended=answer()["recommended"] | {"drop": []})
    assert say.check_sentence(none).startswith("On 500 rows that the search did not see, the whole pool's accuracy")
    loss = answer(metric="log_loss", cost=None)
    assert "log loss is 0.9 (0.89 to 0.91)" in say.check_sentence(loss)


def test_pairs() -> None:
    found = answer()["pairs"]
    assert say.pair_words(found[0], "q")[0] == "0.99"
    assert "Disagreement 0.2 (0.19 to 0.21)" in say.pair_words(found[0], "q")[1]
    assert say.pair_words(found[1], "q")[0] == "–"
    assert [*say.measures(answer())] == ["q", "disagreement", "double_fault"]
    numbers = [pair("a", "b") | {"q": None, "double_fault": None, "correlation": estimate(0.3)}]
    assert [*say.measures(answer(pairs=numbers))] == ["correlation", "disagreement"]


@pytest.mark.parametrize(
    ("measure", "value", "shade"),
    [("q", 0.99, 4), ("q", 0.2, 1), ("q", -0.5, 0), ("q", None, 0), ("disagreement", 0.0, 4), ("disagreement", 0.6, 0),
     ("double_fault", 0.5, 4)],
)  # fmt: skip
def test_the_more_alike_the_stronger(measure: str, value: float | None, shade: int) -> None:
    assert say.shade(measure, value) == shade


def test_what_was_asked() -> None:
    assert say.about(QUESTION) == "as the endpoint combines them; all decisions that are kept"
    asked = {"strategy": {"kind": "vote", "voting": "hard"}, "since": 1_700_000_000, "until": None}
    assert say.about(asked) == "combined by vote (voting: hard); since 14 Nov 2023, 22:13 UTC"
    assert say.about(QUESTION | {"strategy": "mean", "until": 1_700_000_000}).endswith("until 14 Nov 2023, 22:13 UTC")
