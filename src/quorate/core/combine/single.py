"""Single: the answer of one member, unchanged. ``answer_i = x_i1``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import OK
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_no_state, check_output
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError


class Single(Combiner):
    """One member answers alone.

    >>> Single().combine(np.array([[[0.25, 0.75]]], np.float32), np.zeros((1, 1), np.int8)).tolist()
    [[0.25, 0.75]]
    """

    kind = "single"
    output_kinds = frozenset({"scores", "values"})
    missing = "no answer without its one member"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """Exactly one member, no state."""
        check_output(self, output)
        check_no_state(self, state)
        if len(members) != 1:
            raise ConfigError(
                f"'single' takes exactly one member; got {len(members)} [{', '.join(members)}]. "
                "Name one, or use 'mean' or 'vote'.",
                path="members",
            )

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """The member's own output; see :meth:`Combiner.combine`."""
        return np.where(status == OK, outputs[:, 0], np.float32(np.nan))
