"""How often the truth was in what was promised, and how much that was: sums by minute, as other metrics have them.

A row counts once, when its truth first counts; a correction later does not change the sums.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from quorate.codecs.decision import Packed
from quorate.control.coverage.logged import Promises, Promising, ReadBlob, served_by, truth_scores
from quorate.control.learning.feedback import truth_of
from quorate.control.outcomes.joined import Joined, Listener
from quorate.core.conformal.calibrated import covers
from quorate.core.conformal.draws import draws
from quorate.core.conformal.recorded import asked, threshold_of
from quorate.store import tallies
from quorate.store.ledger import TRUTH

COVERED, SIZE = "coverage.", "set_size."
"""Metrics, before the coverage that was asked for: whether the truth was covered, and labels in the set or the width of
the interval, where that is bounded."""


class CoverageListener(Listener):
    """Adds up what joined decisions tell about their sets, in ingest's transaction."""

    def __init__(self, read: ReadBlob) -> None:
        self._promises = Promises(read)

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        sums: dict[tuple[str, int, int, str, str, str], list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0.0, 0.0])
        for each in joined:
            d = each.decision
            coverage = asked(d.facts)
            rows = [row for row, new in each.new.items() if TRUTH in new] if coverage is not None else []
            mine = self._promises.of(connection, d.endpoint, d.revision).get(served_by(d) or "") if rows else None
            if mine is None or coverage is None:
                continue
            key = (d.endpoint, int(d.arrived // 60), d.revision, d.assigned, d.source)
            for metric, numbers in judged(mine, each, rows, coverage).items():
                if numbers:
                    _add(sums[(*key, f"{metric}{coverage:g}")], numbers)
        if sums:
            tallies.add_measured(connection, sums)


def judged(mine: Promising, joined: Joined, rows: Sequence[int], coverage: float) -> dict[str, list[float]]:
    """By metric a number for each row whose truth can be looked up: 1 where it was covered, else 0; and the size."""
    d = joined.decision
    truths = np.array([truth_of(joined, row) for row in rows])
    rows = [row for row, truth in zip(rows, truths.tolist(), strict=True) if math.isfinite(truth)]
    truths = truths[np.isfinite(truths)]
    scored = truth_scores(mine, d, rows, truths) if rows else None
    if scored is None:
        return {}
    calibrated = mine.calibrated
    threshold = threshold_of(calibrated, d.facts, coverage)
    groups = truths.astype(np.intp) if calibrated.conditional else np.zeros(len(rows), np.intp)
    covered = covers(scored[0], scored[1], threshold, groups)
    return {COVERED: covered.astype(float).tolist(), SIZE: _sizes(mine, d, rows, coverage)}


def _sizes(mine: Promising, d: Packed, rows: Sequence[int], coverage: float) -> list[float]:
    answers = d.answered()
    assert answers is not None  # noqa: S101 - its truths have scores
    calibrated, some = mine.calibrated, list(rows)
    threshold = threshold_of(calibrated, d.facts, coverage)
    if calibrated.output == "scores":
        sets = calibrated.sets(answers[some], draws(d.id, d.rows)[some], threshold)
        return [float(size) for size in sets.sum(axis=1).tolist()]
    n, m, width = d.shape
    outputs, status = np.zeros((n, m, 1), np.float32), np.zeros((n, m), np.int8)
    if calibrated.looks_at_members:
        outputs = np.frombuffer(d.outputs, "<f4").reshape(n, m, width)
        status = np.frombuffer(d.status, "i1").reshape(n, m)
    ends = calibrated.intervals(answers[some], outputs[some][:, mine.columns], status[some][:, mine.columns], threshold)
    widths = ends[:, 1] - ends[:, 0]
    return [width for width in widths.tolist() if math.isfinite(width)]


def _add(sums: list[float], numbers: Sequence[float]) -> None:
    """One decision's numbers to sums in the order of :class:`~quorate.store.tallies.Sums`."""
    n, s = len(numbers), math.fsum(numbers)
    for place, each in enumerate((1, n, n * n, s, s * s, n * s)):
        sums[place] += each
