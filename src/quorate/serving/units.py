"""Units: what runs as one piece: a member in the worker, a fused graph of several, a member in its own process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from quorate.core.types import Artifact, Tensors
from quorate.runtimes.base import Session
from quorate.runtimes.host import MemberHost
from quorate.serving.lanes import INLINE_MS, Cost

UNMEASURED = Cost(2 * INLINE_MS, 0.0)


class Unit(ABC):
    """Members that run together, at positions ``members`` of the pool, fed by pipeline number ``feed``."""

    def __init__(self, members: tuple[int, ...], feed: int) -> None:
        self.members = members
        self.feed = feed
        self.cost = UNMEASURED

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds; the last use is over."""


class InProcessUnit(Unit):
    """Runs inside the worker, inline or on the thread lane."""

    @abstractmethod
    def run(self, tensors: Tensors) -> dict[int, Any]:
        """Raw outputs by position; raises :class:`~quorate.errors.MemberError`."""


class SessionUnit(InProcessUnit):
    """One member, one session."""

    def __init__(self, member: int, feed: int, session: Session, output_name: str) -> None:
        super().__init__((member,), feed)
        self._session = session
        self._output = output_name

    def run(self, tensors: Tensors) -> dict[int, Any]:
        return {self.members[0]: self._session.run(tensors)[self._output]}

    def close(self) -> None:
        self._session.close()


class Graph(Protocol):
    """A fused graph, loaded: its members' outputs ``[n, m, k]``, in their order."""

    def run(self, inputs: Tensors) -> NDArray[Any]: ...

    def close(self) -> None: ...


class GraphUnit(InProcessUnit):
    """All ONNX members of a pool in one graph; each run gives every member's output."""

    def __init__(self, members: tuple[int, ...], feed: int, graph: Graph) -> None:
        super().__init__(members, feed)
        self._graph = graph

    def run(self, tensors: Tensors) -> dict[int, Any]:
        stacked = self._graph.run(tensors)
        return {position: stacked[:, place] for place, position in enumerate(self.members)}

    def close(self) -> None:
        self._graph.close()


class HostUnit(Unit):
    """One member in a killable process."""

    def __init__(self, member: int, feed: int, artifact: Artifact, host: MemberHost) -> None:
        super().__init__((member,), feed)
        self._output = artifact.output_name
        self.host = host

    async def run(self, tensors: Tensors, *, timeout: float | None = None) -> dict[int, Any]:
        """Raw output by position; raises :class:`~quorate.errors.MemberError`."""
        return {self.members[0]: (await self.host.run(tensors, timeout=timeout))[self._output]}

    def close(self) -> None:
        self.host.kill()


class AbsentUnit(Unit):
    """A member that could not be loaded; ``load`` tries again."""

    def __init__(self, member: int, feed: int, load: Callable[[], Unit]) -> None:
        super().__init__((member,), feed)
        self.load = load

    def close(self) -> None:
        """Nothing is held."""
