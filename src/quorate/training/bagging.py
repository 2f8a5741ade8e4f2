"""Bagging: members trained on different bootstrap samples of the same rows.

Reference: L. Breiman, "Bagging predictors", Machine Learning 24(2), 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput
from quorate.training.trainer import Fitted, Rows, Trainer


@dataclass(frozen=True)
class Bootstrap:
    """Fits ``trainer`` on as many rows as there are, drawn with replacement by ``seed``: about 63 % of them occur."""

    trainer: Trainer
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """The trainer's."""
        return self.trainer.names

    @property
    def libraries(self) -> tuple[str, ...]:
        """The trainer's."""
        return self.trainer.libraries

    @property
    def cost(self) -> float:
        """The trainer's."""
        return self.trainer.cost

    def fit(self, rows: Rows) -> Sequence[Fitted]:
        """Fit on the sample; :class:`InvalidInput` for weighted rows, else raises as the trainer does."""
        if rows.weights is not None:
            raise InvalidInput(
                f"'{', '.join(self.names)}' cannot be boosted: a bootstrap sample heeds no weights; boost the trainer "
                "itself, or bag what is boosted.",
                path="trainers",
            )
        strata = rows.truth if rows.classes else np.zeros(len(rows), np.int64)
        return self.trainer.fit(rows.take(draw(strata, np.random.default_rng(self.seed))))


def draw(truth: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices ``[n]`` of a bootstrap sample; it is drawn within each class, so that no class is lost.

    >>> draw(np.array([0, 0, 0, 1]), np.random.default_rng(0)).tolist()
    [1, 0, 0, 3]
    """
    order = np.argsort(truth, kind="stable")
    _, starts, counts = np.unique(truth[order], return_index=True, return_counts=True)
    drawn = np.repeat(starts, counts) + (rng.random(len(truth)) * np.repeat(counts, counts)).astype(np.int64)
    return order[drawn]
