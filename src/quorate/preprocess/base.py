"""The contract of a preprocessing step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Stage = Literal["encoded", "pixels", "array", "tensor", "columns"]
"""What flows between steps.

``encoded``: the raw tensor ``image``, as it came. ``pixels``: a :data:`~quorate.preprocess.image.Pixels` batch.
``array``: a numeric array whose last axis is channels or columns. ``tensor``: an array whose axes are final.
``columns``: a mapping from column name to ``[n]``.
"""


@dataclass(frozen=True, slots=True)
class NoParams:
    """For steps that take no parameters."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may know of the request: the pixel limit of one image and the path that errors name rows by."""

    max_pixels: int
    path: str


class Step(ABC):
    """Stateless and thread-safe; works on a whole batch; keeps row order; the same bits in training and serving.

    Class attributes declare what a subclass is: ``kind`` (its name in a spec), ``versions`` it can run (newest
    last; a change of one output bit is a new version), ``Params`` (a frozen dataclass that raises ValueError on bad
    values), ``takes`` and ``gives`` (a :data:`Stage` before and after).
    """

    kind: ClassVar[str]
    versions: ClassVar[tuple[int, ...]] = (1,)
    Params: ClassVar[type[Any]] = NoParams
    takes: ClassVar[frozenset[Stage]]
    gives: ClassVar[Stage]

    def __init__(self, params: Any = None, version: int | None = None) -> None:
        self.params = params if params is not None else self.Params()
        self.version = version if version is not None else self.versions[-1]

    @abstractmethod
    def apply(self, batch: Any, context: Context) -> Any:
        """Turn a batch of stage ``takes`` into one of stage ``gives``.

        Raises :class:`~quorate.errors.InvalidInput` (or :class:`~quorate.errors.TooLarge`) with the row's path.
        """
