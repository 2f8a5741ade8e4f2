"""The JSON Schema of ``quorate.yaml``, with the settings of all installed plugins, for editors and other tools."""

from __future__ import annotations

from typing import Any

from quorate.spec.model import Spec


def json_schema() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "quorate.yaml",
        **{key: value for key, value in Spec.model_json_schema().items() if key != "title"},
    }
