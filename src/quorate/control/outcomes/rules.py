"""By which rules outcomes of a decision are judged: those of its own revision, so that no later edit changes what
counted."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from quorate.core.outcomes import OutcomeRules
from quorate.core.value import ValueSpec
from quorate.errors import NotFound
from quorate.store.revisions import revision


class Rules(NamedTuple):
    """Which values count, and what answers are worth (None: nothing is declared)."""

    outcomes: OutcomeRules = OutcomeRules()
    value: ValueSpec | None = None


DEFAULT = Rules()
MANY = 10_000


class RuleBook:
    """The rules of revisions, read once each: a revision never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Rules] = {}
        self._missing: set[tuple[str, int]] = set()

    def look_again(self) -> None:
        """Revisions that the store did not have may be there now."""
        self._missing.clear()

    def of(self, connection: sa.Connection, endpoint: str, number: int) -> Rules:
        """The rules of one revision; the defaults where the store does not have it."""
        key = (endpoint, number)
        found = self._known.get(key)
        if found is None and key not in self._missing:
            try:
                found = rules_in(revision(connection, endpoint, number).content)
            except NotFound:
                self._missing.add(key)
            else:
                if len(self._known) >= MANY:
                    self._known.clear()
                self._known[key] = found
        return found or DEFAULT


def rules_in(content: str) -> Rules:
    """The rules in a revision's content; a release that had none wrote none."""
    endpoint: dict[str, Any] = json.loads(content).get("endpoint", {})
    value = endpoint.get("value")
    return Rules(
        msgspec.convert(endpoint.get("outcomes") or {}, OutcomeRules),
        None if value is None else msgspec.convert(value, ValueSpec),
    )
