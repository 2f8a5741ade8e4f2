"""Probes: held-out rows that tell whether a member whose circuit is open works again. Never a caller's request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from quorate.core.types import FloatArray, OutputSpec, Tensors
from quorate.errors import MemberTimeout, QuorateError, SignatureViolation
from quorate.runtimes.signature import usable
from quorate.serving.breaker import Breaker
from quorate.serving.lanes import ThreadLane
from quorate.serving.member import LoadedMember
from quorate.serving.replicas import Replica
from quorate.serving.units import AbsentUnit, HostUnit, InProcessUnit, Unit

log = logging.getLogger("quorate.serving")

PROBE_TIMEOUT = 5.0


class Prober:
    """Tries the units of ``members`` on ``samples``, the held-out rows, one set of tensors for each preprocessing.

    It kills member processes that hang; what is whole again has its circuit closed.
    """

    def __init__(
        self, members: Sequence[LoadedMember], samples: Sequence[Tensors], output: OutputSpec, lane: ThreadLane
    ) -> None:
        self.samples = tuple(samples)
        self._members = members
        self._output = output
        self._lane = lane
        self._probes: set[asyncio.Task[None]] = set()
        self._closed = False

    def close(self) -> None:
        """Stop the probes under way."""
        self._closed = True
        for task in self._probes:
            task.cancel()

    def names(self, unit: Unit) -> str:
        """The members of a unit, for messages."""
        return ", ".join(f"'{self._members[position].name}'" for position in unit.members)

    def tick(self) -> None:
        """Look after member processes, and start the probes of members that are due."""
        for member in self._members:
            if isinstance(member.unit, HostUnit):
                self._tend(member.unit, member.breaker)
            if member.breaker.probe_due():
                self.probe(member.unit, member.breaker)

    def kill(self, unit: HostUnit, replicas: Sequence[Replica]) -> None:
        """Kill these processes of a member; its circuit opens where no other runs."""
        for replica in replicas:
            replica.host.kill()
        if replicas and not unit.ready:
            self._members[unit.members[0]].breaker.trip()

    def _tend(self, unit: HostUnit, breaker: Breaker) -> None:
        """Kill processes that hang, and restart dead ones beside those that answer; alone, the member's probe does."""
        self.kill(unit, unit.replicas.overdue())
        if not unit.ready:
            breaker.trip()
        if len(unit.replicas.all) == 1:
            return
        for replica in unit.replicas.all:
            if not replica.host.ready:
                replica.breaker.trip()
            if replica.breaker.probe_due():
                self._spawn(self._probe_replica(unit, replica))

    def probe(self, unit: Unit, breaker: Breaker) -> None:
        """Start the probe of a unit, whose circuit is told what came of it."""
        self._spawn(self._probe(unit, breaker))

    def _spawn(self, probe: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(probe)
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _probe(self, unit: Unit, breaker: Breaker) -> None:
        ok = await self._passes(unit, self.check(unit), lambda: unit.close() if isinstance(unit, HostUnit) else None)
        if not self._closed:
            breaker.probed(ok)

    async def _probe_replica(self, unit: HostUnit, replica: Replica) -> None:
        ok = await self._passes(unit, self._check_replica(unit, replica), replica.host.kill)
        if not self._closed and not ok:
            replica.breaker.probed(False)

    async def _passes(self, unit: Unit, check: Awaitable[None], fails: Callable[[], None]) -> bool:
        try:
            await check
            return True
        except (QuorateError, OSError) as error:
            log.warning("Member %s failed a probe; its circuit stays open: %s", self.names(unit), error)
            fails()
        except Exception:
            log.exception("Member %s failed a probe in a way it must not", self.names(unit))
        return False

    async def check(self, unit: Unit) -> None:
        """Run a unit on held-out rows, loading it or starting its processes if need be; raises what is wrong with it.

        Of several processes one must pass; the others are tried again while that one answers.
        """
        if isinstance(unit, AbsentUnit):
            unit = self._members[unit.members[0]].unit = await self._lane.submit(unit.load)
        if not isinstance(unit, HostUnit):
            self._expect_good(unit, await self._run_in_process(unit, self.samples[unit.feed]))
            return
        replicas = unit.replicas.all
        results = await asyncio.gather(*(self._check_replica(unit, one) for one in replicas), return_exceptions=True)
        failed = [(one, error) for one, error in zip(replicas, results, strict=True) if error is not None]
        if len(failed) == len(replicas):
            raise failed[0][1]
        for one, error in failed:
            log.warning("A process of member %s failed a probe and is restarted: %s", self.names(unit), error)
            one.host.kill()

    async def _check_replica(self, unit: HostUnit, replica: Replica) -> None:
        await replica.revive()
        self._expect_good(unit, await unit.ask(replica.host, self.samples[unit.feed], timeout=PROBE_TIMEOUT))
        unit.replicas.passed(replica)

    def _expect_good(self, unit: Unit, values: FloatArray) -> None:
        for column, position in enumerate(unit.members):
            if not usable(values[:, column], self._output).all():
                name = self._members[position].name
                raise SignatureViolation(f"Member '{name}' does not answer held-out rows as it declares.")

    async def _run_in_process(self, unit: Unit, sample: Tensors) -> FloatArray:
        assert isinstance(unit, InProcessUnit)  # noqa: S101 - the only kind left
        run = self._lane.submit(lambda: unit.run(sample), limit=PROBE_TIMEOUT)
        try:
            return await asyncio.wait_for(run, PROBE_TIMEOUT)
        except TimeoutError:
            raise MemberTimeout(
                f"Member {self.names(unit)} did not answer held-out rows within {PROBE_TIMEOUT:g} s."
            ) from None
