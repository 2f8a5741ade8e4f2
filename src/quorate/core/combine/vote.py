"""Vote: members elect a class.

Soft: ``answer_i = mean of the ok members' probabilities`` (the same numbers as ``mean``).
Hard: each ok member casts one vote for its most probable class (the lower index on a tie), and
``answer_ic = (votes for c) / (ok members)``. A tie between classes goes to the one with the higher soft mean, then
to the lower index; so that argmax finds it, every row is ``(1 - 1e-6) share + 1e-6 onehot(winner)``.

Reference: J. Kittler, M. Hatef, R. Duin, J. Matas, "On combining classifiers", IEEE TPAMI 20(3), 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import average
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_no_state, check_output
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

# Several float32 steps at any share, and less than the distance of two shares up to a million members.
WINNER = 1e-6


@dataclass(frozen=True, slots=True)
class VoteParams:
    """``voting``: ``soft`` averages probabilities, ``hard`` counts labels."""

    voting: Literal["hard", "soft"] = "soft"


class Vote(Combiner):
    """Majority or soft vote over classes.

    >>> outputs = np.array([[[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]], np.float32)
    >>> hard = Vote(VoteParams("hard")).combine(outputs, np.zeros((1, 3), np.int8))
    >>> hard.round(3).tolist() == np.float32([[0.667, 0.333]]).tolist()
    True
    """

    kind = "vote"
    Params = VoteParams
    missing = "only the members that answered vote"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """Any members, no state, ``voting`` hard or soft."""
        check_output(self, output)
        check_no_state(self, state)
        if self.params.voting not in ("hard", "soft"):
            raise ConfigError(f"voting must be 'hard' or 'soft'; got '{self.params.voting}'.", path="voting")

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """Shares of votes, or mean probabilities; see :meth:`Combiner.combine`."""
        soft = average(outputs, status)
        if self.params.voting == "soft":
            return soft.astype(np.float32)
        classes = np.arange(outputs.shape[2])
        share = average(outputs.argmax(axis=2)[:, :, None] == classes, status)
        # Shares differ by at least 1/m, soft means by at most 1: half an m-th of them never outweighs a vote.
        winner = (share + soft * (0.5 / outputs.shape[1])).argmax(axis=1)
        answer: NDArray[np.float64] = (1.0 - WINNER) * share + WINNER * (winner[:, None] == classes)
        return answer.astype(np.float32)
