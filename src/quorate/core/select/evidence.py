"""Feedback as arrays: what learners sum over, and how what is old is forgotten.

Sums over weighted rows are all that learners keep, so rows that come together and rows that come one by one make the
same state. There are two ways to forget. ``discount`` multiplies all sums by it before each row: rows count by how many
came after them. ``half_life_s`` weighs a row by its age: ``2^-((T - at) / half life)``, ``T`` the latest arrival of a
request so far; so a reward that comes late counts as what it is, old, and a clock that goes backward changes nothing.

Reference for the first: A. Garivier, E. Moulines, "On upper-confidence bound policies for switching bandit problems",
ALT 2011, eq. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.base import Feedback
from quorate.core.select.columns import FeedbackColumns

Floats = NDArray[np.float64]
_HUGE = 1e100
"""Rewards beyond this count as infinite: their squares must have a place in sums."""


class Evidence(NamedTuple):
    """Rows with at least one known reward, in their order.

    ``rewards`` float64 ``[n, k]``, NaN where not known; ``assigned`` int ``[n]``; ``propensities`` float64 ``[n, k]``;
    ``at`` float64 ``[n]``; ``source`` are the rows as they came. ``strange`` is how many rewards were infinite, which
    count as not known.
    """

    rewards: Floats
    assigned: NDArray[np.intp]
    propensities: Floats
    at: Floats
    source: Sequence[Feedback]
    strange: int

    @property
    def own(self) -> Floats:
        """The rewards of the assigned strategies, ``[n]``, NaN where not known."""
        found: Floats = self.rewards[np.arange(len(self.assigned)), self.assigned]
        return found

    @property
    def drawn(self) -> Floats:
        """The propensities of the assigned strategies, ``[n]``."""
        found: Floats = self.propensities[np.arange(len(self.assigned)), self.assigned]
        return found


def gather(feedback: Sequence[Feedback], k: int) -> Evidence:
    """The rows of ``feedback`` that have a reward; :class:`ValueError` where one is not about ``k`` strategies."""
    columns = feedback if isinstance(feedback, FeedbackColumns) else FeedbackColumns.of(feedback, k)
    if columns.rewards.shape[1] != k:
        raise ValueError(f"feedback must be about {k} strategies; got {columns.rewards.shape[1]}.")
    infinite = np.abs(columns.rewards) > _HUGE
    rewards = np.where(infinite, np.nan, columns.rewards)
    kept = np.flatnonzero(~np.isnan(rewards).all(1))
    source = columns.take(kept)
    return Evidence(rewards[kept], source.assigned, source.propensities, source.at, source, int(infinite.sum()))


class Weights(NamedTuple):
    """``old``: what the sums so far are multiplied by; ``new`` float64 ``[n]``: the rows' own; ``clock``: T, or NaN."""

    old: float
    new: Floats
    clock: float


def weigh(at: Floats, clock: float, discount: float, half_life_s: float | None) -> Weights:
    """The weights of rows that came after everything summed so far; ``clock`` is NaN before the first.

    A row without a time (NaN) counts as the latest.

    >>> weigh(np.array([0.0, 0.0, 0.0]), 0.0, 0.5, None)[:2]
    (0.125, array([0.25, 0.5 , 1.  ]))
    """
    n = len(at)
    latest = float(np.nanmax(np.append(at, clock))) if np.isfinite(clock) or np.isfinite(at).any() else clock
    if half_life_s is None:
        return Weights(discount**n, discount ** np.arange(n - 1, -1, -1, dtype=np.float64), latest)
    old = 1.0 if not np.isfinite(clock) else 2.0 ** (-(latest - clock) / half_life_s)
    ages = np.where(np.isfinite(at), latest - at, 0.0)
    return Weights(float(old), 2.0 ** (-ages / half_life_s), latest)
