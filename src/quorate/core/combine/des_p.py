"""DES-P: the members that are better than chance in the region.

``w_j = 1`` where member j is right on more than 1/K of the neighbours, K the number of classes; else 0. Where none is,
all members vote.

Reference: T. Woloszynski, M. Kurzynski, P. Podsiadlo, G. Stachowiak, "A measure of competence based on random
classification for dynamic ensemble selection", Information Fusion 13(3), 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import Dynamic, Region
from quorate.core.types import State


class DesP(Dynamic):
    """Selection of members that beat random choice."""

    kind = "des-p"

    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """See :meth:`Dynamic.weights`."""
        right = np.add.reduce(region.hits, axis=1, dtype=np.int64)
        better: NDArray[np.bool_] = right * region.outputs.shape[2] > region.hits.shape[1]
        return better.astype(np.float64)
