"""Feedback for learners, written briefly."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from quorate.core.select.base import Feedback


@pytest.fixture
def told() -> Callable[..., Feedback]:
    """Makes one row; None is a reward that is not known."""

    def row(rewards, assigned=0, p=None, at=0.0, context=None, facts=None, latency_ms=1.0, error=False) -> Feedback:
        values = np.array([math.nan if r is None else r for r in rewards], np.float64)
        chances = tuple(p) if p is not None else (1 / len(values),) * len(values)
        return Feedback(context or {}, facts or {}, chances, assigned, values, at, latency_ms, error)

    return row
