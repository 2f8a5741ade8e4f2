"""The contract of a plan: which members run, in which order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from quorate.core.params import NoParams
from quorate.core.types import BoolArray, FloatArray, StatusArray


class Plan(ABC):
    """Stateless; asked again after each stage until it says stop."""

    kind: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any = None) -> None:
        self.params = params if params is not None else self.Params()

    def begin(self) -> Way:
        """The way of one request through the plan."""
        return Way(self)

    @abstractmethod
    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """Which members each row asks next, bool ``[n, m]``; a row of False is done, and if all are, the plan is.

        ``outputs`` ``[n, m, k]`` and ``status`` ``[n, m]`` hold what is known; a member that a row has not asked is
        ``SKIPPED`` there, and stays so, and is not run for it, unless the row asks it. One that cannot be had (it is
        gone, or would be too late) is shown as ``FAILED``: the plan goes on without it. ``budget_ms`` is the time
        left. Never asks what is ``OK`` or ``FAILED`` in that row, and stops after at most ``m`` calls. What a row asks
        depends on that row only. Inputs are not changed.
        """


class Way:
    """One request's way through a plan: asked stage by stage, about the same rows.

    A plan may keep on it what it has worked out. It asks and answers what it would without that.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """See :meth:`Plan.next`."""
        return self._plan.next(outputs, status, budget_ms)

    def answers(self, outputs: FloatArray, status: StatusArray) -> FloatArray | None:
        """What the combiner whose plan it is answers, float32 ``[n, k]``, where the way has that at hand; else None."""
        return None
