"""Random numbers that belong to a decision: what is random in a set can be computed again from the record."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_WIDTH = 2


def draws(decision: str, rows: int) -> NDArray[np.float64]:
    """Two uniform numbers in (0, 1] for each of ``rows`` rows of a decision, ``[rows, 2]``; the first of many rows are
    those of few.

    They are a hash of the decision's id, which nobody chooses: independent of the input and of its truth.

    >>> bool((draws("a", 3)[:1] == draws("a", 1)).all())
    True
    """
    raw = hashlib.shake_128(f"conformal {decision}".encode()).digest(8 * _WIDTH * rows)
    whole = (np.frombuffer(raw, "<u8") >> np.uint64(11)).astype(np.float64).reshape(rows, _WIDTH)
    return (whole + 1.0) * 2.0**-53
