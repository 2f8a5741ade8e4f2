"""Units: what runs as one piece: a member in the worker, a fused graph of several, a member in its own process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf

import numpy as np

from quorate.clock import Clock, SystemClock
from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.runtimes import adapt
from quorate.runtimes.base import Session
from quorate.runtimes.host import MemberHost
from quorate.runtimes.signature import as_answer
from quorate.serving.cost import INLINE_MS, Cost
from quorate.serving.parts import Graph, parts
from quorate.serving.replicas import Replicas

_SYSTEM_CLOCK = SystemClock()
UNMEASURED = Cost(2 * INLINE_MS, 0.0)


class Unit(ABC):
    """Members that run together, at positions ``members`` of the pool, fed by pipeline number ``feed``."""

    def __init__(self, members: tuple[int, ...], feed: int) -> None:
        self.members = members
        self.feed = feed
        self.cost = UNMEASURED
        self.max_rows: int | None = None
        """Rows of one run at most, where that was said; more are run in parts."""
        self.joins = True
        """Whether rows of different requests may share a run: a row's answer does not depend on the others."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds; the last use is over."""


class InProcessUnit(Unit):
    """Runs inside the worker, inline or on the thread lane."""

    @abstractmethod
    def run(self, tensors: Tensors) -> FloatArray:
        """Outputs ``[n, m, k]``, m as in ``members``; raises :class:`~quorate.errors.MemberError`."""


class SessionUnit(InProcessUnit):
    """One member, one session."""

    def __init__(self, member: int, feed: int, session: Session, artifact: Artifact) -> None:
        super().__init__((member,), feed)
        self._session = session
        self._artifact = artifact

    def run(self, tensors: Tensors) -> FloatArray:
        return as_answer(self._artifact, self._session.run(tensors)[self._artifact.output_name], _rows(tensors))[
            :, None
        ]

    def close(self) -> None:
        self._session.close()


class GraphUnit(InProcessUnit):
    """ONNX members of a pool in one graph; each run gives every member's output."""

    def __init__(self, members: tuple[int, ...], feed: int, graph: Graph) -> None:
        super().__init__(members, feed)
        self._graph = graph

    def run(self, tensors: Tensors) -> FloatArray:
        return self._graph.run(tensors)

    def close(self) -> None:
        self._graph.close()


class HostUnit(Unit):
    """One member in a killable process, or in several."""

    def __init__(
        self, member: int, feed: int, artifact: Artifact, *hosts: MemberHost, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        super().__init__((member,), feed)
        self._artifact = artifact
        # Of somebody's own function nobody knows whether it looks at all rows together, or does more than answer,
        # unless it is declared.
        foreign = artifact.format == "callable"
        self.joins = not foreign or artifact.options.get(adapt.ROWS) == adapt.TOGETHER
        self.replicas = Replicas(hosts, clock=clock, pure=not foreign or adapt.is_pure(artifact))

    @property
    def host(self) -> MemberHost:
        """Its first process, which is the only one unless it was given more."""
        return self.replicas.all[0].host

    @property
    def ready(self) -> bool:
        """Whether any of its processes runs."""
        return self.replicas.ready

    @property
    def width(self) -> int:
        """Runs that may be under way: one per process, and one ahead so that none waits for its next."""
        return len(self.replicas.all) + 1

    async def run(self, tensors: Tensors, *, until: float = inf, limit: float = inf, again: bool = True) -> FloatArray:
        """Outputs ``[n, 1, k]``; see :meth:`Replicas.run`; raises :class:`~quorate.errors.MemberError`."""
        return await self.replicas.run(
            lambda host: self.ask(host, tensors), _rows(tensors), until=until, limit=limit, again=again
        )

    async def ask(self, host: MemberHost, tensors: Tensors, *, timeout: float | None = None) -> FloatArray:
        """The same from one of its processes; ``timeout`` is of each part of a run."""
        if self.max_rows is None or _rows(tensors) <= self.max_rows:
            outputs = await host.run(tensors, timeout=timeout)
            return as_answer(self._artifact, outputs.get(self._artifact.output_name), _rows(tensors))[:, None]
        found = [await self.ask(host, part, timeout=timeout) for part in parts(tensors, self.max_rows)]
        return np.concatenate(found)

    def measured(self, cost: Cost) -> None:
        """What a run of it was measured to cost."""
        self.cost = cost
        self.replicas.measured(cost)

    def close(self) -> None:
        for replica in self.replicas.all:
            replica.host.kill()


def _rows(tensors: Tensors) -> int:
    return len(next(iter(tensors.values())))


class AbsentUnit(Unit):
    """A member that could not be loaded; ``load`` tries again."""

    def __init__(self, member: int, feed: int, load: Callable[[], Unit]) -> None:
        super().__init__((member,), feed)
        self.load = load

    def close(self) -> None:
        """Nothing is held."""
