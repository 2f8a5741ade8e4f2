"""Fronts: names that send each request on to an endpoint, by rules over what is known before its input is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from quorate.clock import Clock
from quorate.codecs.snapshot import FrontRoute, Limits
from quorate.core import facts as catalogue
from quorate.core.rules.ruleset import Ruleset
from quorate.core.types import InputKind, Scalar, Signature
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import Surroundings, interpretable, time_facts
from quorate.serving.forms import FormReader, query_options
from quorate.serving.inputs import Context
from quorate.serving.pool import LoadedPool
from quorate.web import json


class Seen(NamedTuple):
    """What is known of a request before it is known which endpoint reads it; ``kind`` is that of its first row."""

    kind: InputKind | None
    rows: int
    size: int
    arrived: float
    context: Mapping[str, Scalar]


class Sent(NamedTuple):
    """Where a request goes, and what is recorded of how it came there."""

    endpoint: LoadedEndpoint
    facts: Mapping[str, Scalar]


class _Fields(msgspec.Struct):
    """What a front reads of a JSON body; the endpoint reads all of it, and says what is wrong with it."""

    instances: list[msgspec.Raw]
    context: Context = {}


_FIELDS = msgspec.json.Decoder(_Fields)


def look(body: bytes, media_type: str, content_type: bytes, query: bytes, arrived: float, limits: Limits) -> Seen:
    """What a front sees of a request to predict; client errors name the field."""
    size = len(body)
    if media_type in ("application/json", ""):
        read: _Fields = json.decode(body, depth=limits.json_depth, decoder=_FIELDS)
        kind = _kind(bytes(read.instances[0])) if read.instances else None
        return Seen(kind, len(read.instances), size, arrived, read.context)
    if media_type == "multipart/form-data":
        images, context, _ = FormReader(content_type, limits).read(body)
        return Seen("image", len(images), size, arrived, context)
    _, context = query_options(query)
    return Seen("image", 1, size, arrived, context)


def _kind(row: bytes) -> InputKind | None:
    """What a row of JSON is: an object is a picture if it has ``b64``, else columns; lists are numbers (or pixels)."""
    if row.startswith(b"["):
        return "array"
    if not row.startswith(b"{"):
        return None
    try:
        keys = msgspec.json.decode(row, type=dict[str, msgspec.Raw]).keys()
    except msgspec.DecodeError:
        return None
    return "image" if keys == {"b64"} else "columns"


class LoadedFront:
    """A front in memory. ``targets`` are all names it may send requests to, fronts among them.

    ``in_flight()`` are the requests that the worker answers now.
    """

    def __init__(self, route: FrontRoute, clock: Clock, surroundings: Surroundings) -> None:
        self.route = route
        self.name = route.name
        self._ruleset = Ruleset([rule.when for rule in route.rules], "front")
        self._around = surroundings
        self._clock = clock
        self._endpoints: Mapping[str, LoadedEndpoint] = {}
        self._fronts: Mapping[str, LoadedFront] = {}

    def join(self, endpoints: Mapping[str, LoadedEndpoint], fronts: Mapping[str, LoadedFront]) -> None:
        """Know what else there is; before any request."""
        self._endpoints, self._fronts = endpoints, fronts

    @property
    def targets(self) -> tuple[LoadedEndpoint, ...]:
        """All endpoints that a request may come to, by way of other fronts too."""
        found: dict[str, LoadedEndpoint] = {}
        for name in [*(rule.to for rule in self.route.rules), self.route.otherwise]:
            if name in self._fronts:
                found |= {target.name: target for target in self._fronts[name].targets}
            else:
                found[name] = self._endpoints[name]
        return tuple(found.values())

    @property
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
        about = catalogue.parts(name)
        if about is not None:
            return self._of_endpoint(self._endpoints[about[1]], about[2])
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

    @staticmethod
    def _of_endpoint(endpoint: LoadedEndpoint, what: str) -> Scalar:
        pool = endpoint.pool
        if what == "in_flight":
            return endpoint.in_flight
        if what == "healthy":
            return not (endpoint.unloaded or pool.unloaded) and pool.sound
        return pool.backlog_ms(pool.units_for(pool.everyone))


def loaded(
    routes: Sequence[FrontRoute], endpoints: Mapping[str, LoadedEndpoint], clock: Clock, around: Surroundings
) -> dict[str, LoadedFront]:
    """All fronts of a manifest."""
    fronts = {route.name: LoadedFront(route, clock, around) for route in routes}
    for front in fronts.values():
        front.join(endpoints, fronts)
    return fronts
