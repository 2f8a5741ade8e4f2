"""A generation: one snapshot, loaded. Requests under way keep theirs while the next one takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.codecs.snapshot import Limits, Routing
from quorate.core.types import Signature
from quorate.errors import NotFound
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.fronts import LoadedFront
from quorate.serving.member import LoadedMember
from quorate.serving.pool import LoadedPool
from quorate.web.auth import Keyring


@dataclass(frozen=True, slots=True)
class Model:
    """A member addressed by itself: its pool and position there."""

    pool: LoadedPool
    position: int

    @property
    def member(self) -> LoadedMember:
        """The loaded member."""
        return self.pool.members[self.position]

    @property
    def signature(self) -> Signature:
        """Its raw input and output."""
        return self.member.route.signature


@dataclass(frozen=True, slots=True)
class Generation:
    """Everything one snapshot version needs, immutable; ``models`` maps name to version to model."""

    version: int
    routing: Routing
    pools: tuple[LoadedPool, ...] = ()
    endpoints: Mapping[str, LoadedEndpoint] = field(default_factory=dict)
    models: Mapping[str, Mapping[int, Model]] = field(default_factory=dict)
    keyring: Keyring = field(default_factory=lambda: Keyring(()))
    fronts: Mapping[str, LoadedFront] = field(default_factory=dict)
    _users: list[int] = field(default_factory=lambda: [0], compare=False)

    @classmethod
    def empty(cls) -> Generation:
        """Before the first snapshot is loaded."""
        return cls(0, Routing(version=0))

    @property
    def limits(self) -> Limits:
        """What a request may be at most."""
        return self.routing.limits

    def has(self, name: str) -> bool:
        """Whether an endpoint or a model is called so."""
        return name in self.endpoints or name in self.models or name in self.fronts

    def model(self, name: str, version: str | None) -> Model:
        """A member by name, newest version unless one is given; :class:`NotFound` says what there is."""
        versions = self.models.get(name)
        if versions is None:
            known = ", ".join(sorted({*self.models, *self.endpoints, *self.fronts})) or "none"
            raise NotFound(f"There is no endpoint or model '{name[:64]}'; expected one of: {known}.", path="model_name")
        if version is None:
            return versions[max(versions)]
        if not version.isdecimal() or len(version) > 9 or int(version) not in versions:
            raise NotFound(
                f"Model '{name}' has no version '{version[:32]}' here; loaded: {', '.join(map(str, sorted(versions)))}",
                path="model_version",
            )
        return versions[int(version)]

    def acquire(self) -> None:
        """Hold all pools; as cheap with many of them as with one."""
        self._users[0] += 1
        if self._users[0] == 1:
            for pool in self.pools:
                pool.acquire()

    def release(self) -> None:
        """Let go of all pools; those that no request and no other generation holds close."""
        self._users[0] -= 1
        if self._users[0] == 0:
            for pool in self.pools:
                pool.release()
