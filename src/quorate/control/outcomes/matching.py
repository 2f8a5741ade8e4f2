"""Decisions found by what the user's own systems know of them: a request id, a key of the context, perhaps a time.

The journal has no index of these, so all decisions that are kept are read once. What matches no decision, or several,
is not guessed at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from quorate.codecs.lookup import JournalReader
from quorate.core.types import Decision
from quorate.errors import ConfigError

FIELDS = ("request_id", "idempotency_key", "traceparent", "unit")
CONTEXT = "context."


class Match(NamedTuple):
    """A decision and when its request arrived (Unix seconds)."""

    id: str
    arrived: float


def check_key(by: str) -> None:
    """Raise :class:`ConfigError` for what decisions cannot be found by."""
    if by not in FIELDS and not (by.startswith(CONTEXT) and len(by) > len(CONTEXT)):
        raise ConfigError(
            f"Decisions cannot be found by '{by}'; expected id, {', '.join(FIELDS)} or context.KEY.", path="--by"
        )


def key_of(decision: Decision, by: str) -> str | None:
    """What a decision has under the key, as text; None where it has nothing."""
    if by.startswith(CONTEXT):
        value = decision.context.get(by.removeprefix(CONTEXT))
        return None if value is None else str(value)
    found: str | None = getattr(decision, by)
    return found


def find(
    decisions: Iterable[Decision], by: str, wanted: Collection[str], endpoint: str | None = None
) -> dict[str, list[Match]]:
    """The decisions, of one endpoint or of all, for each of the wanted keys that has any."""
    check_key(by)
    found: dict[str, list[Match]] = {}
    for decision in decisions:
        if endpoint is None or decision.endpoint == endpoint:
            key = key_of(decision, by)
            if key is not None and key in wanted:
                found.setdefault(key, []).append(Match(decision.id, decision.arrived))
    return found


def find_in(
    reader: JournalReader, by: str, wanted: Collection[str], endpoint: str | None = None
) -> dict[str, list[Match]]:
    """The same of all decisions in a journal."""
    return find(reader.decisions(), by, wanted, endpoint)


def the_one(
    key: str, matches: Mapping[str, list[Match]], *, at: float | None = None, within_s: float = 0.0
) -> str | None:
    """The id of the only decision with that key, or, with ``at``, of the only one that arrived in the ``within_s``
    seconds before it. None where there is none, :class:`LookupError` where there are several."""
    found = matches.get(key, [])
    if at is not None:
        found = [match for match in found if at - within_s <= match.arrived <= at]
    if len(found) > 1:
        raise LookupError(f"{len(found)} decisions have it")
    return found[0].id if found else None
