"""Residency: which pools of a worker are in memory. Pinned ones always are, others by use, within a budget.

A pool that is not pinned is loaded by its first request, in the background; whoever wants it meanwhile waits for the
same load. For room, the pools that were used least recently go, but never one that requests run. What is loaded at a
time is one pool, so that its growth of the process can be measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from quorate.clock import Clock
from quorate.errors import NotReady, Overloaded, QuorateError
from quorate.serving.pool import LoadedPool
from quorate.serving.units import Unit

log = logging.getLogger("quorate.serving")

Fill = Callable[[LoadedPool, bool], Awaitable[LoadedPool]]
"""Loads what a pool's route describes; strictly, or leaving out what is damaged."""
Discard = Callable[[Sequence[Unit]], Awaitable[None]]
"""Closes units and gives their memory back to the system."""


async def _nothing_to_fill(pool: LoadedPool, strict: bool) -> LoadedPool:
    raise NotReady(f"Pool '{pool.route.name}' is not in memory, and nothing here loads it.")


async def _close(units: Sequence[Unit]) -> None:
    for unit in units:
        unit.close()


class Residency:
    """Brings pools into memory and takes them out; belongs to the event loop.

    ``budget`` is bytes, None for any number. ``crowded``: a load waits for the requests of another pool to end, and is
    to be told by :meth:`idle`.
    """

    def __init__(self, *, clock: Clock, fill: Fill = _nothing_to_fill, discard: Discard = _close) -> None:
        self.budget: int | None = None
        self.crowded = False
        self._clock = clock
        self._fill = fill
        self._discard = discard
        self._resident: set[LoadedPool] = set()
        self._loads: dict[LoadedPool, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @property
    def taken(self) -> int:
        """Bytes of the pools that are in memory."""
        self._forget()
        return sum(pool.footprint for pool in self._resident)

    def _forget(self) -> None:
        """Let go of pools that were closed: nobody else has them any more, and they are not small."""
        self._resident = {pool for pool in self._resident if pool.resident and not pool.closed}

    def idle(self) -> None:
        """A pool has no requests any more."""
        self._left.set()

    # --- in ---

    async def bring(self, pool: LoadedPool, until: float) -> None:
        """Have a pool in memory by ``until`` (monotonic seconds), for a request.

        :class:`NotReady` where it is unloaded, cannot be loaded or takes longer (the load goes on), :class:`Overloaded`
        where there is no room for it.
        """
        if pool.unloaded:
            raise unloaded("Pool", pool.route.name)
        pool.requests += 1
        try:
            async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                await asyncio.shield(self._load(pool))
        except TimeoutError:
            raise self._late(pool) from None
        finally:
            pool.requests -= 1
            self._left.set()

    async def hold(self, pool: LoadedPool, *, strict: bool) -> None:
        """Have a pool in memory, however long that takes; errors as those of loading, and :class:`Overloaded`."""
        if not pool.resident:
            await self._into_memory(pool, strict)

    def _load(self, pool: LoadedPool) -> asyncio.Task[None]:
        task = self._loads.get(pool)
        if task is None:
            task = self._loads[pool] = asyncio.ensure_future(self._answerable(pool))
            task.add_done_callback(lambda done: self._loaded(pool, done))
        return task

    def _loaded(self, pool: LoadedPool, task: asyncio.Task[None]) -> None:
        self._loads.pop(pool, None)
        if not task.cancelled():
            task.exception()  # is everybody's who waited; where nobody did any more, it was logged

    async def _answerable(self, pool: LoadedPool) -> None:
        name = pool.route.name
        try:
            await self._into_memory(pool, strict=True)
        except (Overloaded, NotReady):
            raise
        except (QuorateError, OSError) as error:
            log.error("Pool '%s' cannot be loaded: %s", name, error)
            raise NotReady(f"Pool '{name}' cannot be loaded now ({error}); retry later.", retry_after=5.0) from None

    async def _into_memory(self, pool: LoadedPool, strict: bool) -> None:
        async with self._turn:
            if pool.resident:
                return
            await self._make_room(pool, pool.footprint)
            started = self._clock.monotonic()
            loaded = await self._fill(pool, strict)
            loaded.load_s = pool.load_s = self._clock.monotonic() - started
            pool.footprint = loaded.footprint  # known from now on, whether it fits or not
            try:
                await self._make_room(pool, loaded.footprint)
                if pool.closed or pool.unloaded:
                    raise unloaded("Pool", pool.route.name)
            except BaseException:
                await self._discard(loaded.units)
                raise
            pool.fill(loaded)
            self._forget()
            self._resident.add(pool)

    async def _make_room(self, pool: LoadedPool, need: int) -> None:
        """Take out what was used least recently until ``need`` bytes fit; a pinned pool comes in whatever remains."""
        if self.budget is None:
            return
        name, budget = pool.route.name, self.budget
        while (taken := self.taken) + need > budget:
            idle = [other for other in self._resident if not other.pinned and not other.requests]
            if idle:
                await self._out(min(idle, key=lambda other: other.used))
                continue
            if pool.pinned:
                return
            fixed = sum(other.footprint for other in self._resident if other.pinned)
            if fixed + need > budget:
                raise Overloaded(
                    f"Pool '{name}' takes {_mib(need)} of memory and {_mib(budget - fixed)} of the budget is not taken "
                    "by pinned pools; raise memory.budget, or pin less.",
                    retry_after=60.0,
                )
            if not pool.requests:  # nobody waits any more
                raise Overloaded(
                    f"Pool '{name}' takes {_mib(need)} of memory and {_mib(budget - taken)} are free; all other pools "
                    "answer requests just now."
                )
            await self._until_idle()

    async def _until_idle(self) -> None:
        self.crowded = True
        self._left.clear()
        try:
            await self._left.wait()
        finally:
            self.crowded = False

    def _late(self, pool: LoadedPool) -> QuorateError:
        name = pool.route.name
        if self.crowded:
            return Overloaded(
                f"There was no room in memory for pool '{name}' in time: the others answer requests; retry later."
            )
        expected = pool.load_s or 1.0
        return NotReady(
            f"Pool '{name}' is being loaded and was not ready in time; retry, or raise the deadline.",
            retry_after=expected,
        )

    # --- out ---

    async def free(self, pool: LoadedPool) -> bool:
        """Take a pool out of memory; False where requests run it."""
        async with self._turn:
            if pool.resident and not pool.requests:
                await self._out(pool)
            return not pool.resident

    async def _out(self, pool: LoadedPool) -> None:
        units = pool.vacate()
        self._resident.discard(pool)
        await self._discard(units)


def unloaded(kind: str, name: str) -> NotReady:
    """What a request gets for something that was unloaded on purpose."""
    return NotReady(
        f"{kind} '{name}' is unloaded; POST /v2/repository/models/{name}/load (role admin) loads it again.",
        path="model_name",
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
