"""The JSON Schema that editors use."""

from __future__ import annotations

import json
from typing import Any

from quorate import plugins
from quorate.spec import json_schema


def _keys(name: str) -> set[str]:
    return set(json_schema()["$defs"][name]["properties"])


def test_it_holds_the_parameters_of_the_plugins() -> None:
    assert _keys("VoteStrategy") == {
        "calibrate", "interpretable", "kind", "members", "quorum", "refit", "refit_above", "state", "voting",
    }  # fmt: skip
    assert "member" in _keys("SingleStrategy")
    assert _keys("SplitPolicy") == {"kind", "blind", "reward", "sticky", "weights"}


def test_every_installed_kind_can_be_chosen() -> None:
    text = json.dumps(json_schema())
    for family in ("combiners", "policies"):
        for kind in plugins.names(family):
            assert f'"const": "{kind}"' in text


def test_every_reference_leads_somewhere_and_unknown_keys_are_errors() -> None:
    schema = json_schema()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    assert all(found["additionalProperties"] is False for found in schema["$defs"].values())
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["pools", "endpoints"]
