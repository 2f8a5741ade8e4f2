"""What a strategy can promise: its conformal state, and what was learned of its coverage."""

from __future__ import annotations

from copy import copy

from quorate.codecs import learned
from quorate.codecs.snapshot import PoolRoute, StrategyRoute
from quorate.core.conformal.adaptive import Adapted
from quorate.core.conformal.calibrated import Calibrated
from quorate.core.conformal.recorded import COVERAGE, Abstain, noted
from quorate.core.types import Scalar, State


class Promise:
    """What a strategy's conformal state lets it promise; ``adapted`` is what was learned, None before anything was."""

    __slots__ = ("abstain", "adapted", "calibrated", "coverage", "key")

    def __init__(self, route: StrategyRoute, pool: PoolRoute, state: State) -> None:
        assert route.conformal is not None  # noqa: S101 - the state is its
        self.calibrated = Calibrated(state)
        self.coverage = route.conformal.coverage
        self.abstain: Abstain = route.conformal.abstain
        self.key = learned.adaptive_key(route, pool) if route.conformal.adaptive else ""
        self.adapted: Adapted | None = None

    def adapting(self, state: State) -> Promise:
        """The same with what was learned."""
        adapted = copy(self)
        adapted.adapted = Adapted(state)
        return adapted

    def facts(self, coverage: float) -> dict[str, Scalar]:
        """What a decision must record so that its sets can be computed again."""
        found: dict[str, Scalar] = {COVERAGE: coverage}
        return found if self.adapted is None else found | noted(self.adapted.threshold(coverage))
