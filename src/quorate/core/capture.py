"""Which decisions have their input kept: a sample by their id, and of it those that are of interest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quorate.core.record import sampled
from quorate.core.types import Decision, Status

KEPT, DROPPED, ERASED = "kept", "dropped", "erased"
"""What a decision's ``capture`` says: its input was handed to the writer; there was no room; it was erased since."""


class CaptureRule:
    """``sample`` is the share of decisions, ``only`` the kinds of which one must hold (none: all of the sample).

    ``below`` is the probability that the most probable class of some row must stay under for ``low_confidence``.
    """

    __slots__ = ("_below", "_tests", "only", "sample")

    def __init__(self, sample: float = 1.0, only: Sequence[str] = (), below: float = 0.6) -> None:
        self.sample = sample
        self.only = tuple(only)
        self._below = below
        self._tests = tuple(_TESTS[name] for name in self.only)

    def wants(self, decision: Decision) -> bool:
        """Whether the input of a decision, with its members' outputs, is to be kept."""
        if not sampled(decision.id, self.sample):
            return False
        return not self._tests or any(test(decision, self._below) for test in self._tests)


def _error(decision: Decision, below: float) -> bool:
    return decision.error is not None


def _degraded(decision: Decision, below: float) -> bool:
    return decision.degraded


def disagreement(decision: Decision, below: float = 0.0) -> bool:
    """Whether members that answered a row have different most probable classes for it; never for values."""
    if decision.output_kind != "scores" or not decision.outputs.size:
        return False
    answered = decision.status == Status.OK
    labels = decision.outputs.argmax(axis=2)
    most = np.where(answered, labels, -1).max(axis=1)
    least = np.where(answered, labels, decision.outputs.shape[2]).min(axis=1)
    return bool((most > least).any())


def _low_confidence(decision: Decision, below: float) -> bool:
    if decision.output_kind != "scores" or decision.answer is None or not decision.answer.size:
        return False
    return bool((decision.answer.max(axis=1) < below).any())


_TESTS: dict[str, Callable[[Decision, float], bool]] = {
    "errors": _error,
    "degraded": _degraded,
    "disagreement": disagreement,
    "low_confidence": _low_confidence,
}
