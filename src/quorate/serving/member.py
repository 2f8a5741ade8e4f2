"""A member of a pool in memory."""

from __future__ import annotations

from quorate.codecs.snapshot import MemberRoute
from quorate.core.types import Artifact
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.units import Unit


class LoadedMember:
    """A member, the unit that runs it by itself, and its circuit."""

    __slots__ = ("artifact", "breaker", "name", "route", "unit", "version", "weights")

    def __init__(self, route: MemberRoute, artifact: Artifact, unit: Unit, breaker: Breaker) -> None:
        self.artifact = artifact
        self.name = route.name
        self.version = route.version
        self.route = route
        self.unit = unit
        self.breaker = breaker
        self.weights = 0
        """Bytes of its files, set by the loader."""

    @property
    def available(self) -> bool:
        """Whether requests may run it now."""
        return self.breaker.state is Circuit.CLOSED
