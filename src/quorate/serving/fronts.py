"""Fronts: names that send each request on to an endpoint, by rules over what is seen of it before that reads it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import NamedTuple

from quorate.clock import Clock
from quorate.codecs.snapshot import FrontRoute
from quorate.core import facts as catalogue
from quorate.core.distance import Reference
from quorate.core.rules.ruleset import Ruleset
from quorate.core.types import Scalar, Signature
from quorate.errors import MemberError
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import HEAVY_BYTES, PIXELS, Surroundings, distance, interpretable, time_facts
from quorate.serving.lanes import ThreadLane
from quorate.serving.pool import LoadedPool
from quorate.serving.sight import Seen, Sight

log = logging.getLogger("quorate.serving")


class Sent(NamedTuple):
    """Where a request goes, and what is recorded of how it came there."""

    endpoint: LoadedEndpoint
    facts: Mapping[str, Scalar]


class LoadedFront:
    """A front in memory; ``on_fact_failure()`` counts what could not be found out because of an error.

    ``references`` are the numbers that are usual for an endpoint's models, by its name; set by the loader for those of
    :attr:`measured`.
    """

    def __init__(
        self,
        route: FrontRoute,
        clock: Clock,
        surroundings: Surroundings,
        on_fact_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.route = route
        self.references: dict[str, Reference | None] = {}
        self.name = route.name
        self._ruleset = Ruleset([rule.when for rule in route.rules], "front")
        self._around = surroundings
        self._clock = clock
        self._endpoints: Mapping[str, LoadedEndpoint] = {}
        self._fronts: Mapping[str, LoadedFront] = {}
        self._on_failure = on_fact_failure
        self._failed = False

    def join(self, endpoints: Mapping[str, LoadedEndpoint], fronts: Mapping[str, LoadedFront]) -> None:
        """Know what else there is; before any request."""
        self._endpoints, self._fronts = endpoints, fronts

    @cached_property
    def targets(self) -> tuple[LoadedEndpoint, ...]:
        """All endpoints that a request may come to, by way of other fronts too."""
        found: dict[str, LoadedEndpoint] = {}
        for name in [*(rule.to for rule in self.route.rules), self.route.otherwise]:
            if name in self._fronts:
                found |= {target.name: target for target in self._fronts[name].targets}
            else:
                found[name] = self._endpoints[name]
        return tuple(found.values())

    @cached_property
    def signature(self) -> Signature | None:
        """The signature that all its endpoints share; None where they differ."""
        first, *others = (target.pool.route.signature for target in self.targets)
        return first if all(other == first for other in others) else None

    @property
    def pool(self) -> LoadedPool:
        """The pool of its first endpoint: of what is asked of it, only the signature is looked at."""
        return self.targets[0].pool

    @property
    def blind(self) -> bool:
        """Whether one of its endpoints is blind, so that no answer may look different from that one's."""
        return any(target.blind for target in self.targets)

    @property
    def unloaded(self) -> bool:
        """Whether none of its endpoints answers."""
        return all(target.unloaded for target in self.targets)

    @property
    def measured(self) -> tuple[str, ...]:
        """The endpoints whose distance its rules look at."""
        return tuple(name.split(".", 1)[1].rpartition(".")[0] for name in self._ruleset.facts if _is_distance(name))

    @cached_property
    def _looks_inside(self) -> bool:
        """Whether it, or a front it sends to, measures pixels or reads rows."""
        named = self._ruleset.facts
        if "input.missing" in named or not named.isdisjoint(PIXELS) or any(map(_is_distance, named)):
            return True
        targets = [*(rule.to for rule in self.route.rules), self.route.otherwise]
        return any(self._fronts[name]._looks_inside for name in targets if name in self._fronts)

    async def send_aside(self, seen: Seen, in_flight: int, lane: ThreadLane) -> Sent:
        """:meth:`send`, in a thread where finding facts out would hold the event loop up.

        What takes longer than half of the shortest deadline of its endpoints is not known.
        """
        if seen.size <= HEAVY_BYTES or not self._looks_inside:
            return self.send(seen, in_flight)
        seconds = min(target.deadline for target in self.targets) / 2
        try:
            return await asyncio.wait_for(lane.submit(partial(self.send, seen, in_flight)), seconds)
        except (TimeoutError, MemberError):
            self._on_failure()
            return self.send(seen._replace(sight=None), in_flight)

    def send(self, seen: Seen, in_flight: int) -> Sent:
        """The endpoint that a request goes to."""
        facts = {name: self._fact(name, seen, in_flight) for name in self._ruleset.facts if name[:5] != "time."}
        if len(facts) < len(self._ruleset.facts):
            facts |= time_facts(seen.arrived, self.route.timezone)
        fired = self._ruleset.first(seen.context, facts)
        name = self.route.otherwise if fired is None else self.route.rules[fired].to
        rule = "otherwise" if fired is None else str(fired + 1)
        if name in self._fronts:
            sent = self._fronts[name].send(seen, in_flight)
            way = {key: f"{here} > {sent.facts[key]}" for key, here in (("front", self.name), ("front.rule", rule))}
            return Sent(sent.endpoint, way)
        return Sent(self._endpoints[name], {"front": self.name, "front.rule": rule})

    def _fact(self, name: str, seen: Seen, in_flight: int) -> Scalar:
        """One fact; None where it is not known, or an error keeps it."""
        try:
            about = catalogue.parts(name)
            if about is not None:
                return self._of_endpoint(self._endpoints[about[1]], about[2], seen.sight)
            if name == "input.missing" or name.startswith("image."):
                return None if seen.sight is None else self._inside(name, seen.sight)
        except Exception:
            self._on_failure()
            if not self._failed:
                self._failed = True
                log.exception("Facts of the front '%s' could not be found out; this is logged once", self.name)
            return None
        match name:
            case "input.kind":
                return seen.kind
            case "input.rows":
                return seen.rows
            case "input.bytes":
                return seen.size
            case "request.interpretable":
                return interpretable(seen.context)
            case "load.in_flight":
                return in_flight
            case "process.cpu":
                return self._around.cpu()
            case "process.memory":
                return self._around.memory()
        return None

    def _inside(self, name: str, sight: Sight) -> Scalar:
        if name == "input.missing":
            return sight.missing(self.signature)
        if name in PIXELS:
            return None if sight.pixels is None else sight.pixels[PIXELS.index(name)]
        return None if sight.size is None else sight.size[0 if name == "image.width" else 1]

    def _of_endpoint(self, endpoint: LoadedEndpoint, what: str, sight: Sight | None) -> Scalar:
        pool = endpoint.pool
        match what:
            case "in_flight":
                return endpoint.in_flight
            case "healthy":
                return not (endpoint.unloaded or pool.unloaded) and pool.sound
            case "drift":
                return self._around.drift(endpoint.name)
            case "distance":
                signature = pool.route.signature
                raw = None if sight is None else sight.raw(signature)
                return None if raw is None else distance(self.references.get(endpoint.name), raw, signature)
        return pool.backlog_ms(pool.units_for(pool.everyone))


def _is_distance(name: str) -> bool:
    return name.startswith("endpoint.") and name.endswith(".distance")


def loaded(
    routes: Sequence[FrontRoute],
    endpoints: Mapping[str, LoadedEndpoint],
    clock: Clock,
    around: Surroundings,
    failing: Callable[[str], Callable[[], None]] = lambda _: lambda: None,
) -> dict[str, LoadedFront]:
    """All fronts of a manifest; ``failing(name)`` counts the facts that an error kept from one."""
    fronts = {route.name: LoadedFront(route, clock, around, failing(route.name)) for route in routes}
    for front in fronts.values():
        front.join(endpoints, fronts)
    return fronts
