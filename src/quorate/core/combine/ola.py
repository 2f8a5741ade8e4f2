"""OLA, overall local accuracy: the one member that is right most often in the region answers alone.

Of equally good members the first in order is taken, among those that answered.

Reference: K. Woods, W. Kegelmeyer, K. Bowyer, "Combination of multiple classifiers using local accuracy estimates",
IEEE TPAMI 19(4), 1997.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import Dynamic, Region
from quorate.core.types import State


class Ola(Dynamic):
    """Overall local accuracy."""

    kind = "ola"

    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """See :meth:`Dynamic.weights`."""
        right = np.where(region.ok, np.add.reduce(region.hits, axis=1, dtype=np.int64), -1)
        chosen: NDArray[np.bool_] = right.argmax(axis=1)[:, None] == np.arange(right.shape[1])
        return chosen.astype(np.float64)
