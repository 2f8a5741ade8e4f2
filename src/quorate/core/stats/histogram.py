"""A mergeable histogram with logarithmic buckets: quantiles of latencies within a stated relative error.

With relative error a and ``g = (1 + a) / (1 - a)``, bucket i holds the values in ``(g^(i-1), g^i]`` and answers
``2 g^i / (g + 1) = (1 - a) g^i``, which is within a of all of them. Counts of two histograms add up, so
processes, minutes and machines merge without loss.

Reference: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12(12), 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

SMALLEST = 1e-9
"""Values up to this count as 0."""


class LogHistogram:
    """Counts of non-negative values, such as milliseconds; a bucket exists only where a value fell.

    >>> histogram = LogHistogram()
    >>> histogram.add([1.0, 2.0, 3.0, 4.0, 100.0])
    >>> round(histogram.quantile(0.5), 1), histogram.count
    (3.0, 5)
    """

    __slots__ = ("_counts", "_log_base", "_zeros", "relative_error")

    def __init__(self, relative_error: float = 0.01) -> None:
        if not 0.0 < relative_error < 1.0:
            raise ValueError(f"the relative error lies between 0 and 1, like 0.01; got {relative_error}.")
        self.relative_error = relative_error
        self._log_base = math.log((1 + relative_error) / (1 - relative_error))
        self._zeros = 0
        self._counts: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many values were added."""
        return self._zeros + sum(self._counts.values())

    def add(self, values: ArrayLike) -> None:
        """Count one value or many; :class:`ValueError` if one is negative, infinite or NaN, then none is counted."""
        found = np.asarray(values, np.float64).ravel()
        if not ((found >= 0) & np.isfinite(found)).all():
            raise ValueError("a histogram takes finite values >= 0; got one that is negative, infinite or NaN.")
        positive = found[found > SMALLEST]
        self._zeros += len(found) - len(positive)
        buckets, counts = np.unique(np.ceil(np.log(positive) / self._log_base).astype(np.int64), return_counts=True)
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True):
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    def merge(self, other: LogHistogram) -> None:
        """Add the counts of ``other``; :class:`ValueError` if its relative error is a different one."""
        if other.relative_error != self.relative_error:
            raise ValueError(
                f"only histograms of equal relative error merge; got {self.relative_error} and {other.relative_error}."
            )
        self._zeros += other._zeros
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    def quantile(self, q: float) -> float:
        """The value at rank ``floor(q (count - 1))``, within the relative error; NaN when empty.

        :class:`ValueError` unless ``q`` lies in 0..1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, like 0.99; got {q}.")
        count = self.count
        if count == 0:
            return math.nan
        rank = math.floor(q * (count - 1))
        seen = self._zeros
        if rank < seen:
            return 0.0
        bucket = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if rank < seen:
                break
        return (1 - self.relative_error) * math.exp(bucket * self._log_base)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data; :meth:`from_dict` reads it back."""
        counts = {str(bucket): self._counts[bucket] for bucket in sorted(self._counts)}
        return {"relative_error": self.relative_error, "zeros": self._zeros, "counts": counts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LogHistogram:
        """A histogram from what :meth:`to_dict` gave."""
        histogram = cls(data["relative_error"])
        histogram._zeros = int(data["zeros"])
        histogram._counts = {int(bucket): int(count) for bucket, count in data["counts"].items()}
        return histogram
