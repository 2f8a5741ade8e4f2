"""Which of several values told about a row counts: by source, and by the correction window.

Values of one row, metric and source form a series. The window opens when its first value is received. Of the values
received while it is open, the one known last (``at``) counts; values received after it are late and change nothing.
Without a window it never closes. Over sources, the first of ``precedence`` that has a counting value decides; sources
it does not name come after those it does, in alphabetical order.

All times that decide are those of receipt, which the server takes: a caller cannot reopen a window by claiming an
earlier one. What counts does not depend on the order in which values are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

GROUND_TRUTH, EXPERT, USER = "ground_truth", "expert", "user"
PRECEDENCE = (GROUND_TRUTH, EXPERT, USER)


@dataclass(frozen=True, slots=True)
class OutcomeRules:
    """An endpoint's rules for outcomes; ``correction_s`` and ``expected_within_s`` are seconds.

    ``expected_within_s`` is how long after a decision its outcome is waited for: from then on one that is not there is
    missing, not late. It decides nothing; completeness is measured against it.
    """

    precedence: tuple[str, ...] = PRECEDENCE
    correction_s: float | None = None
    expected_within_s: float | None = None

    def rank(self, source: str) -> tuple[int, str]:
        """Orders sources: the smaller one counts.

        >>> sorted(["user", "zoo", "expert", "ape"], key=OutcomeRules().rank)
        ['expert', 'user', 'ape', 'zoo']
        """
        known = self.precedence
        return (known.index(source), "") if source in known else (len(known), source)


class Told(Protocol):
    """A value of one row and metric: whose, when received (Unix seconds), and what orders it among its series."""

    @property
    def source(self) -> str:
        """Whose value it is."""
        ...

    @property
    def received(self) -> float:
        """When it arrived."""
        ...

    @property
    def rank(self) -> tuple[float, float, str, float]:
        """Orders values of a series: by when they became known, then so that the order is complete."""
        ...


T = TypeVar("T", bound=Told)


def series(values: Sequence[T], rules: OutcomeRules) -> tuple[T, list[T]]:
    """The value that counts of one row, metric and source (at least one value), and those that came too late."""
    if len(values) == 1:
        return values[0], []
    if rules.correction_s is None:
        return max(values, key=lambda value: value.rank), []
    closes = min(value.received for value in values) + rules.correction_s
    in_time = [value for value in values if value.received <= closes]
    return max(in_time, key=lambda value: value.rank), [value for value in values if value.received > closes]


def decisive(values: Iterable[T], rules: OutcomeRules) -> T:
    """Of the counting values of several sources, the one whose source comes first."""
    return min(values, key=lambda value: rules.rank(value.source))
