"""Runs of at most so many rows: what has more is run in parts, and the answers are put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from quorate.core.types import FloatArray, Tensors
from quorate.runtimes.base import Session


class Graph(Protocol):
    """A fused graph, loaded: the outputs of its members, float32 ``[n, m, k]``, in the order of its own."""

    def run(self, inputs: Tensors) -> FloatArray: ...

    def close(self) -> None: ...


def parts(tensors: Tensors, most: int) -> Iterator[Tensors]:
    """The rows in order, at most so many at a time.

    >>> [len(part["x"]) for part in parts({"x": np.zeros((5, 2))}, 2)]
    [2, 2, 1]
    """
    rows = len(next(iter(tensors.values())))
    for start in range(0, rows, most):
        yield {name: array[start : start + most] for name, array in tensors.items()}


class SessionInParts(Session):
    """A session that is never given more than ``most`` rows."""

    def __init__(self, session: Session, most: int) -> None:
        self._session = session
        self._most = most

    def run(self, inputs: Tensors) -> Tensors:
        """See :class:`Session`."""
        found = [self._session.run(part) for part in parts(inputs, self._most)]
        return (
            found[0] if len(found) == 1 else {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        )

    def close(self) -> None:
        """See :class:`Session`."""
        self._session.close()


class GraphInParts:
    """A fused graph that is never given more than ``most`` rows."""

    def __init__(self, graph: Graph, most: int) -> None:
        self._graph = graph
        self._most = most

    def run(self, inputs: Tensors) -> FloatArray:
        """See :class:`Graph`."""
        found = [self._graph.run(part) for part in parts(inputs, self._most)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def close(self) -> None:
        """See :class:`Graph`."""
        self._graph.close()
