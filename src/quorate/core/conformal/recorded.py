"""What a decision promises of its rows, computed from its record: the same when it is answered and ever after.

The record has the answer and the members' outputs, the coverage that was asked for and, where the level is adaptive,
the threshold that was used; the rest follows from the strategy's conformal state and the decision's id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.conformal.calibrated import Calibrated, Threshold
from quorate.core.conformal.draws import draws
from quorate.core.types import Decision, Scalar

COVERAGE, THRESHOLD, TIE = "coverage", "coverage.threshold", "coverage.tie"
"""Facts of a decision: the coverage, and where it is adaptive the threshold (None: unbounded) with its tie."""
DIVERTED = "coverage.diverted"
"""A fact: what the request asked kept its strategy from going its own way, for which alone it was calibrated."""

Abstain = Literal["never", "ambiguous"]
AMBIGUOUS, EMPTY, DEGRADED, UNCALIBRATED = "ambiguous", "empty", "degraded", "uncalibrated"
"""Reasons: several labels are in the set; none is; a member is missing from the answer, or a cascade did not go its
own way, for which it was not calibrated; what answered is not calibrated, so that nothing is left out."""


def asked(facts: Mapping[str, Scalar]) -> float | None:
    """The coverage that was asked for; None where none was."""
    found = facts.get(COVERAGE)
    return float(found) if isinstance(found, float | int) else None


def noted(threshold: Threshold) -> dict[str, Scalar]:
    """A threshold as facts of a decision."""
    most, tie = float(threshold.scores[0]), float(threshold.ties[0])
    return {THRESHOLD: most if math.isfinite(most) else None, TIE: tie}


def threshold_of(calibrated: Calibrated, facts: Mapping[str, Scalar], coverage: float) -> Threshold:
    """The threshold that a decision with these facts was answered with."""
    if THRESHOLD not in facts:
        return calibrated.threshold(coverage)
    most = facts[THRESHOLD]
    return Threshold(
        np.array([float(most) if isinstance(most, float | int) else np.inf]), np.array([float(facts.get(TIE) or 1.0)])
    )


def promised(
    decision: Decision, calibrated: Calibrated | None, members: Sequence[str], abstain: Abstain = "never"
) -> list[dict[str, Any]] | None:
    """By row ``set`` (labels, the likeliest first) or ``interval`` (None is unbounded), ``abstained`` and ``reason``.

    ``calibrated`` is that of the strategy that answered and ``members`` are its own; without, nothing is left out. None
    where no coverage was asked for, there is no answer, or the members' outputs that it takes were not recorded.
    """
    coverage = asked(decision.facts)
    if coverage is None or decision.answer is None:
        return None
    if calibrated is None:
        return _everything(decision, abstain)
    threshold = threshold_of(calibrated, decision.facts, coverage)
    if calibrated.output == "scores":
        inside = calibrated.sets(decision.answer, draws(decision.id, decision.rows), threshold)
        return [_set(decision, row, mask, abstain) for row, mask in zip(decision.answer, inside, strict=True)]
    if calibrated.looks_at_members and not decision.outputs.shape[2]:
        return None
    columns = [place for place, run in enumerate(decision.members) if run.name in members]
    found = calibrated.intervals(decision.answer, decision.outputs[:, columns], decision.status[:, columns], threshold)
    reason = DEGRADED if _other(decision) else None
    return [{"interval": _ends(row), "abstained": False, "reason": reason} for row in found.tolist()]


def _set(decision: Decision, answer: NDArray[Any], inside: NDArray[np.bool_], abstain: Abstain) -> dict[str, Any]:
    order = np.argsort(-answer, kind="stable")
    labels = [decision.classes[i] for i in order[inside[order]].tolist()]
    unsure = None if len(labels) == 1 else AMBIGUOUS if labels else EMPTY
    return {
        "set": labels,
        "abstained": abstain == "ambiguous" and unsure is not None,
        "reason": DEGRADED if _other(decision) else unsure,
    }


def _other(decision: Decision) -> bool:
    """Whether the answer is another than what was calibrated."""
    return decision.degraded or bool(decision.facts.get(DIVERTED))


def _everything(decision: Decision, abstain: Abstain) -> list[dict[str, Any]]:
    if decision.output_kind == "values":
        return [{"interval": [None, None], "abstained": False, "reason": UNCALIBRATED}] * decision.rows
    labels = list(decision.classes)
    return [{"set": labels, "abstained": abstain == "ambiguous", "reason": UNCALIBRATED}] * decision.rows


def _ends(row: list[float]) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in row]
