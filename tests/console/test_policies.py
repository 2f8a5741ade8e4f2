"""Pages of policies in words: examples as typed, rules, guard rails, warm starts."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.policies.beginning import days, stands
from quorate.console.policies.example import Wrong, field_of, read, scalar
from quorate.console.policies.learner_boards import described, guard_rails, rows, told
from quorate.console.policies.rule_boards import lead, used, value, verdict

RULES: dict[str, Any] = {"kind": "endpoint", "policy": "rules", "rules": [{}], "timezone": "UTC"}


@pytest.mark.parametrize(
    ("typed", "found"),
    [("12", 12), (" 1.5 ", 1.5), ("true", True), ('"12"', "12"), ("gold", "gold"), ("[1]", "[1]"), ("null", "null"),
     ("1e999", "1e999")],
)  # fmt: skip
def test_what_is_typed_is_a_number_a_truth_value_or_text(typed: str, found: Any) -> None:
    known = scalar(typed)
    assert (known, type(known)) == (found, type(found))


def test_an_example_has_only_what_was_typed() -> None:
    typed = {"context:tier": "gold", "context:age": " ", "fact:input.rows": "3", "fact:drift.state": "",
             "rows": "[[1, 2]]", "more": '{"tier": "lost", "user": 7}'}  # fmt: skip
    assert read(typed) == {
        "context": {"tier": "gold", "user": 7},
        "facts": {"input.rows": 3},
        "instances": [[1, 2]],
    }
    assert read({"rows": "", "more": ""}) == {"context": {}, "facts": {}}


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"rows": "{}"}, "rows", "no JSON list"),
        ({"rows": "[1"}, "rows", "no JSON"),
        ({"more": "[]"}, "more", "no JSON object"),
    ],
)
def test_what_is_wrong_names_its_field(typed: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(Wrong, match=says) as wrong:
        read(typed)
    assert wrong.value.field == field


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("facts.input.rows", "fact:input.rows"),
        ("context.tier", "context:tier"),
        ("instances[0].x", "rows"),
        ("body", ""),
        (None, ""),
    ],
)
def test_a_problem_is_said_beside_its_field(path: str | None, field: str) -> None:
    assert field_of(path) == field


def test_rules_in_words() -> None:
    assert used({"a": 1.0, "b": 3.0, "c": 0.0}, "endpoint") == "a 25.0 %, b 75.0 %"
    assert used({"a": 1.0}, "front") == "goes to a"
    assert verdict({**RULES, "fires": 2, "then": {"a": 1.0}}) == "Rule 2 fires: it uses a."
    assert verdict({**RULES, "kind": "front", "fires": None, "then": {"a": 1.0}}) == (
        "No rule fires, so “otherwise” decides: it goes to a."
    )
    assert verdict({**RULES, "rules": [], "fires": None, "then": {"a": 0.5, "b": 0.5}}) == (
        "The policy would draw: a 50.0 %, b 50.0 %."
    )
    assert "Times are those of Europe/Oslo." in lead({**RULES, "timezone": "Europe/Oslo"})
    none = lead({**RULES, "rules": [], "policy": "split"})
    assert none.startswith("No rules: the policy of this endpoint is 'split'.")
    assert [value(known, None) for known in (True, "x", 0.123456789, None)] == ["true", '"x"', "0.123457", "unknown"]
    assert value(None, "why not") == "unknown (why not)"


def test_guard_rails_in_words() -> None:
    assert guard_rails(None) == ["This kind of policy has none."]
    free = guard_rails({"floor": 0.0, "baseline": None, "tolerance": 0.05, "guarded": False, "bound": None})
    assert free[0].startswith("No floor: a strategy may get no traffic at all")
    assert free[1] == "No baseline is named."
    held = {"floor": 0.02, "baseline": "old", "tolerance": 0.1, "guarded": True, "bound": -0.25}
    said = guard_rails(held)
    assert said[0] == "Floor: every strategy keeps at least 2.0 % of the traffic."
    assert "at least −0.250 reward a request" in said[2]
    assert said[3] == "The baseline has the traffic now, but for the floors."
    assert "Nothing is known yet" in guard_rails({**held, "bound": None})[2]


def test_what_became_of_rows() -> None:
    learned = {"rows": {"learned": 2000, "not_drawn": 1, "other": 3, "failed": 0}, "since": 50.0, "updated": 90.0}
    assert rows({**learned, "version": 7}, 100.0) == [
        "2,000 rows learned from.",
        "1 row of callers who chose a strategy themselves, which say nothing of the policy.",
        "3 rows other.",
        "It began 50 s ago.",
        "State 7, 10 s old.",
    ]
    assert rows({"rows": {}, "since": None, "updated": None, "version": 0}, 100.0) == ["Nothing was learned yet."]


def test_shares_in_words() -> None:
    assert told({"a": 3, "b": 1, "c": 0}) == "a 75.0 %, b 25.0 % of 4"
    assert told({}) == ""
    assert described([]) == "No requests in this time"
    shown = described([{"at": 0.0, "requests": {"a": 1}}, {"at": 60.0, "requests": {"b": 2}}])
    assert shown == "Shares of requests: a 100.0 % of 1 at 1 Jan, 00:00 UTC, b 100.0 % of 2 at the end"


@pytest.mark.parametrize(("typed", "found"), [("", 30.0), ("7", 7.0), (" 1,5 ", 1.5)])
def test_days(typed: str, found: float) -> None:
    assert days(typed) == found


@pytest.mark.parametrize("typed", ["soon", "0", "-1", "nan", "1e9"])
def test_days_that_are_none(typed: str) -> None:
    with pytest.raises(ValueError, match="a number above 0"):
        days(typed)


def test_how_a_warm_start_stands() -> None:
    warm: dict[str, Any] = {"state": "queued", "learned": None, "error": None, "ended": None}
    assert stands(warm) == "The warm start waits its turn."
    assert stands({**warm, "state": "running"}) == "The warm start runs; answers go on."
    assert stands({**warm, "state": "failed", "error": "Gone."}) == "The warm start failed: Gone."
    done = {**warm, "state": "done", "learned": {"learned": 5}, "ended": 120.0}
    assert stands(done) == "The warm start ended at 1 Jan, 00:02 UTC: 5 rows learned from."
