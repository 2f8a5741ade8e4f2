"""What makes members: the contract of trainers, and what they hand over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, Tensors
from quorate.errors import InvalidInput
from quorate.training.export import Exported


@dataclass(frozen=True)
class Rows:
    """Labelled rows after preprocessing.

    ``inputs`` are the tensors that the preprocessing gives, ``truth`` class indices int64 ``[n]``, ``classes`` what
    they stand for; of numbers, float64 ``[n]``, and there are no classes. ``weights`` float64 ``[n]`` sum to 1; None
    counts every row alike.
    """

    inputs: Tensors
    truth: NDArray[Any]
    classes: tuple[str, ...]
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def labels(self) -> NDArray[np.str_]:
        """The true labels ``[n]`` as text."""
        found: NDArray[np.str_] = np.asarray(self.classes)[self.truth]
        return found

    def need_classes(self, name: str) -> None:
        """:class:`InvalidInput` for numbers, which the trainer of ``name`` does not learn."""
        if not self.classes:
            raise InvalidInput(f"'{name}' learns classes, and the truths are numbers; give a regressor.", path="labels")

    def take(self, rows: NDArray[np.integer[Any]]) -> Rows:
        """These rows only, in this order; weights are dropped."""
        inputs = {name: value[rows] for name, value in self.inputs.items()}
        return replace(self, inputs=inputs, truth=self.truth[rows], weights=None)


class Fitted(Protocol):
    """One fitted member; it can be pickled."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """What its training alone knows, for its manifest."""

    def answers(self, inputs: Tensors) -> FloatArray:
        """Probabilities float32 ``[n, k]`` in the order of the classes it was fitted on, or values ``[n, k]``."""

    def export(self, inputs: Tensors) -> Exported:
        """The artifact; ``inputs`` are a few rows to check it on."""


class Trainer(Protocol):
    """Makes one member, or several that depend on each other; a value that can be pickled and used many times.

    The same rows make the same members.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The members it makes, in order."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions whose versions change what it makes."""

    @property
    def cost(self) -> float:
        """How long it takes, relative to others: the longest are started first."""

    def fit(self, rows: Rows) -> Sequence[Fitted]:
        """One fitted member for each name; :class:`~quorate.errors.InvalidInput` if the rows do not do."""
