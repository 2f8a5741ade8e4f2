"""Feedback as columns: many rows without an object of each, until somebody looks at one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.base import Feedback
from quorate.core.types import Scalar

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FeedbackColumns(Sequence[Feedback]):
    """A sequence of :class:`Feedback`, field by field: ``propensities`` and ``rewards`` float64 ``[n, k]``,
    ``assigned`` int ``[n]``, ``at`` and ``latency_ms`` float64 ``[n]``, ``errors`` bool ``[n]``."""

    contexts: Sequence[Mapping[str, Scalar]]
    facts: Sequence[Mapping[str, Scalar]]
    propensities: Floats
    assigned: NDArray[np.intp]
    rewards: Floats
    at: Floats
    latency_ms: Floats
    errors: NDArray[np.bool_]

    @classmethod
    def of(cls, feedback: Sequence[Feedback], k: int) -> FeedbackColumns:
        """Rows about ``k`` strategies as columns; :class:`ValueError` where one is not about so many."""
        lengths = {len(each.rewards) for each in feedback} | {len(each.propensities) for each in feedback}
        if lengths - {k}:
            raise ValueError(f"feedback must have rewards and propensities of {k} strategies; got {sorted(lengths)}.")
        n = len(feedback)
        rewards = np.concatenate([each.rewards for each in feedback]) if n else np.empty(0)
        return cls(
            [each.context for each in feedback],
            [each.facts for each in feedback],
            matrix([each.propensities for each in feedback], k),
            np.fromiter((each.assigned for each in feedback), np.intp, n),
            rewards.astype(np.float64).reshape(n, k),
            np.fromiter((each.at for each in feedback), np.float64, n),
            np.fromiter((each.latency_ms for each in feedback), np.float64, n),
            np.fromiter((each.error for each in feedback), np.bool_, n),
        )

    def take(self, rows: NDArray[np.intp]) -> FeedbackColumns:
        """Some rows, in the order of their indices ``[m]``."""
        if len(rows) == len(self) and (rows[1:] > rows[:-1]).all():
            return self
        some = rows.tolist()
        return FeedbackColumns(
            [self.contexts[i] for i in some],
            [self.facts[i] for i in some],
            self.propensities[rows],
            self.assigned[rows],
            self.rewards[rows],
            self.at[rows],
            self.latency_ms[rows],
            self.errors[rows],
        )

    def by_time(self) -> FeedbackColumns:
        """The same, oldest first; those of one time stay as they are."""
        return self.take(np.argsort(self.at, kind="stable"))

    def __len__(self) -> int:
        return len(self.assigned)

    @overload
    def __getitem__(self, index: int) -> Feedback: ...

    @overload
    def __getitem__(self, index: slice) -> FeedbackColumns: ...

    def __getitem__(self, index: int | slice) -> Feedback | FeedbackColumns:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return Feedback(
            self.contexts[index],
            self.facts[index],
            tuple(self.propensities[index].tolist()),
            int(self.assigned[index]),
            self.rewards[index],
            float(self.at[index]),
            float(self.latency_ms[index]),
            bool(self.errors[index]),
        )

    def __iter__(self) -> Iterator[Feedback]:
        columns = (self.at, self.latency_ms, self.errors)
        propensities = map(tuple, self.propensities.tolist())
        return map(
            Feedback,
            self.contexts,
            self.facts,
            propensities,
            self.assigned.tolist(),
            self.rewards,
            *(column.tolist() for column in columns),
        )


def joined(parts: Sequence[FeedbackColumns]) -> FeedbackColumns:
    """The rows of all parts, one after the other; at least one part, all about as many strategies."""
    if len(parts) == 1:
        return parts[0]
    return FeedbackColumns(
        list(chain.from_iterable(part.contexts for part in parts)),
        list(chain.from_iterable(part.facts for part in parts)),
        np.concatenate([part.propensities for part in parts]),
        np.concatenate([part.assigned for part in parts]),
        np.concatenate([part.rewards for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.latency_ms for part in parts]),
        np.concatenate([part.errors for part in parts]),
    )


def matrix(rows: Sequence[Sequence[float]], k: int) -> Floats:
    """Rows of ``k`` numbers each as float64 ``[n, k]``."""
    return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * k).reshape(len(rows), k)
