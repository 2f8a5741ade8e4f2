"""What ``quorate check --explain`` reads and prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quorate.core.rules.written import constant
from quorate.errors import ConfigError, InvalidInput, TooLarge
from quorate.explaining import Example, Explained, example_of


def read_example(path: str) -> Example:
    """Read an example from a JSON file, or from standard input for ``-``; :class:`ConfigError` if it is none."""
    try:
        found = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not an example in JSON: {error}.", path="--explain") from None
    try:
        return example_of(found)
    except (InvalidInput, TooLarge) as error:
        raise ConfigError(f"{path}: {error.message}", path="--explain") from None


def lines(found: Explained) -> Iterator[str]:
    """An explanation for a terminal."""
    if not found.rules:
        shares = ", ".join(f"{name} {p:.4g}" for name, p in found.then.items())
        yield f"endpoint {found.name} (policy {found.kind}): {shares}"
    else:
        what, verb = ("front", "goes to") if found.kind == "front" else ("endpoint", "uses")
        fires = f"rule {found.fires} fires" if found.fires is not None else "no rule fires, so 'otherwise' decides"
        yield f"{what} {found.name}: {fires}; it {verb} {_shown(found.then)}"
    for tried in found.rules:
        mark = "->" if tried.rule == found.fires else "  "
        state = "" if found.fires is None or tried.rule <= found.fires else " (not reached)"
        yield f"{mark} rule {tried.rule}{state}: {tried.when}"
        yield f"     {_value(tried.value, tried.why)}"
        for part in tried.parts:
            yield f"     {'  ' * part['depth']}{part['text']}: {_value(part['value'], part['why'])}"
    if found.unknown:
        yield f"   not known of this example: {', '.join(found.unknown)}; 'facts' can say them"
    for finding in found.findings:
        yield f"   {finding}"


def _value(value: Any, why: str | None) -> str:
    return f"unknown: {why}" if value is None else constant(value)


def _shown(then: Any) -> str:
    if isinstance(then, str):
        return f"'{then}'"
    return ", ".join(f"'{name}' ({weight:g})" for name, weight in then.items())
