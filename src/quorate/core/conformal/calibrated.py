"""A conformal predictor as it serves: sorted calibration scores, and for any coverage what is not left out.

Ties: scores of discrete answers (votes) are often equal, and where the threshold is one of them, taking all or none
would cover more or less than was asked. So every score has a uniform number beside it and pairs are compared, score
first; then no two are equal, and the coverage is exact. The numbers of calibration rows are in the state, those of a
decision's rows follow from its id (:mod:`quorate.core.conformal.draws`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.conformal import scores, values
from quorate.core.conformal.quantile import rank, rows_needed
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

KIND, VERSION = "conformal", 1
"""Format of the state. Meta: ``output`` (``scores`` or ``values``), ``score``, ``classes`` (or targets),
``conditional``, ``rows``; of ``raps`` ``penalty`` and ``free``; of ``normalised`` ``floor``; of ``cqr`` ``lower`` and
``upper``, the places of the two quantiles; ``of``: the strategy it was fitted for (``kind``, ``members``, ``params``,
``state``, which is its digest or null; ``calibrate``, that of its calibration, where it has one), or null.
Arrays: ``scores`` and ``ties`` ``[n]``, ascending within each group; ``starts`` ``[g + 1]``, where groups begin: one
group, or one for each class where ``conditional``."""

CALIBRATE = "calibrate"
"""In ``of``: the digest of the calibration that made the answers what they are."""

Numbers = NDArray[np.float64]


class Threshold(NamedTuple):
    """By group: the pair (score, tie) that is not left out any more; a score of infinity leaves nothing out."""

    scores: Numbers
    ties: Numbers

    @property
    def bounded(self) -> bool:
        """Whether it leaves anything out."""
        return bool(np.isfinite(self.scores).all())


class Calibrated:
    """What a state of kind ``conformal`` says; pure, and safe to share between threads."""

    def __init__(self, state: State) -> None:
        meta, arrays = state.meta, state.arrays
        if state.kind != KIND or state.version != VERSION:
            raise ConfigError(
                f"expected a state of kind '{KIND}', version {VERSION}; got '{state.kind}', version {state.version}. "
                "Fit one with Fit('conformal').",
                path="conformal",
            )
        self.output: str = meta["output"]
        self.score: str = meta["score"]
        self.classes: tuple[str, ...] = tuple(meta["classes"])
        self.conditional: bool = meta["conditional"]
        self.of: dict[str, Any] | None = meta.get("of")
        self.looks_at_members = self.score == "normalised"
        self.scores: Numbers = arrays["scores"]
        self.ties: Numbers = arrays["ties"]
        self._starts: list[int] = arrays["starts"].tolist()
        self._penalty, self._free = float(meta.get("penalty", 0.0)), int(meta.get("free", 0))
        self._floor = float(meta.get("floor", 0.0))
        self._low, self._high = int(meta.get("lower", 0)), int(meta.get("upper", 0))
        self._groups = np.arange(len(self.classes)) if self.conditional else np.zeros(len(self.classes), np.intp)

    @property
    def rows(self) -> int:
        """Calibration rows; of the class with the fewest, where each class has its own."""
        return min(np.diff(self._starts).tolist())

    def check(self, output: OutputSpec) -> None:
        """:class:`ConfigError` unless it was fitted on answers like these."""
        names = output.classes if output.kind == "scores" else output.names
        if output.kind != self.output or tuple(names) != self.classes:
            raise ConfigError(
                f"the state was fitted on {self.output} of {', '.join(self.classes)[:200]}; the pool answers "
                f"{output.kind} of {', '.join(names)[:200]}. Fit it anew for this pool.",
                path="conformal",
            )

    def lacks(self, coverage: float) -> str | None:
        """Why a coverage cannot be promised, in words; None where it can."""
        needed = rows_needed(coverage)
        if self.rows >= needed:
            return None
        few = int(np.diff(self._starts).argmin())
        whom = f"rows of class '{self.classes[few]}'" if self.conditional else "rows"
        return f"a coverage of {coverage:g} needs {needed} calibration {whom}; the state has {self.rows}"

    def threshold(self, coverage: float) -> Threshold:
        """What is not left out at that coverage."""
        found = []
        for start, stop in zip(self._starts, self._starts[1:], strict=False):
            k = rank(stop - start, coverage)
            whole = k > stop - start
            found.append((np.inf, 1.0) if whole else (self.scores[start + k - 1], self.ties[start + k - 1]))
        pairs = np.array(found, np.float64)
        return Threshold(pairs[:, 0], pairs[:, 1])

    def of_classes(self, answers: FloatArray, draws: Numbers) -> Numbers:
        """Scores ``[n, k]`` of every class, of answers ``[n, k]`` and draws ``[n, 2]``."""
        return scores.of_classes(self.score, answers, draws[:, 0], self._penalty, self._free)

    def sets(self, answers: FloatArray, draws: Numbers, threshold: Threshold) -> NDArray[np.bool_]:
        """Which classes are in each row's set, bool ``[n, k]``."""
        found = self.of_classes(answers, draws)
        most, tie = threshold.scores[self._groups], threshold.ties[self._groups]
        inside: NDArray[np.bool_] = (found < most) | ((found == most) & (draws[:, 1:] <= tie))
        return inside

    def intervals(self, answers: FloatArray, outputs: FloatArray, status: StatusArray, threshold: Threshold) -> Numbers:
        """The interval of each row, ``[n, 2]``, infinite where it is unbounded.

        ``outputs`` ``[n, m, 1]`` and ``status`` ``[n, m]`` are those of the strategy's members.
        """
        low, high, scale = self._ends(answers, outputs, status)
        return values.interval(self.score, low, high, scale, float(threshold.scores[0]))

    def of_truths(
        self, answers: FloatArray, outputs: FloatArray, status: StatusArray, draws: Numbers, truths: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Score and tie ``[n]`` of the truths: class indices or numbers. NaN where a row has none."""
        if self.output == "scores":
            at = truths.astype(np.intp)
            return self.of_classes(answers, draws)[np.arange(len(at)), at], draws[:, 1]
        low, high, scale = self._ends(answers, outputs, status)
        return values.of_numbers(self.score, truths, low, high, scale), np.ones(len(truths))

    def _ends(self, answers: FloatArray, outputs: FloatArray, status: StatusArray) -> tuple[Numbers, Numbers, Numbers]:
        low, high = answers[:, self._low].astype(np.float64), answers[:, self._high].astype(np.float64)
        scale = values.disagreement(outputs, status) + self._floor if self.looks_at_members else np.ones(len(low))
        return low, high, scale


def covers(
    found: Numbers, tie: Numbers, threshold: Threshold, groups: Sequence[int] | NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether pairs of score and tie ``[n]`` are within the threshold of their groups ``[n]``."""
    most, ties = threshold.scores[groups], threshold.ties[groups]
    inside: NDArray[np.bool_] = (found < most) | ((found == most) & (tie <= ties))
    return inside


def state_of(meta: dict[str, Any], found: Numbers, ties: Numbers, groups: NDArray[np.intp] | None = None) -> State:
    """The state of calibration scores ``[n]``, with a tie each, and a group each where classes have their own.

    ``meta`` is everything but ``conditional`` and ``rows``.
    """
    conditional = groups is not None
    of = np.zeros(len(found), np.intp) if groups is None else groups
    count = len(meta["classes"]) if conditional else 1
    order = np.lexsort((ties, found, of))
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=count))]).astype(np.int64)
    arrays = {"scores": found[order], "ties": ties[order], "starts": starts}
    return State(KIND, VERSION, {**meta, "conditional": conditional, "rows": len(found)}, arrays)
