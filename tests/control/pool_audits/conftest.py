"""A project with decisions whose third member is harmful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.run import audit_decisions
from quorate.core.types import Decision
from tests.control.replay.conftest import CLASSES, Log, decided, told


def outputs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores [count, 3, 2] of two good members and one that is confidently wrong, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=count)
    evidence = rng.standard_normal((count, 3, 2))
    evidence[np.arange(count), :, truth] += [2.0, 1.8, -3.0]
    scores = np.exp(evidence)
    return (scores / scores.sum(axis=2, keepdims=True)).astype(np.float32), truth


def decisions(count: int, seed: int = 0, **other: Any) -> tuple[list[Decision], np.ndarray]:
    """So many decisions of one row, and their truths."""
    found, truth = outputs(count, seed)
    return [decided(i, each[None], **other) for i, each in enumerate(found)], truth


def truths(some: Sequence[Decision], truth: np.ndarray) -> list[Any]:
    """The outcomes."""
    return [told(d, CLASSES[t]) for d, t in zip(some, truth, strict=True)]


class Audited(Log):
    """The journal of a project, which can be audited."""

    def audit(self, name: str = "main", **asked: Any) -> Answer:
        """Ask."""
        p = self.project
        return audit_decisions(Question(name, **asked), p.home, p.database, p.registry, p.clock)


@pytest.fixture
def log(project: Any) -> Audited:
    """The project's journal, empty."""
    return Audited(project)
