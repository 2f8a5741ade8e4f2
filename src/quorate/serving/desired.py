"""What operators want out of memory: a small file that every worker follows, and that survives restarts.

It holds names only: what is in it and not served any more is ignored.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from quorate.codecs.snapshot import Routing
from quorate.errors import StoreError
from quorate.serving.generation import Generation

FORMAT = 1


class Desired(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Endpoints that answer nothing, and pools that are out of memory with all of theirs."""

    endpoints: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    format: int = FORMAT

    def pools_out(self, routing: Routing) -> frozenset[str]:
        """Pools that are to be out of memory: those that are named, and those without an endpoint that answers."""
        over: dict[str, list[str]] = {}
        for endpoint in routing.endpoints:
            over.setdefault(endpoint.pool, []).append(endpoint.name)
        silent = {pool for pool, names in over.items() if set(names) <= set(self.endpoints)}
        return frozenset(silent | {pool.name for pool in routing.pools if pool.name in self.pools})

    def mark(self, generation: Generation) -> None:
        """Have the endpoints and pools of a generation refuse requests, or take them again."""
        out = self.pools_out(generation.routing)
        for pool in generation.pools:
            pool.unloaded = pool.route.name in out
        for endpoint in generation.endpoints.values():
            endpoint.unloaded = endpoint.name in self.endpoints or endpoint.pool.unloaded

    def without_endpoint(self, name: str, pool: str) -> Desired:
        """An endpoint out."""
        return Desired(_with(self.endpoints, name), self.pools)

    def with_endpoint(self, name: str, pool: str) -> Desired:
        """An endpoint in, and its pool."""
        return Desired(_less(self.endpoints, {name}), _less(self.pools, {pool}))

    def without_pool(self, name: str) -> Desired:
        """A pool out."""
        return Desired(self.endpoints, _with(self.pools, name))

    def with_pool(self, name: str, pools: Mapping[str, str]) -> Desired:
        """A pool in, and all its endpoints; ``pools`` are those of the endpoints."""
        over = {endpoint for endpoint, pool in pools.items() if pool == name}
        return Desired(_less(self.endpoints, over), _less(self.pools, {name}))


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(sorted({*names, name}))


def _less(names: tuple[str, ...], gone: set[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names) - gone))


class DesiredFile:
    """The file; changes are one at a time over all processes, and readers see the old or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self) -> tuple[int, int] | None:
        """Differs after a change; cheap enough to poll. None where nothing was ever unloaded."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read(self) -> Desired:
        """What is wanted now; :class:`StoreError` if the file cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Desired)
        except FileNotFoundError:
            return Desired()
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{self._path} cannot be read ({error}); delete it, and unload again what is to be out of memory."
            ) from None

    def change(self, how: Callable[[Desired], Desired]) -> Desired:
        """Change what is wanted; returns it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path.with_suffix(".lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wanted = how(self.read())
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            with open(temporary, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(wanted), indent=1))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        return wanted
