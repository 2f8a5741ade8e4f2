"""Apply a configuration that came over HTTP: it takes the place of ``quorate.yaml``, so that the file stays true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from quorate.clock import Clock
from quorate.codecs.snapshot import Routing
from quorate.control.experiments.holding import held, stays
from quorate.control.revisions.apply import Applied, apply, read_config
from quorate.control.revisions.publication import contents, numbers, published
from quorate.control.revisions.resolve import Resolved, resolve
from quorate.errors import ConfigError, Conflict
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
    """Apply ``text``, or the file as it is where that is None.

    :class:`ConfigError` where ``text`` is no configuration, :class:`Conflict` where it cannot be applied here or the
    snapshot is not ``expected``; then nothing has changed. The file is replaced first: a crash in between leaves it
    newer than what is served, and the next start applies it.
    """
    with _one_at_a_time:
        if text is None:
            with conflicts():
                return apply(home, registry, database, author=author, clock=clock, expected=expected)
        config = load(text, home.config.name)
        with conflicts():
            resolve(config, registry)
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


def preview(
    home: Home, registry: Registry, database: Database, text: bytes | None, *, expected: int | None = None
) -> Applied:
    """What :func:`submit` would do; a revision that would be new has the number it would get. It raises the same."""
    given = None if text is None else load(text, home.config.name)
    with conflicts():
        resolved = resolve(given or read_config(home)[0], registry)
    with database.read() as connection:
        newest = published(connection)
        served = newest[1] if newest else Routing(version=0)
        if expected not in (None, served.version):
            raise Conflict(f"The snapshot is at version {served.version} by now, not {expected}.", path="If-Match")
        revisions, changed = {}, []
        texts = contents(resolved.routing)
        under = held(connection)
        for name, experiment in under.items():
            stays(connection, experiment, texts.get(name), interrupt=False, author="", now=0.0)
        for name, whole in texts.items():
            before = newest_revision(connection, name)
            same = name in under or (before is not None and before.content == whole)
            revisions[name] = (before.number if before else 0) + (not same)
            if not same:
                changed.append(name)
    return _previewed(resolved, served, revisions, changed)


@contextmanager
def conflicts() -> Iterator[None]:
    """What is wrong here is not the request but how it meets the registry, or the file that lies there."""
    try:
        yield
    except ConfigError as error:
        raise Conflict(str(error), path=error.path) from error


def _previewed(resolved: Resolved, served: Routing, revisions: dict[str, int], changed: list[str]) -> Applied:
    removed = sorted(numbers(served).keys() - revisions.keys())
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
