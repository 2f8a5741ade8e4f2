"""Apply a configuration that came over HTTP: it takes the place of ``quorate.yaml``, so that the file stays true."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock

from quorate.clock import Clock
from quorate.codecs.snapshot import Routing
from quorate.control.apply import Applied, apply, read_config
from quorate.control.resolve import Resolved, resolve
from quorate.control.revisions import content, published
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.store.database import Database
from quorate.store.revisions import newest_revision

_one_at_a_time = Lock()


def submit(
    home: Home,
    registry: Registry,
    database: Database,
    text: bytes | None,
    *,
    author: str,
    clock: Clock,
    expected: int | None = None,
) -> Applied:
    """Apply ``text``, or the file as it is where that is None; where :func:`apply` raises, nothing has changed.

    The file is replaced first: a crash in between leaves it newer than what is served, and the next start applies it.
    """
    with _one_at_a_time:
        if text is None:
            return apply(home, registry, database, author=author, clock=clock, expected=expected)
        resolve(load(text, home.config.name), registry)
        before = home.config.read_bytes() if home.config.exists() else None
        _replace(home.config, text)
        try:
            return apply(home, registry, database, author=author, clock=clock, expected=expected)
        except BaseException:
            if before is None:
                home.config.unlink()
            else:
                _replace(home.config, before)
            raise


def preview(home: Home, registry: Registry, database: Database, text: bytes | None) -> Applied:
    """What :func:`submit` would do; a revision that would be new has the number it would get."""
    config = read_config(home)[0] if text is None else load(text, home.config.name)
    resolved = resolve(config, registry)
    with database.read() as connection:
        newest = published(connection)
        served = newest[1] if newest else Routing(version=0)
        revisions, changed = {}, []
        pools = {pool.name: pool for pool in resolved.routing.pools}
        for endpoint in resolved.routing.endpoints:
            before = newest_revision(connection, endpoint.name)
            same = before is not None and before.content == content(endpoint, pools[endpoint.pool])
            revisions[endpoint.name] = (before.number if before else 0) + (not same)
            if not same:
                changed.append(endpoint.name)
    return _previewed(resolved, served, revisions, changed)


def _previewed(resolved: Resolved, served: Routing, revisions: dict[str, int], changed: list[str]) -> Applied:
    removed = sorted({endpoint.name for endpoint in served.endpoints} - revisions.keys())
    return Applied(revisions, served.version, tuple(changed), tuple(removed), resolved.notices)


def _replace(path: Path, text: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
