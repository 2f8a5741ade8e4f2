"""Rules and fronts against the rest of the configuration: errors with their lines, and notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli import main
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.diff import diff
from quorate.control.revisions.resolve import resolve
from quorate.spec import ConfigProblems

TEXT = """\
pools:
  letters: {task: classification, members: [a, b, c]}
  numbers: {task: regression, members: [n]}
endpoints:
  main:
    pool: letters
    strategies:
      average: {kind: mean}
      best: {kind: single, member: a, interpretable: true}
    policy:
      kind: rules
      rules:
        - {when: request.interpretable, use: best}
        - when: context.tier == "gold" and member.b.healthy
          use: {average: 3, best: 1}
      otherwise: average
  values: {pool: numbers, strategies: {only: {kind: mean}}}
fronts:
  front:
    rules:
      - {when: context.task == "regression", to: values}
      - {when: endpoint.main.in_flight > 5, to: inner}
    otherwise: main
  inner: {rules: [{when: input.rows > 3, to: values}], otherwise: main}
"""


@pytest.fixture
def ruled(project: Any) -> Any:
    project.model("n", targets=("x",))
    project.write(TEXT)
    return project


def problems(project: Any, old: str, new: str) -> list[tuple[int | None, str]]:
    assert old in TEXT
    project.write(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigProblems) as caught:
        resolve(read_config(project.home)[0], project.registry)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def notices(project: Any, old: str = "", new: str = "") -> tuple[str, ...]:
    project.write(TEXT.replace(old, new, 1))
    return resolve(read_config(project.home)[0], project.registry).notices


def test_rules_and_fronts_become_routes(ruled: Any) -> None:
    routing = resolve(read_config(ruled.home)[0], ruled.registry).routing
    assert notices(ruled) == ()
    assert routing.endpoints[0].policy.params["rules"][1]["use"] == {"average": 3.0, "best": 1.0}
    assert [strategy.interpretable for strategy in routing.endpoints[0].strategies] == [False, True]
    front, inner = routing.fronts
    assert [(rule.when, rule.to) for rule in front.rules][1] == ("endpoint.main.in_flight > 5", "inner")
    assert (front.otherwise, front.timezone, inner.name) == ("main", "UTC", "inner")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('context.tier == "gold"', "input.row > 3", 14, "rules[1].when: column 1: there is no fact 'input.row'"),
        ('context.tier == "gold"', 'context.tier = "gold"', 14, "rules[1].when: column 14: '=' has no meaning here"),
        ("member.b.healthy", "member.x.healthy", 10, "'member.x.healthy' is about a member that is not there"),
        ("use: best}", "use: bets}", 13, "there is no strategy 'bets'"),
        ("{average: 3, best: 1}", "{average: 3, worst: 1}", 15, "there is no strategy 'worst'"),
        ("otherwise: average", "otherwise: averag", 16, "there is no strategy 'averag'"),
        ("otherwise: average", "otherwise: average\n      timezone: Mars", 17, "there is no time zone 'Mars'"),
        ('"regression", to: values', '"regression", to: valus', 21, "there is no endpoint 'valus'"),
        ("otherwise: main\n  inner", "otherwise: none\n  inner", 23, "there is no endpoint 'none'"),
        ("endpoint.main.in_flight", "endpoint.mine.in_flight", 19, "about an endpoint that is not there"),
        ("endpoint.main.in_flight", "load.queue_ms", 22, "column 1: the fact 'load.queue_ms' is not known to a front"),
        ("input.rows > 3", "input.rows < 1", 24, "rule 1 can never fire: no value of input.rows"),
        (
            "endpoint.main.in_flight > 5",
            'context.task == "regression" and input.rows > 2',
            22,
            "rule 2 can never fire: rule 1 fires",
        ),
        ("values}], otherwise: main}", "front}], otherwise: main}", 19, "front -> inner -> front"),
        ("values}], otherwise: main}", "inner}], otherwise: main}", 24, "inner -> inner"),
        ("  inner: {", "  a: {", 24, "'a' is a front and also a model in pools.letters"),
        ("  inner: {", "  main: {", 24, "'main' is a front and also an endpoint"),
    ],
)
def test_what_is_wrong_has_its_line(ruled: Any, old: str, new: str, line: int, says: str) -> None:
    found = problems(ruled, old, new)
    assert any(at == line and says in message for at, message in found), found


def test_what_is_hardly_meant_is_a_notice(ruled: Any) -> None:
    (never,) = notices(ruled, 'context.tier == "gold"', "request.interpretable")
    assert never.startswith("endpoints.main.policy: rule 2 can never fire: rule 1 fires whenever it would")
    (interpretable,) = notices(ruled, ", interpretable: true", "")
    assert "rule 1 is for callers who ask for an answer that people can follow, and uses 'best'" in interpretable
    (blind,) = notices(ruled, "kind: rules", "kind: rules\n      blind: true")
    assert "who knows the rules and a request knows which rule fires" in blind
    (always,) = notices(ruled, "input.rows > 3", "input.rows >= 1 or missing(input.rows)")
    assert always == "fronts.inner: rule 1 fires for every request; what follows is not reached."


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('context.tier == "gold"', "drift.state == 'drift'", "endpoints.main.policy: rule 2"),
        ("input.rows > 3", "endpoint.main.drift == 'drift'", "fronts.inner: rule 1"),
    ],
)
def test_a_rule_that_waits_for_a_monitor_is_a_notice(ruled: Any, old: str, new: str, where: str) -> None:
    (waits,) = notices(ruled, old, new)
    assert waits.startswith(f"{where} looks at drift, which is unknown until a monitor writes")


def test_fronts_have_revisions_as_endpoints_have(ruled: Any) -> None:
    applied = ruled.apply()
    assert applied.revisions == {"main": 1, "values": 1, "front": 1, "inner": 1}
    assert diff(ruled.home, ruled.registry, ruled.database) == ()
    ruled.write(TEXT.replace("input.rows > 3", "input.rows > 4"))
    (change,) = diff(ruled.home, ruled.registry, ruled.database)
    assert (change.endpoint, change.action, change.revision) == ("inner", "change", 1)
    assert ruled.apply().changed == ("inner",)
    ruled.write(TEXT[: TEXT.index("  inner")].replace("to: inner", "to: main"))
    assert ruled.apply().removed == ("inner",)


def test_the_command_line_lists_fronts(ruled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ruled.apply()
    folder = str(ruled.home.root)
    for arguments in ((), ("front",)):
        with pytest.raises(SystemExit):
            main(["endpoints", *arguments, "--project", folder, "--json"])
    listed, revisions = capsys.readouterr().out.split("]\n", 1)
    found = json.loads(f"{listed}]")
    assert [row["endpoint"] for row in found] == ["main", "values", "front", "inner"]
    assert (found[2]["strategies"], found[2]["policy"]) == ("values, inner, main", "front")
    assert [(row["revision"], row["served"]) for row in json.loads(revisions)] == [(1, True)]
