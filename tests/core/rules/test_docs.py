"""docs/rules.md: its tables are the catalogue and the functions, its examples mean what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quorate.core import facts
from quorate.core.rules.check import FUNCTIONS, check
from quorate.core.rules.evaluate import compiled
from quorate.core.rules.parse import MAX_DEPTH, MAX_NODES, parse
from quorate.core.rules.ruleset import MOST, Ruleset
from quorate.core.select.rules import Rules
from quorate.spec import load

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
YAML = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
EXAMPLES = re.findall(r"^\| `([^`]+)` \| `(\{.*?\})` \| (\w+) \|$", PAGE, re.MULTILINE)


def test_every_fact_is_a_row() -> None:
    rows = re.findall(r"^\| `([a-zA-Z._]+)` \| (\w+) \| ([^|]+) \| ([^|]+) \| ([a-z, ]+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == [fact.name for fact in facts.CATALOGUE]
    for (_, kind, unit, meaning, known), fact in zip(rows, facts.CATALOGUE, strict=True):
        assert (kind, unit) == (fact.type, fact.unit or "–")
        assert meaning.startswith(fact.meaning)
        assert all(f"`{value}`" in meaning for value in fact.values)
        assert [asker in known.replace("policies", "policy") for asker in facts.BOTH] == [
            asker in fact.askers for asker in facts.BOTH
        ]


def test_every_function_and_bound_is_named() -> None:
    for name in FUNCTIONS:
        assert f"`{name}(" in PAGE
    assert "2,000 characters" in PAGE
    for number in (f"{MAX_NODES} names", f"{MAX_DEPTH} deep", f"{MOST} rules"):
        assert number in PAGE


@pytest.mark.parametrize(("condition", "context", "means"), EXAMPLES)
def test_its_examples_mean_what_it_says(condition: str, context: str, means: str) -> None:
    node = parse(condition)
    check(node, "policy")
    value = compiled(node)(json.loads(context), {})
    assert {True: "true", False: "false", None: "unknown"}[value] == means


def test_its_configurations_are_right() -> None:
    assert len(EXAMPLES) > 8
    policies, fronts = (load(text).spec for text in YAML)
    (endpoint,) = policies.endpoints.values()
    assert endpoint.policy is not None
    params = endpoint.policy.params()
    policy = Ruleset([rule["when"] for rule in params["rules"]], "policy")
    assert params["otherwise"] == {"both": 9.0, "all": 1.0}
    assert policy.findings() == []
    assert Ruleset([rule.when for rule in fronts.fronts["ask"].rules], "front").findings() == []
    assert Rules.kind == endpoint.policy.kind
