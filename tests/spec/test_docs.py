"""docs/configuration.md names every setting with its default, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from quorate.spec import json_schema, load
from quorate.spec.capture import CaptureSpec, InputRedaction
from quorate.spec.fronts import FrontSpec
from quorate.spec.model import (
    EndpointSpec,
    JobsSpec,
    JournalSpec,
    LimitsSpec,
    MemorySpec,
    Plugged,
    PolicySpec,
    PoolSpec,
    RecordSpec,
    RewardSpec,
    ServerSpec,
    ShipSpec,
    StrategySpec,
)
from quorate.spec.outcomes import PRECEDENCE, OutcomesSpec, ValueSpec
from quorate.spec.prices import PricesSpec

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
PARTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
SECTIONS: dict[str, type[Any]] = {
    "Fronts": FrontSpec,
    "Capture": CaptureSpec,
    "Redaction": InputRedaction,
    "Pools": PoolSpec,
    "Endpoints": EndpointSpec,
    "Strategies": StrategySpec,
    "Policies": PolicySpec,
    "Rewards": RewardSpec,
    "Server": ServerSpec,
    "Limits": LimitsSpec,
    "Memory": MemorySpec,
    "Journal": JournalSpec,
    "Records": RecordSpec,
    "Shipping": ShipSpec,
    "Jobs": JobsSpec,
    "Outcomes": OutcomesSpec,
    "Value": ValueSpec,
    "Prices": PricesSpec,
}


def _rows(part: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in PARTS[part].splitlines():
        if line.startswith("|"):
            name, *cells = (cell.strip("| ") for cell in line.split(" | "))
            rows.setdefault(name.strip("`"), cells)
    return rows


@pytest.mark.parametrize(("part", "section"), SECTIONS.items())
def test_every_setting_is_a_row_with_its_default(part: str, section: type[Any]) -> None:
    rows = _rows(part)
    for name, field in section.model_fields.items():
        assert name in rows, f"{part}: {name} is not documented"
        default, meaning = rows[name]
        assert meaning
        if field.is_required():
            assert default == "required"
        elif isinstance(field.default, BaseModel):
            assert default == "see there"
        elif field.default is not None:
            assert _value(default) == field.default


def _value(text: str) -> Any:
    limits = f"{{pools: {{}}, endpoints: {{}}, limits: {{body_bytes: {text.strip('`')}}}}}"
    if text.strip("`").endswith(("MiB", "GiB")):
        return load(limits).spec.limits.body_bytes
    found = {
        "`[]`": (),
        "`{}`": {},
        "`[outputs]`": ("outputs",),
        "`[ground_truth, expert, user]`": PRECEDENCE,
        "`false`": False,
        "`true`": True,
    }.get(text)
    if found is not None:
        return found
    text = text.strip("`")
    return int(text) if text.isdigit() else float(text) if re.fullmatch(r"\d+\.\d+", text) else text


@pytest.mark.parametrize(("part", "base"), [("Strategies", StrategySpec), ("Policies", PolicySpec)])
def test_every_kind_is_a_row_with_its_own_settings(part: str, base: type[Plugged]) -> None:
    rows = _rows(part)
    for kind, variant in base.variants().items():
        assert kind in rows, f"{part}: {kind} is not documented"
        for name in variant.model_fields.keys() - base.model_fields.keys():
            assert f"`{name}`" in rows[kind][0], f"{part}: {kind}.{name} is not documented"


def test_every_property_of_the_schema_is_named() -> None:
    text = PAGE.read_text()
    schema = json_schema()
    for part in [schema, *schema["$defs"].values()]:
        for name in part["properties"]:
            assert f"`{name}" in text or f"{name}:" in text, name


def test_the_examples_are_right() -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        load(example)
