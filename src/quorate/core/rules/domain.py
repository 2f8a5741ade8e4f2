"""Sets of what a name can be: numbers as intervals, texts and their complements, true, false, and unknown.

They are closed under intersection and complement and exact, so a set is empty if and only if nothing is in it (but
that between two neighbouring floats there is always thought to be a third).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core.facts import Fact
from quorate.core.rules.syntax import Comparator, Constant

Edge = tuple[float, int]
"""A place on the line of numbers: ``(x, 0)`` is just below x, ``(x, 1)`` just above."""

Interval = tuple[Edge, Edge]
LINE: tuple[Interval, ...] = (((-math.inf, 1), (math.inf, 0)),)
BOTH = frozenset({False, True})


@dataclass(frozen=True, slots=True)
class Domain:
    """``numbers`` are disjoint intervals in order; ``texts`` those in the set, or with ``but`` all that are not."""

    numbers: tuple[Interval, ...] = ()
    texts: frozenset[str] = frozenset()
    but: bool = False
    truths: frozenset[bool] = frozenset()
    unknown: bool = False
    whole: bool = False

    def __and__(self, other: Domain) -> Domain:
        whole = self.whole or other.whole
        return Domain(
            _whole(_meet(self.numbers, other.numbers)) if whole else _meet(self.numbers, other.numbers),
            *_texts(self, other),
            self.truths & other.truths,
            self.unknown and other.unknown,
            whole,
        )

    def __or__(self, other: Domain) -> Domain:
        return ~(~self & ~other)

    def __invert__(self) -> Domain:
        return Domain(_gaps(self.numbers), self.texts, not self.but, BOTH - self.truths, not self.unknown)

    @property
    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not (self.numbers or self.texts or self.but or self.truths or self.unknown)


ANYTHING = Domain(LINE, but=True, truths=BOTH, unknown=True)
UNKNOWN = Domain(unknown=True)


def universe(fact: Fact) -> Domain:
    """All that a fact can be; not to be known is always possible."""
    if fact.type == "boolean":
        return Domain(truths=BOTH, unknown=True)
    if fact.type == "text":
        return Domain(texts=frozenset(fact.values), but=not fact.values, unknown=True)
    low: Edge = (-math.inf, 1) if fact.low is None else (fact.low, 0)
    high: Edge = (math.inf, 0) if fact.high is None else (fact.high, 1)
    return Domain(((low, high),), unknown=True, whole=fact.whole)


def kind(constant: Constant) -> Domain:
    """Everything of a constant's type."""
    if isinstance(constant, bool):
        return Domain(truths=BOTH)
    return Domain(but=True) if isinstance(constant, str) else Domain(LINE)


def only(constant: Constant) -> Domain:
    """A constant alone."""
    if isinstance(constant, bool):
        return Domain(truths=frozenset({constant}))
    if isinstance(constant, str):
        return Domain(texts=frozenset({constant}))
    return Domain((((constant, 0), (constant, 1)),))


def where(comparator: Comparator, constant: Constant) -> Domain:
    """What compares so with a constant."""
    if comparator in ("==", "!="):
        same = only(constant)
        return same if comparator == "==" else kind(constant) & ~same
    if isinstance(constant, bool | str):
        return Domain()
    edge: Edge = (constant, int(comparator in ("<=", ">")))
    below = comparator in ("<", "<=")
    return Domain(((((-math.inf, 1), edge)) if below else (edge, (math.inf, 0)),))


def _texts(a: Domain, b: Domain) -> tuple[frozenset[str], bool]:
    if a.but and b.but:
        return a.texts | b.texts, True
    if a.but:
        return b.texts - a.texts, False
    return (a.texts - b.texts if b.but else a.texts & b.texts), False


def _meet(a: Sequence[Interval], b: Sequence[Interval]) -> tuple[Interval, ...]:
    found = [(max(p[0], q[0]), min(p[1], q[1])) for p in a for q in b]
    return tuple(sorted((low, high) for low, high in found if low < high))


def _gaps(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    found: list[Interval] = []
    ((at, end),) = LINE
    for low, high in intervals:
        if at < low:
            found.append((at, low))
        at = high
    if at < end:
        found.append((at, end))
    return tuple(found)


def _whole(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Those in which a whole number lies."""
    return tuple(interval for interval in intervals if _holds_whole(*interval))


def _holds_whole(low: Edge, high: Edge) -> bool:
    if math.isinf(low[0]) or math.isinf(high[0]):
        return True
    first = math.floor(low[0]) + 1 if low[1] else math.ceil(low[0])
    last = math.floor(high[0]) if high[1] else math.ceil(high[0]) - 1
    return first <= last
