"""The JSON Schema of ``quorate.yaml``, with the settings of all installed plugins, for editors and other tools."""

from __future__ import annotations

from typing import Any

from quorate.spec.model import Spec


def json_schema() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    schema: dict[str, Any] = _closed(Spec.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "quorate.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _closed(value: Any) -> Any:
    """Pydantic says what keys of a pattern hold, not that there may be no others."""
    if isinstance(value, list):
        return [_closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = {key: _closed(item) for key, item in value.items()}
    return {"additionalProperties": False, **closed} if "patternProperties" in closed else closed
