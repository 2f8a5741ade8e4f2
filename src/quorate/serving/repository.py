"""The model repository extension: load and unload on request, in every worker, and across restarts.

A pool's members come into memory and go together, since they are fused into one graph: a member's name means its pool.
The name of an endpoint means the endpoint; its pool goes when no endpoint of it is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from quorate.codecs import change as change_codec
from quorate.codecs.change import Change
from quorate.codecs.journal import RecordKind
from quorate.errors import InvalidInput, NotFound, NotReady, Overloaded, QuorateError
from quorate.serving.desired import Desired, DesiredFile
from quorate.serving.journal import Journal
from quorate.serving.plane import Plane
from quorate.serving.pool import LoadedPool
from quorate.serving.residency import Residency

log = logging.getLogger("quorate.serving")

UNLOAD_S = 30.0
"""How long an unload may wait for the requests under way."""
RETRY_S = 5.0
_LOOK = 0.02


class Repository:
    """Keeps what is wanted, and makes this worker follow it; the others see the file.

    Who asked for what is written to the journal first: control adds it to the audit trail.
    """

    def __init__(self, file: DesiredFile, plane: Plane, residency: Residency, journal: Journal) -> None:
        self.desired = Desired()
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._plane = plane
        self._residency = residency
        self._journal = journal
        self._busy: dict[LoadedPool, asyncio.Task[None]] = {}
        self._again: dict[LoadedPool, float] = {}

    def read(self) -> Desired:
        """What is wanted, as the file says; where it cannot be read, that is logged and nothing changes."""
        self._stamp = self._file.stamp()
        try:
            self.desired = self._file.read()
        except QuorateError as error:
            log.error("%s", error)
        return self.desired

    def follow(self) -> None:
        """Look whether another worker was asked for something; called a few times a second."""
        if self._file.stamp() != self._stamp:
            self.read()
            self._again.clear()
        self.apply()

    def apply(self) -> None:
        """Have the present generation refuse or answer as is wanted, and start the loads and unloads this needs."""
        generation = self._plane.generation
        self.desired.mark(generation)
        now = self._plane.clock.monotonic()
        self._again = {pool: at for pool, at in self._again.items() if not pool.closed}
        for pool in generation.pools:
            if pool in self._busy or self._again.get(pool, now) > now:
                continue
            if pool.resident if pool.unloaded else pool.pinned and not pool.resident:
                task = self._busy[pool] = asyncio.ensure_future(self._settle(pool))
                task.add_done_callback(partial(self._settled, pool))

    def _settled(self, pool: LoadedPool, task: asyncio.Task[None]) -> None:
        self._busy.pop(pool, None)

    async def _settle(self, pool: LoadedPool) -> None:
        """Take a pool out once no request runs it, or bring it back."""
        try:
            if not pool.unloaded:
                await self._residency.hold(pool, strict=True)
            else:
                await self._residency.free(pool)
        except Exception as error:
            self._again[pool] = self._plane.clock.monotonic() + RETRY_S
            expected = isinstance(error, QuorateError | OSError)
            log.error("Pool '%s' cannot be loaded: %s", pool.route.name, error, exc_info=None if expected else error)

    # --- what is asked for ---

    async def load(self, name: str, by: str | None = None) -> None:
        """Bring an endpoint, or a pool with all of its endpoints, back and into memory; at once where it is there.

        ``by`` is the id of the caller's key. :class:`NotFound` for a name that is not served, :class:`Overloaded` where
        the journal cannot take it, else what keeps it from being loaded.
        """
        pool = self._named(name)
        await self._record("model.load", name, pool, by)
        await self._change(self._loading(name))
        task = self._busy.get(pool)
        if task is not None:
            await asyncio.wait([task])
        await self._residency.hold(pool, strict=True)

    async def unload(self, name: str, by: str | None = None) -> None:
        """Take an endpoint, or a pool with all of its endpoints, out; returns when its memory was given back.

        ``by`` is the id of the caller's key. :class:`NotFound` for a name that is not served, :class:`Overloaded` where
        the journal cannot take it, :class:`NotReady` where requests still run it after 30 s.
        """
        pool = self._named(name)
        await self._record("model.unload", name, pool, by)
        await self._change(self._unloading(name))
        clock = self._plane.clock
        until = clock.monotonic() + UNLOAD_S
        while pool.unloaded and pool.resident:
            if clock.monotonic() > until:
                raise NotReady(
                    f"Requests still run pool '{pool.route.name}' after {UNLOAD_S:g} s; '{name}' refuses new ones, and "
                    "the memory is given back when they end."
                )
            self.apply()
            await asyncio.sleep(_LOOK)

    async def _record(self, action: str, name: str, pool: LoadedPool, by: str | None) -> None:
        """Comes first, and refuses where it cannot be kept: nothing is changed of which there would be no trace."""
        actor = "inference port" if by is None else f"key {by}"
        change = Change(self._plane.clock.now(), actor, action, name, {"pool": pool.route.name})
        try:
            written = self._journal.append(change_codec.encode(change), RecordKind.CHANGE, on_full="shed")
            if written is not None:
                await written
        except Overloaded:
            raise Overloaded(
                "The change cannot be recorded now, so it is not made: the journal's disk is full, failing or stalled; "
                "retry later."
            ) from None

    async def _change(self, how: Callable[[Desired], Desired]) -> None:
        try:
            await asyncio.to_thread(self._file.change, how)
        except OSError as error:
            raise NotReady(f"What is to be in memory cannot be written ({error.strerror}); retry later.") from None
        self.read()
        self._again.clear()
        log.info("Unloaded now: %s.", ", ".join((*self.desired.endpoints, *self.desired.pools)) or "nothing")
        self.apply()

    def _named(self, name: str) -> LoadedPool:
        if not name:
            raise InvalidInput("The request names no model; send the name of an endpoint, a model or a pool.")
        generation = self._plane.generation
        if name in generation.endpoints:
            return generation.endpoints[name].pool
        if name in generation.models:
            return next(iter(generation.models[name].values())).pool
        for pool in generation.pools:
            if pool.route.name == name:
                return pool
        known = ", ".join(sorted({*generation.models, *generation.endpoints})) or "none"
        raise NotFound(f"There is no endpoint or model '{name[:64]}'; expected one of: {known}.", path="model_name")

    def _loading(self, name: str) -> Callable[[Desired], Desired]:
        pool, pools = self._named(name).route.name, self._pools()
        if name in pools:
            return lambda wanted: wanted.with_endpoint(name, pool)
        return lambda wanted: wanted.with_pool(pool, pools)

    def _unloading(self, name: str) -> Callable[[Desired], Desired]:
        pool = self._named(name).route.name
        if name in self._pools():
            return lambda wanted: wanted.without_endpoint(name, pool)
        return lambda wanted: wanted.without_pool(pool)

    def _pools(self) -> dict[str, str]:
        return {name: endpoint.route.pool for name, endpoint in self._plane.generation.endpoints.items()}
