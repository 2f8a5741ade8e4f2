"""What was served against each that could have answered alone: on which rows, by known losses or by estimates.

Where only the drawn strategy's loss is known, the others' sums are estimated: the loss of a row counts for the strategy
that was drawn, divided by the probability that it had, which is unbiased (D. Horvitz, D. Thompson, JASA 47, 1952).
Their 95 % intervals are normal ones, for one look.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.control.selection.losses import Losses
from quorate.control.selection.regret_views import RegretOther, RegretPoint
from quorate.core.stats.intervals import normal_quantile

ENOUGH = 0.5
"""Whose loss is known of so many rows is compared on these; others are estimated, or not known."""

Floats = NDArray[np.float64]


class Compared(NamedTuple):
    """The ``rows`` (indices into the losses) that are compared, with what was ``served`` ``[r]``, and columns ``lost``
    ``[r, c]`` of ``names``: known losses, or terms whose sum estimates them. ``unknown`` are of neither kind."""

    rows: NDArray[np.intp]
    served: Floats
    lost: Floats
    names: tuple[str, ...]
    estimated: tuple[bool, ...]
    unknown: tuple[str, ...]
    strategies: tuple[str, ...]
    known: Literal["all", "drawn", "none"]

    def best(self, n: int) -> str | None:
        """Who lost least in the first n rows; estimates count only where nobody's loss is known."""
        found = self._sums(n)
        return self.names[int(found.argmin())] if np.isfinite(found).any() else None

    def regret(self, n: int) -> float | None:
        """Against that one."""
        found = self._sums(n)
        return float(self.served[:n].sum() - found.min()) if np.isfinite(found).any() else None

    def _sums(self, n: int) -> Floats:
        """Losses of those that are compared; of the others infinite."""
        found: Floats = self.lost[:n].sum(axis=0) if n else np.full(len(self.names), np.inf)
        return found if all(self.estimated) else np.where(self.estimated, np.inf, found)

    def point(self, n: int, at: float) -> RegretPoint:
        """After the first n rows."""
        others = dict(zip(self.names, self.lost[:n].sum(axis=0).tolist(), strict=True))
        return RegretPoint(at=at, rows=n, served=float(self.served[:n].sum()), others=others, regret=self.regret(n))

    def others(self) -> list[RegretOther]:
        """Each, the least loss first; those of whom nothing is known last."""
        n, total = len(self.rows), float(self.served.sum())
        found = []
        for name, estimated, column in zip(self.names, self.estimated, self.lost.T, strict=True):
            loss = float(column.sum())
            reach = normal_quantile(0.95) * float(np.sqrt(n * column.var(ddof=1))) if estimated and n > 1 else None
            limits = (None, None) if reach is None else (loss - reach, loss + reach)
            found.append(
                RegretOther(
                    name=name,
                    kind="strategy" if name in self.strategies else "member",
                    basis="estimate" if estimated else "known",
                    loss=loss,
                    low=limits[0],
                    high=limits[1],
                    regret=total - loss,
                )
            )
        lost = [
            RegretOther(
                name=name,
                kind="strategy" if name in self.strategies else "member",
                basis="unknown",
                loss=None,
                low=None,
                high=None,
                regret=None,
            )
            for name in self.unknown
        ]
        return sorted(found, key=lambda each: each.loss or 0.0) + lost


def compare(found: Losses, *, without: Collection[str] = ()) -> Compared:
    """Choose the rows that can be compared, and by what; strategies ``without`` are left out."""
    s = len(found.strategies)
    columns = [i for i, name in enumerate(found.names) if name not in without or i >= s]
    names = found.names
    there = np.isfinite(found.served)
    exact = [i for i in columns if _known_share(found, there, i) >= ENOUGH] if _several(found, there) else []
    rows = np.flatnonzero(there & np.isfinite(found.lost[:, exact]).all(axis=1))
    p, drawn = found.propensities[rows], found.drawn[rows]
    guessed = [i for i in columns if i < s and i not in exact and len(rows) and (p[:, i] > 0).all()]
    terms = [np.where(drawn == i, found.served[rows] / np.where(p[:, i] > 0, p[:, i], 1.0), 0.0) for i in guessed]
    lost = np.column_stack([found.lost[rows][:, exact], *terms]) if len(rows) else np.empty((0, 0))
    used = exact + guessed if len(rows) else []
    return Compared(
        rows,
        found.served[rows],
        lost,
        tuple(names[i] for i in used),
        (False,) * len(exact) + (True,) * len(guessed) if len(rows) else (),
        tuple(names[i] for i in columns if i not in used),
        found.strategies,
        "none" if not len(rows) else "all" if exact else "drawn",
    )


def _known_share(found: Losses, there: NDArray[np.bool_], column: int) -> float:
    """Of which share of rows it is known what one lost, whoever was drawn.

    Rows that were drawn for it do not tell: comparing on those alone would choose rows by the draw.
    """
    others = there & (found.drawn != column)
    some = others if others.any() else there
    return float(np.isfinite(found.lost[some, column]).mean()) if some.any() else 0.0


def _several(found: Losses, there: NDArray[np.bool_]) -> bool:
    """Whether more is known of most rows than what the drawn strategy lost."""
    return bool(there.any()) and bool((np.isfinite(found.lost[there]).sum(axis=1) > 1).mean() >= ENOUGH)
