"""Warm-up: a pool that was just opened runs once, is measured, and runs from then on as was found to pay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np

from quorate.clock import Clock
from quorate.codecs.snapshot import PoolRoute, PoolRun
from quorate.core.types import Tensors
from quorate.errors import QuorateError
from quorate.serving.background import Background
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.cost import INLINE_MS, Cost, measure
from quorate.serving.memory import give_back_memory
from quorate.serving.opening import AS_MEASURED, Opener
from quorate.serving.pool import LoadedPool
from quorate.serving.probing import PROBE_TIMEOUT
from quorate.serving.spreading import longest_first, side_by_side
from quorate.serving.tuning import SLOW_MS, Tuned, price, tune
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, Unit

log = logging.getLogger("quorate.serving")

SLOW_ROW_MS = 100.0
"""From here on a row is taken to cost all of a run's time: sixteen of them are not tried out."""


class Measurer:
    """Warms pools up on ``cores``; what takes long runs in the thread ``background``."""

    def __init__(self, opener: Opener, background: Background, clock: Clock, cores: int) -> None:
        self._opener = opener
        self._background = background
        self._clock = clock
        self._cores = cores

    async def warm_up(self, pool: LoadedPool, told: PoolRun | None) -> None:
        """Run, measure and tune all of a pool's units; ``told`` is what was said about how it runs.

        A member that fails starts with an open circuit.
        """
        run = told or AS_MEASURED
        units: list[tuple[Unit, Breaker]] = [(member.unit, member.breaker) for member in pool.members]
        units += [(graph, pool.breaker_of(graph)) for graph in pool.graphs]
        await asyncio.gather(*(self._warm(pool, unit, breaker) for unit, breaker in units))
        for unit, breaker in units:  # one after the other: they are measured, and must not disturb each other
            if breaker.state is Circuit.CLOSED:
                await self._measure(pool, run, unit, breaker)
        if run.threads is None:
            await self._spread(pool, run.lanes or self._cores)
        pool.lanes = run.lanes or max(1, self._cores // pool.threads)
        self._tell(pool, always=told is not None)

    def _tell(self, pool: LoadedPool, *, always: bool) -> None:
        """Say how slow pools run; with the others it does not matter."""
        slowest = max((unit.cost.of(1) for unit in pool.units_for(pool.everyone)), default=0.0)
        if slowest > INLINE_MS or always:
            log.info(
                "Pool '%s': a run of one row takes %.3g ms with %d threads; %d runs at once (cores: %d; tried: %s).",
                pool.route.name,
                slowest,
                pool.threads,
                pool.lanes,
                self._cores,
                ", ".join(f"{ms:.3g} ms with {threads}" for threads, ms in pool.tried.items()) or "nothing",
            )

    @staticmethod
    def _said(route: PoolRoute, unit: InProcessUnit) -> int:
        """The threads that a member which runs by itself declares; 1 where none does."""
        return 1 if isinstance(unit, GraphUnit) else route.members[unit.members[0]].threads or 1

    async def _warm(self, pool: LoadedPool, unit: Unit, breaker: Breaker) -> None:
        """Run once; a member that cannot do that starts with an open circuit."""
        if isinstance(unit, AbsentUnit):
            breaker.trip()
            return
        try:
            await pool.check(unit)
        except Exception as error:
            self._leave_out(pool, unit, breaker, error)

    async def _measure(self, pool: LoadedPool, run: PoolRun, unit: Unit, breaker: Breaker) -> None:
        sample = pool.prober.samples[unit.feed]
        try:
            if isinstance(unit, InProcessUnit):
                runs = unit in pool.units_for(pool.everyone)
                reopen = None
                if run.threads is None and runs:
                    reopen = self._opener.reopener(pool.route, unit, run)
                tuned = await self._background.submit(self._tuned, unit, reopen, sample)
                pool.replace(unit, tuned.unit)
                if runs:
                    pool.threads = max(pool.threads, tuned.threads, self._said(pool.route, unit))
                if tuned.tried.get(1, 0.0) > pool.tried.get(1, 0.0):
                    pool.tried = tuned.tried
            elif isinstance(unit, HostUnit):
                unit.measured(await self._time(unit, sample))
        except Exception as error:
            self._leave_out(pool, unit, breaker, error)

    async def _spread(self, pool: LoadedPool, lanes: int) -> None:
        """Run members side by side where that makes a request so much faster as the cores it takes are worth."""
        graph, lanes = pool.graph, min(lanes, self._cores, len(pool.members))
        units = [member.unit for member in pool.members if isinstance(member.unit, InProcessUnit)]
        if graph is None or lanes == 1 or graph.members != pool.everyone or len(units) < len(pool.members):
            return
        together = graph.cost.of(1)
        if together < SLOW_MS or not pool.sound or pool.graph_breaker.state is not Circuit.CLOSED:
            return
        jobs = [(unit, pool.prober.samples[unit.feed]) for unit in longest_first(units)]
        jobs = [(unit, repeated(sample, 1)) for unit, sample in jobs]
        apart = await self._background.submit(side_by_side, jobs, lanes, self._clock)
        if price(lanes, apart) >= price(pool.threads, together):
            return
        log.info(
            "Pool '%s': members run side by side, %.3g ms in %d threads; the fused graph takes %.3g ms in %d.",
            pool.route.name,
            apart,
            lanes,
            together,
            pool.threads,
        )
        pool.spread()
        await self._background.submit(_put_away, graph)

    async def _time(self, unit: HostUnit, sample: Tensors) -> Cost:
        """One row and, if that is quick, sixteen: what a member in a process of its own costs."""

        async def once(rows: int) -> float:
            started = self._clock.monotonic()
            replica = unit.replicas.least_busy()
            await unit.ask(replica.host if replica else unit.host, repeated(sample, rows), timeout=PROBE_TIMEOUT)
            return (self._clock.monotonic() - started) * 1000

        single = min([await once(1) for _ in range(3)])
        if single > SLOW_ROW_MS:
            return Cost(0.0, single)
        row = max(0.0, await once(16) - single) / 15
        return Cost(max(0.0, single - row), row)

    def _tuned(
        self, unit: InProcessUnit, reopen: Callable[[int], InProcessUnit] | None, sample: Tensors
    ) -> Tuned[InProcessUnit]:
        """The unit, or the same with more threads where that pays; measured. Nothing is tried without ``reopen``."""

        def cost(candidate: InProcessUnit) -> Cost:
            return measure(lambda rows: candidate.run(repeated(sample, rows)), self._clock)

        found = Tuned(unit, cost(unit), 1, {}) if reopen is None else tune(unit, reopen, cost, self._cores)
        found.unit.cost = found.cost
        return found

    def _leave_out(self, pool: LoadedPool, unit: Unit, breaker: Breaker, error: Exception) -> None:
        breaker.trip()
        if isinstance(unit, HostUnit):
            unit.close()
        unexpected = None if isinstance(error, QuorateError | OSError) else error
        log.error(
            "Member %s failed its warm-up and starts with an open circuit: %s",
            pool.names(unit),
            error,
            exc_info=unexpected,
        )


def _put_away(unit: Unit) -> None:
    unit.close()
    give_back_memory()


def repeated(sample: Tensors, rows: int) -> Tensors:
    """The first ``rows`` rows of a sample, repeated where it has fewer."""
    return {name: np.take(array, np.arange(rows) % len(array), axis=0) for name, array in sample.items()}
