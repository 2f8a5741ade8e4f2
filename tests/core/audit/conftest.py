"""Rows of pools whose members are known."""

from __future__ import annotations

import numpy as np

from quorate.core.audit.game import Rows


def scores(n: int, skills: list[float], *, k: int = 3, seed: int = 0, copies: dict[int, int] | None = None) -> Rows:
    """Scores of members with these skills (0: noise; negative: points away from the truth) and copies of some."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    evidence = rng.standard_normal((n, len(skills), k))
    evidence[np.arange(n), :, truth] += np.array(skills)
    for copy, original in (copies or {}).items():
        evidence[:, copy] = evidence[:, original] + 0.1 * rng.standard_normal((n, k))
    found = np.exp(evidence)
    found /= found.sum(axis=2, keepdims=True)
    return Rows(found.astype(np.float32), np.zeros((n, len(skills)), np.int8), truth, np.arange(n))


def numbers(n: int, errors: list[float], seed: int = 0) -> Rows:
    """Members whose answers have these standard deviations around the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    outputs = truth[:, None] + rng.standard_normal((n, len(errors))) * errors
    return Rows(outputs[:, :, None].astype(np.float32), np.zeros((n, len(errors)), np.int8), truth, np.arange(n))
