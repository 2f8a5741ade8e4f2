"""Apply ``quorate.yaml``: new revisions of the endpoints that change, and a new routing manifest for the workers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import PoolRoute, Routing
from quorate.control import keys
from quorate.control.experiments.holding import held, stays
from quorate.control.revisions.fuse import fuse
from quorate.control.revisions.publication import changing, contents, numbers, published, record, repair
from quorate.control.revisions.resolve import Resolved, resolve
from quorate.control.revisions.together import together
from quorate.errors import ConfigError, Conflict
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import Config, load
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.revisions import Publication, add_revision, newest_revision


@dataclass(frozen=True)
class Applied:
    """What an apply did: the endpoints' revisions now, which of them are new, which endpoints went, what to know."""

    revisions: Mapping[str, int]
    snapshot_version: int
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def read_file(home: Home) -> bytes:
    """The text of the project's configuration; :class:`ConfigError` where there is none."""
    try:
        return home.config.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"There is no {home.config.name} in {home.root}; write one, or name the project's folder with --project."
        ) from None
    except OSError as error:
        raise ConfigError(f"{home.config} cannot be read: {error.strerror}.") from None


def read_config(home: Home) -> tuple[Config, str]:
    """The project's configuration and its file's SHA-256; :class:`ConfigError` where there is none or it is wrong."""
    raw = read_file(home)
    return load(raw, home.config.name), hashlib.sha256(raw).hexdigest()


def apply(
    home: Home, registry: Registry, database: Database, *, author: str, clock: Clock, expected: int | None = None
) -> Applied:
    """Make the endpoints as the file says; an endpoint that resolves to the same keeps its revision.

    ``expected`` is the snapshot version the caller has seen: :class:`Conflict` if there is another by now.
    :class:`~quorate.spec.ConfigProblems` with everything that is wrong, :class:`Conflict` where an endpoint that would
    change is under an experiment; then nothing has changed.
    """
    with changing(home):
        repair(home, database)
        config, digest = read_config(home)
        return _apply(home, registry, database, config, digest, author=author, clock=clock, expected=expected)


def apply_if_changed(home: Home, registry: Registry, database: Database, *, author: str, clock: Clock) -> Applied:
    """Apply the file if it is not the one applied last, as at the start of a server; else only repair the snapshot.

    So what came after the last apply, a promotion or a roll-back, survives a restart with an unchanged file. An
    experiment whose endpoint the file changes ends as interrupted: a server must be able to start.
    """
    with changing(home):
        repair(home, database)
        config, digest = read_config(home)
        with database.read() as connection:
            newest = published(connection)
        if newest is not None and newest[0].config_digest == digest:
            return Applied(numbers(newest[1]), newest[0].version)
        return _apply(
            home, registry, database, config, digest, author=author, clock=clock, expected=None, interrupt=True
        )


def _apply(
    home: Home,
    registry: Registry,
    database: Database,
    config: Config,
    digest: str,
    *,
    author: str,
    clock: Clock,
    expected: int | None,
    interrupt: bool = False,
) -> Applied:
    resolved = resolve(config, registry)
    with database.read() as connection:
        newest = published(connection)
    pools, notices = _fused(resolved, registry, newest[1].pools if newest else ())
    now = clock.now()
    with database.begin() as connection:
        newest = published(connection)
        _require(expected, newest)
        previous = newest[1] if newest else Routing(version=0)
        texts = contents(msgspec.structs.replace(resolved.routing, pools=pools))
        kept = {
            name: experiment
            for name, experiment in held(connection).items()
            if stays(connection, experiment, texts.get(name), interrupt=interrupt, author=author, now=now)
        }
        revised, changed = {}, []
        for name, text in texts.items():
            if name in kept:
                revised[name] = kept[name].revision or 0
                continue
            before = newest_revision(connection, name)
            revision = add_revision(connection, name, text, author=author, now=now)
            revised[name] = revision.number
            if before is None or before.number != revision.number:
                changed.append(name)
        routing = msgspec.structs.replace(
            resolved.routing,
            version=previous.version,
            pools=pools,
            endpoints=tuple(
                next(old for old in previous.endpoints if old.name == e.name)
                if e.name in kept
                else msgspec.structs.replace(e, revision=revised[e.name])
                for e in resolved.routing.endpoints
            ),
            fronts=tuple(msgspec.structs.replace(f, revision=revised[f.name]) for f in resolved.routing.fronts),
            keys=keys.routes(connection),
            secret=previous.secret or secrets.token_hex(16),  # never changed: units keep their arms
        )
        removed = tuple(sorted(numbers(previous).keys() - numbers(routing).keys()))
        notices += tuple(f"endpoints.{name} is under an experiment, which goes on." for name in sorted(kept))
        applied = Applied(numbers(routing), previous.version, tuple(changed), removed, notices)
        if newest is not None and newest[0].config_digest == digest and _same(routing, previous):
            return applied
        routing = record(home, connection, routing, config_digest=digest, author=author, now=now)
        applied = replace(applied, snapshot_version=routing.version)
        detail = {
            "snapshot": routing.version,
            "config_digest": digest,
            "changed": {name: applied.revisions[name] for name in changed},
            "removed": list(removed),
        }
        add_entry(connection, at=now, actor=author, action="apply", subject=home.config.name, detail=detail)
    snapshot.write(home.snapshot, routing)
    return applied


def _fused(
    resolved: Resolved, registry: Registry, known: tuple[PoolRoute, ...]
) -> tuple[tuple[PoolRoute, ...], tuple[str, ...]]:
    endpoints = resolved.routing.endpoints
    done = [fuse(pool, registry, known, together(pool, endpoints)) for pool in resolved.routing.pools]
    reasons = tuple(reason for _, reason in done if reason is not None)
    return tuple(pool for pool, _ in done), (*resolved.notices, *reasons)


def _require(expected: int | None, newest: tuple[Publication, Routing] | None) -> None:
    found = newest[0].version if newest else 0
    if expected is not None and expected != found:
        raise Conflict(
            f"The snapshot is at version {found} by now, not {expected}: somebody else has applied something. "
            "Look at `quorate diff` and apply again.",
            path="If-Match",
        )


def _same(routing: Routing, previous: Routing) -> bool:
    return msgspec.json.encode(routing, order="sorted") == msgspec.json.encode(previous, order="sorted")
