"""The contract of a plan: which members run, in which order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from quorate.core.combine.base import NoParams
from quorate.core.types import FloatArray, StatusArray


class Plan(ABC):
    """Stateless; asked again after each stage until it says stop."""

    kind: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any = None) -> None:
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> tuple[int, ...]:
        """Indices of the members to run next; empty means stop.

        ``outputs`` ``[n, m, k]`` and ``status`` ``[n, m]`` hold what is known; a member not asked yet is
        ``SKIPPED``. ``budget_ms`` is the time left. Never names a member that is ``OK`` or ``FAILED`` in every
        row, and stops after at most ``m`` calls.
        """
