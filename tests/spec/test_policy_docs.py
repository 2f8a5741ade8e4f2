"""docs/policies.md has every setting of every learning policy, with its default, and its example is right."""

import dataclasses
import re
from pathlib import Path

import pytest

from quorate import plugins
from quorate.core.select.learner import LearnerParams
from quorate.spec import load

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
PARTS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
KINDS = [kind for kind in plugins.names("policies") if plugins.load("policies", kind).learns]
COMMON = {field.name for field in dataclasses.fields(LearnerParams)}


def rows(kind: str) -> dict[str, tuple[str, str]]:
    """Settings with default and meaning in the parts that a kind has, its own last."""
    found: dict[str, tuple[str, str]] = {}
    linear = [title for title in PARTS if title.startswith("Contextual")]
    parts = ["What learners have in common", *linear, *(title for title in PARTS if f"`{kind}`" in title)]
    for title in dict.fromkeys(parts):
        found |= {
            name: (default, text)
            for name, default, text in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", PARTS[title], re.M)
        }
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_a_row_with_its_default(kind: str) -> None:
    documented = rows(kind)
    for field in dataclasses.fields(plugins.load("policies", kind).Params):
        assert field.name in documented, f"{kind}: {field.name} is not documented"
        default, meaning = documented[field.name]
        value = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        shown = "none" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        shown = shown.replace("`()`", "`[]`")
        special = kind != "best" and field.name == "floor"
        told = f"{default} {meaning}" if special else default
        if (kind, field.name) != ("best", "baseline"):
            assert shown in told, f"{kind}.{field.name}: {shown} is not {told}"


def test_every_setting_says_what_it_is() -> None:
    for kind in KINDS:
        for field in dataclasses.fields(plugins.load("policies", kind).Params):
            assert field.metadata["description"].endswith("."), f"{kind}.{field.name}"


def test_the_example_is_right() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    endpoint = load(example).spec.endpoints["triage"]
    policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params(), tuple(endpoint.strategies))
    policy.check()
    assert policy.facts() == {"input.rows"}
