"""What applying ``quorate.yaml`` would change, setting by setting, against the newest revisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from quorate.codecs.snapshot import Routing
from quorate.control.experiments.holding import base_content, held
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.publication import contents, numbers, published
from quorate.control.revisions.resolve import resolve
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.store.revisions import newest_revision


@dataclass(frozen=True)
class Change:
    """One setting that would change; None means that it is not there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Difference:
    """What would become of one endpoint or front, or (``endpoint`` None) of the settings that are not an endpoint's.

    ``revision`` is the one that is served now; None where there is none.
    """

    endpoint: str | None
    action: Literal["add", "change", "remove"]
    revision: int | None
    changes: tuple[Change, ...] = ()


def diff(home: Home, registry: Registry, database: Database) -> tuple[Difference, ...]:
    """Everything an apply would change, nothing if the file says what is served.

    :class:`~quorate.spec.ConfigProblems` if the file could not be applied.
    """
    config, _ = read_config(home)
    new = resolve(config, registry).routing
    found: list[Difference] = []
    with database.read() as connection:
        newest = published(connection)
        old = newest[1] if newest else Routing(version=0)
        served = numbers(old)
        under = held(connection)
        for name, after in contents(new).items():
            newest_one = newest_revision(connection, name)
            if newest_one is None or name not in served:
                found.append(Difference(name, "add", None))
                continue
            # An experiment's split is not what a file could say: it is compared with what was there before.
            before = base_content(connection, under[name]) if name in under else newest_one.content
            if before != after:
                changes = _changes(json.loads(before), json.loads(after))
                found.append(Difference(name, "change", newest_one.number, tuple(changes)))
    for name in sorted(served.keys() - numbers(new).keys()):
        found.append(Difference(name, "remove", served[name]))
    if settings := tuple(_changes(_settings(old), _settings(new))):
        found.append(Difference(None, "change", None, settings))
    return tuple(found)


def _settings(routing: Routing) -> Any:
    return msgspec.to_builtins(
        {
            "limits": routing.limits,
            "memory.budget": routing.memory_budget,
            "pools": routing.runs,
            "journal": routing.journal,
            "jobs": routing.jobs,
            "prices": routing.prices,
            "server.allowed_hosts": list(routing.hosts),
        }
    )


def _changes(before: Any, after: Any) -> Iterator[Change]:
    old, new = dict(_flat(before)), dict(_flat(after))
    for path in [*old, *(path for path in new if path not in old)]:
        if old.get(path) != new.get(path):
            yield Change(path, old.get(path), new.get(path))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by path; a list of named things (members, strategies) is told apart by names, not by places."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        yield f"{path} in order", [item["name"] for item in value]
        value = {item["name"]: {key: part for key, part in item.items() if key != "name"} for item in value}
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else key)
    else:
        yield path, value
