"""No answer rather than one that is not sure enough: which rows are told so, and in what words."""

from __future__ import annotations

import numpy as np

from quorate.core.asking import check_confidence
from quorate.core.types import Decision, FloatArray
from quorate.serving.endpoint import LoadedEndpoint

OPTION = "options.min_confidence"


def check(endpoint: LoadedEndpoint) -> None:
    """A client error where ``min_confidence`` cannot be asked."""
    check_confidence(endpoint.name, blind=endpoint.blind, output=endpoint.pool.output.kind, path=OPTION)


def withheld(answer: FloatArray | None, min_confidence: float | None) -> tuple[int, ...]:
    """The rows of ``answer`` float32 ``[n, k]`` whose best class has less than that; none where it was not asked."""
    if answer is None or min_confidence is None:
        return ()
    return tuple(np.flatnonzero(~(answer.max(axis=1) >= np.float32(min_confidence))).tolist())


def reason(decision: Decision, row: int, min_confidence: float) -> str:
    """Why a row was told no answer."""
    assert decision.answer is not None  # noqa: S101 - it was answered, and withheld
    return f"The confidence, {float(decision.answer[row].max()):.4g}, is below min_confidence, {min_confidence:g}."


def members(decision: Decision, asked: tuple[str, ...]) -> list[list[str]]:
    """By row, the members among ``asked`` that answered it, in the pool's order."""
    names = [(i, run.name) for i, run in enumerate(decision.members) if run.name in asked]
    return [[name for i, name in names if row[i] == 0] for row in decision.status.tolist()]
