"""The game of an audit: what a pool earns with some of its members, by the combiner's own rule for missing ones.

A member that is not in is ``SKIPPED``, one that had failed stays so. Where nobody of those that are in answered, the
answer is the best one that takes no member: the classes' frequencies, or the mean of the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.audit.metrics import Array, contributions, nothing
from quorate.core.combine.average import OK
from quorate.core.combine.base import Combiner
from quorate.core.types import FloatArray, State, Status, StatusArray

SKIPPED = int(Status.SKIPPED)
AT_ONCE = 1 << 22
"""Numbers of outputs that are combined at a time."""
KEPT = 1 << 24
"""Numbers that are remembered, so that no pool is combined twice while there is room."""


@dataclass(frozen=True)
class Rows:
    """Rows with members' recorded outputs float32 ``[n, m, k]``, their status int8 ``[n, m]`` and the truth ``[n]``
    (class indices int64, or numbers float64). Rows of one ``group`` int64 ``[n]`` are not independent of each other.
    ``features`` float32 ``[n, d]`` are there where the combiner looks at some.
    """

    outputs: FloatArray
    status: StatusArray
    truth: NDArray[Any]
    group: NDArray[np.int64]
    features: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, index: NDArray[Any]) -> Rows:
        """Some of the rows."""
        features = None if self.features is None else self.features[index]
        return Rows(self.outputs[index], self.status[index], self.truth[index], self.group[index], features)


class Game:
    """What every pool of members would have earned on ``rows``; a pool is a bit mask, bit j its member j."""

    def __init__(self, rows: Rows, combiner: Combiner, state: State | None, metric: str) -> None:
        self.rows = rows
        self.metric = metric
        self._combiner, self._state = combiner, state
        self._kept: dict[int, Array] = {}
        self._prior = nothing(metric, rows.truth, rows.outputs.shape[2])

    @property
    def members(self) -> int:
        """How many there are."""
        return int(self.rows.outputs.shape[1])

    @property
    def whole(self) -> int:
        """The mask of the whole pool."""
        return (1 << self.members) - 1

    def worth(self, pool: int) -> Array:
        """The contributions of rows, float64 ``[n]``; their mean is the metric, higher is better."""
        found = self._kept.get(pool)
        if found is None:
            found = contributions(self.metric, self.answers(pool), self.rows.truth)
            if (len(self._kept) + 1) * len(found) <= KEPT:
                self._kept[pool] = found
        return found

    def value(self, pool: int) -> float:
        """The metric of a pool, higher is better."""
        return float(self.worth(pool).mean())

    def answers(self, pool: int) -> Array:
        """What the pool answers, ``[n, k]``."""
        rows = self.rows
        n, m, k = rows.outputs.shape
        found = np.broadcast_to(self._prior, (n, len(self._prior))).copy()
        inside = np.array([bool(pool >> j & 1) for j in range(m)])
        step = max(1, AT_ONCE // (m * k))
        for start in range(0, n if pool else 0, step):
            part = slice(start, start + step)
            status = np.where(inside, rows.status[part], np.int8(SKIPPED))
            some = (status == OK).any(axis=1)
            if not some.any():
                continue
            features = None if rows.features is None else rows.features[part][some]
            answer = self._combiner.combine(rows.outputs[part][some], status[some], self._state, features)
            found[start : start + len(status)][some] = answer[:, : len(self._prior)]
        return found


def bits(pool: int) -> list[int]:
    """The members of a pool, ascending.

    >>> bits(0b1011)
    [0, 1, 3]
    """
    return [j for j in range(pool.bit_length()) if pool >> j & 1]
