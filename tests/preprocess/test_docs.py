"""docs/preprocessing.md: its code runs, and every step, parameter and format is in it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from quorate import plugins
from quorate.preprocess.pillow import FORMATS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "preprocessing.md").read_text("utf-8")


def test_its_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102


@pytest.mark.parametrize("kind", plugins.names("steps"))
def test_every_step_is_described_with_its_parameters_and_version(kind: str) -> None:
    found = re.search(rf"^### {kind}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    step = plugins.load("steps", kind)
    assert step.kind == kind
    assert step.versions == (1,), "the page says that every step has version 1"
    for field in dataclasses.fields(step.Params):
        assert f"`{field.name}`" in found[1]
    if not dataclasses.fields(step.Params):
        assert "No parameters." in found[1]


def test_every_format_is_named() -> None:
    for name in FORMATS:
        assert f"`{name}`" in PAGE
