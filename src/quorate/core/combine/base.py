"""The contract of a combiner: how the outputs of several members become one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, OutputKind, OutputSpec, State, StatusArray

Truths = NDArray[np.float64]
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoParams:
    """For plugins that take no parameters."""


class Told(NamedTuple):
    """``rows`` that were learned from, the ``trust`` in each expert (members among them, sums to 1), and how much
    more than any one expert has been lost at most."""

    rows: int
    trust: Mapping[str, float]
    certificate: float


class Combiner(ABC):
    """Stateless: parameters at construction, fitted state as an argument, so answers can be replayed exactly.

    Class attributes declare what a subclass is: ``kind`` (its name in ``quorate.yaml``), ``Params`` (a frozen
    dataclass of its own settings), ``output_kinds`` it can combine, ``needs_state`` (fitted state from the
    registry), ``learns`` (its state comes from outcomes, while it serves), ``watches`` (decisions without an outcome
    teach it too), ``missing`` (its rule for members that failed or were skipped, in words).
    """

    kind: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams
    output_kinds: ClassVar[frozenset[OutputKind]] = frozenset({"scores"})
    needs_state: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    watches: ClassVar[bool] = False
    missing: ClassVar[str]

    def __init__(self, params: Any = None) -> None:
        self.params = params if params is not None else self.Params()

    def feature_width(self, state: State | None) -> int:
        """How many numbers a row it looks at besides the members' outputs: d of ``features``; 0 for none at all."""
        return 0

    @abstractmethod
    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """Raise :class:`~quorate.errors.ConfigError` if this cannot combine those members' outputs.

        Called when a spec is applied, never per request. ``path`` of the error is relative to the strategy.
        """

    @abstractmethod
    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """Combine member outputs ``[n, m, k]`` under ``status`` ``[n, m]`` into answers float32 ``[n, k]``.

        Defined for every row with at least one ``OK`` member; a row with none is all NaN. Values at entries that
        are not ``OK`` are never read into the answer. Scores come out non-negative with rows that sum to 1.
        ``features`` ``[n, d]`` are given where :meth:`feature_width` asks for them: the inputs as the strategy's first
        member gets them, preprocessed and flattened.
        Inputs are not changed; a row's answer depends on that row only.
        """

    def learn(
        self,
        state: State | None,
        outputs: FloatArray,
        status: StatusArray,
        truths: Truths,
        output: OutputSpec,
        at: Times | None = None,
    ) -> State | None:
        """The state after outcomes in their order: rows ``[n, m, k]`` under ``status`` ``[n, m]`` and their ``truths``.

        ``truths`` float64 ``[n]`` are class indices or numbers, all known. All at once and one by one come to the same.
        None as a state is that before any outcome, with which :meth:`combine` answers too. ``at`` are the times of the
        rows' requests, given where :meth:`watch` is told of all decisions; without them the rows are what is watched.
        Combiners that do not learn return the state unchanged.
        """
        return state

    def watch(
        self, state: State | None, outputs: FloatArray, status: StatusArray, output: OutputSpec, at: Times
    ) -> State | None:
        """The state after decisions, whatever comes of them: rows ``[n, m, k]`` under ``status`` ``[n, m]`` of requests
        at the times ``at`` ``[n]``, Unix seconds, the oldest first. Asked only where ``watches`` is set."""
        return state

    def told(self, members: Sequence[str], state: State | None) -> Told:
        """What has been learned, for people to see; nothing where nothing was."""
        return Told(0, {}, 0.0)
