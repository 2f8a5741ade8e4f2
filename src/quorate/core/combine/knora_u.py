"""KNORA-U: every member votes as often as it is right in the region.

``w_j = number of neighbours on which member j is right``. Where no member that answered is right on any, all count
equally.

Reference: A. Ko, R. Sabourin, A. Britto, "From dynamic classifier selection to dynamic ensemble selection", Pattern
Recognition 41(5), 2008.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import Dynamic, Region
from quorate.core.types import State


class KnoraU(Dynamic):
    """K-nearest oracles, union."""

    kind = "knora-u"

    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """See :meth:`Dynamic.weights`."""
        found: NDArray[np.float64] = np.add.reduce(region.hits, axis=1, dtype=np.float64)
        return found
