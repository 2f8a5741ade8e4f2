"""The one door through which built-ins and add-ons enter: Python entry points.

A distribution adds a runtime, combiner, plan, policy or preprocessing step by declaring an entry point in
the group ``quorate.<family>``; Quorate's own are declared in its ``pyproject.toml`` the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from quorate.errors import ConfigError

FAMILIES = ("runtimes", "combiners", "plans", "policies", "steps")


@cache
def _declared(family: str) -> dict[str, EntryPoint]:
    if family not in FAMILIES:
        raise ValueError(f"unknown plugin family '{family}'; expected one of {', '.join(FAMILIES)}.")
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"quorate.{family}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigError(
                f"two plugins call themselves '{entry.name}' in quorate.{family}: {other.value} and {entry.value}; "
                "uninstall one of them."
            )
    return found


def names(family: str) -> tuple[str, ...]:
    """All names declared in a family, sorted; nothing is imported."""
    return tuple(sorted(_declared(family)))


@cache
def load(family: str, name: str) -> Any:
    """Import and return one plugin (a class); :class:`ConfigError` if there is none of that name."""
    entry = _declared(family).get(name)
    if entry is None:
        raise ConfigError(f"there is no '{name}' among the {family}; expected one of {', '.join(names(family))}.")
    return entry.load()


def build(family: str, kind: str, params: Mapping[str, Any], *leading: Any) -> Any:
    """Construct a plugin, with ``leading`` arguments before its declared parameters."""
    plugin = load(family, kind)
    return plugin(*leading, msgspec.convert(dict(params), plugin.Params))
