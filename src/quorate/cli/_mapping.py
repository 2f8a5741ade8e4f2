"""Options that are written as in quorate.yaml: YAML, or JSON, which is YAML too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from quorate.errors import InvalidInput


def mapping(text: str, option: str) -> Mapping[str, Any]:
    """The mapping that ``text`` is; :class:`InvalidInput` naming the option."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{option} is neither YAML nor JSON: {' '.join(str(error).split())}.", path=option) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InvalidInput(
            f'{option} is a mapping as in quorate.yaml, like {{"kind": …}}, or names a file; got {text[:80]!r}.',
            path=option,
        )
    return found


def strategy(given: str | None) -> str | Mapping[str, Any] | None:
    """What ``--strategy`` says: a name, or a strategy where it begins as a mapping does."""
    return mapping(given, "--strategy") if given is not None and given.lstrip().startswith("{") else given
