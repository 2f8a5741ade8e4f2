"""``quorate schema``: the JSON Schema of ``quorate.yaml``, for editors."""

from __future__ import annotations

from quorate.cli._output import print_json
from quorate.spec import json_schema


def command() -> None:
    """Print the JSON Schema of quorate.yaml, with the settings of all installed plugins."""
    print_json(json_schema())
