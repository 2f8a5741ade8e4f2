"""``quorate check --explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main

TEXT = """\
pools:
  letters: {task: classification, members: [a, b, c]}
endpoints:
  main:
    pool: letters
    strategies: {average: {kind: mean}, best: {kind: single, member: a}}
    policy:
      kind: rules
      rules:
        - {when: 10 / context.divisor > 3 and input.rows > 1, use: best}
        - {when: input.rows > 100 and input.rows < 50, use: best}
        - {when: context.tier == "gold" or member.a.latency_ms < 2, use: {average: 3, best: 1}}
      otherwise: average
  plain: {pool: letters, strategies: {average: {kind: mean}, best: {kind: single, member: a}},
          policy: {kind: split, weights: {average: 1, best: 3}}}
fronts:
  door: {rules: [{when: input.kind == "array" and input.rows > 1, to: plain}], otherwise: main}
"""


@pytest.fixture
def explain(project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    project.write(TEXT)

    def run(example: Any, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "example.json"
        file.write_text(example if isinstance(example, str) else json.dumps(example))
        with pytest.raises(SystemExit) as stop:
            main(["check", "--project", str(project.home.root), "--explain", str(file), *options])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return run


def test_it_says_which_rule_fires_and_why_those_before_it_do_not(explain: Any) -> None:
    code, out, err = explain(
        {"context": {"divisor": 0, "tier": "gold"}, "facts": {"input.rows": 7}}, "--endpoint", "main"
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "endpoint main: rule 3 fires; it uses 'average' (3), 'best' (1)",
        "   rule 1: 10 / context.divisor > 3 and input.rows > 1",
        "     unknown: division by zero",
        "       10 / context.divisor > 3: unknown: division by zero",
        "         10 / context.divisor: unknown: division by zero",
        "           context.divisor: 0",
        "       input.rows > 1: true",
        "         input.rows: 7",
        "   rule 2: input.rows > 100 and input.rows < 50",
        "     false",
        "       input.rows > 100: false",
        "         input.rows: 7",
        "       input.rows < 50: true",
        "         input.rows: 7",
        '-> rule 3: context.tier == "gold" or member.a.latency_ms < 2',
        "     true",
        '       context.tier == "gold": true',
        '         context.tier: "gold"',
        "       member.a.latency_ms < 2: unknown: member.a.latency_ms is not known",
        "         member.a.latency_ms: unknown: member.a.latency_ms is not known",
        "   not known of this example: member.a.latency_ms; 'facts' can say them",
        "   rule 2 can never fire: no value of input.rows makes its condition true. Correct it, or remove it.",
    ]


def test_a_real_input_and_all_that_have_rules(explain: Any) -> None:
    rows = [[1, 2, 3, 4], [1, 2, 3, 4]]
    code, out, _ = explain({"context": {"divisor": 2}, "instances": rows}, "--json")
    door, main_ = json.loads(out)
    assert code == 0
    assert (door["name"], door["kind"], door["fires"], door["then"]) == ("door", "front", 1, "plain")
    assert (main_["name"], main_["fires"], main_["then"]) == ("main", 1, "best")
    assert main_["facts"] == {"input.rows": 2, "member.a.latency_ms": None}
    assert main_["findings"][0].startswith("rule 2 can never fire")


def test_any_policy_can_be_asked(explain: Any) -> None:
    assert explain({}, "--endpoint", "plain")[1] == "endpoint plain (policy split): average 0.25, best 0.75\n"
    assert explain({}, "--endpoint", "door")[1].startswith(
        "front door: no rule fires, so 'otherwise' decides; it goes to"
    )


@pytest.mark.parametrize(
    ("example", "options", "says"),
    [
        ("{", (), "is not an example in JSON"),
        ([], (), "is an object with some of context, facts, instances"),
        ({"rows": 1}, (), "got rows"),
        ({"context": 5}, (), "context is an object of numbers"),
        ({"facts": {"input.row": 1}}, (), "There is no fact 'input.row'"),
        ({"facts": {"input.rows": "x"}}, (), "The fact 'input.rows' is a number; got \"x\""),
        ({"facts": {"member.a.healthy": 1}}, (), "is a boolean; got 1"),
        ({"instances": [[1, 2]]}, ("--endpoint", "main"), "expects"),
        ({}, ("--endpoint", "mian"), "There is no endpoint 'mian'"),
    ],
)
def test_an_example_that_is_none_is_refused(explain: Any, example: Any, options: tuple[str, ...], says: str) -> None:
    code, out, err = explain(example, *options)
    assert code != 0
    assert says in err
    assert out == ""


def test_plain_check_warns_of_rules_that_can_never_fire(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(TEXT)
    with pytest.raises(SystemExit) as stop:
        main(["check", "--project", str(project.home.root)])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert out == "quorate.yaml is right: 2 endpoints over 1 pool behind 1 front.\n"
    assert "endpoints.main.policy: rule 2 can never fire: no value of input.rows" in err
