"""KNORA-E: the members that are right on all of the nearest neighbours, on as many of these as any member is.

``w_j = 1`` where the number of nearest neighbours before member j's first error equals the greatest such number of any
member that answered, else 0. That is the published rule (the region shrinks until somebody is right on all of it);
where nobody is right on the nearest neighbour all members vote.

Reference: A. Ko, R. Sabourin, A. Britto, "From dynamic classifier selection to dynamic ensemble selection", Pattern
Recognition 41(5), 2008.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import Dynamic, Region
from quorate.core.types import State


class KnoraE(Dynamic):
    """K-nearest oracles, eliminate."""

    kind = "knora-e"

    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """See :meth:`Dynamic.weights`."""
        streak = np.minimum.accumulate(region.hits, axis=1).sum(axis=1, dtype=np.int64)
        streak = np.where(region.ok, streak, -1)
        chosen: NDArray[np.bool_] = streak == streak.max(axis=1, keepdims=True)
        return chosen.astype(np.float64)
