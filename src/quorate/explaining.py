"""Which rule a request would fire, and why the ones before it do not; for `quorate check` and the control port."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from quorate import plugins
from quorate.clock import Clock
from quorate.codecs import sample as sample_codec
from quorate.codecs.snapshot import EndpointRoute, FrontRoute, Limits, PoolRoute, Routing
from quorate.core import facts as catalogue
from quorate.core.distance import Reference
from quorate.core.rules.ruleset import Ruleset, said
from quorate.core.rules.trace import Trace
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules
from quorate.core.types import Scalar, Signature
from quorate.errors import InvalidInput, NotFound, QuorateError
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.serving.facts import PIXELS, Surroundings, distance, interpretable, of_input, reference_of, time_facts
from quorate.serving.inputs import InputReader, check_context
from quorate.serving.sight import Seen, look
from quorate.spec.problems import expected

KEYS = ("context", "facts", "instances")
_TYPES: dict[str, Any] = {"number": (int, float), "text": str, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Example:
    """A request as somebody describes it: its context, facts that are taken for granted, and rows, if any."""

    context: Mapping[str, Scalar]
    facts: Mapping[str, Scalar]
    instances: list[Any] | None

    @property
    def body(self) -> bytes:
        """The request as it would be sent."""
        return json.dumps({"instances": self.instances, "context": dict(self.context)}).encode()


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule against an example; ``parts`` are its condition's, each with its depth, value and why it is unknown."""

    rule: int
    when: str
    then: Any
    value: Any
    why: str | None
    parts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Explained:
    """What an endpoint or front would do with an example; ``fires`` is a rule's number, None where none does.

    ``then`` is what it uses or where it goes to; for policies without rules, the probability of each strategy.
    ``unknown`` are facts that are looked at and that the example does not have.
    """

    name: str
    kind: str
    fires: int | None
    then: Any
    rules: list[Tried]
    facts: dict[str, Scalar]
    unknown: list[str]
    findings: list[str]


def example_of(found: Any) -> Example:
    """An example from decoded JSON; :class:`InvalidInput` names the field that is wrong."""
    if not isinstance(found, dict) or found.keys() - set(KEYS):
        got = ", ".join(sorted(found.keys() - set(KEYS))) if isinstance(found, dict) else "something else"
        raise InvalidInput(f"An example is an object with some of {', '.join(KEYS)}; got {got}.", path="body")
    context, facts, instances = found.get("context", {}), found.get("facts", {}), found.get("instances")
    for name, part in (("context", context), ("facts", facts)):
        if not isinstance(part, dict) or any(isinstance(value, list | dict) for value in part.values()):
            raise InvalidInput(f"{name} is an object of numbers, texts, true, false and null.", path=name)
    if instances is not None and not isinstance(instances, list):
        raise InvalidInput("instances is a list of rows, as they would be sent.", path="instances")
    check_context(context)
    for name, value in facts.items():
        _check_fact(name, value)
    return Example(context, facts, instances)


def _check_fact(name: str, value: Scalar) -> None:
    fact = catalogue.find(name)
    if fact is None:
        known = [each.name for each in catalogue.CATALOGUE]
        raise InvalidInput(f"There is no fact '{name}'; {expected(name, known)}", path=f"facts.{name}")
    fits = isinstance(value, _TYPES[fact.type]) and (fact.type == "boolean" or not isinstance(value, bool))
    if value is not None and not fits:
        raise InvalidInput(f"The fact '{name}' is a {fact.type}; got {json.dumps(value)}.", path=f"facts.{name}")


def explain(
    home: Home, registry: Registry, routing: Routing, example: Example, name: str | None, clock: Clock
) -> list[Explained]:
    """What the endpoint or front ``name`` would do; without a name, all of those that have rules.

    :class:`NotFound` where there is none of that name, :class:`InvalidInput` where the rows do not fit.
    """
    fronts = {front.name: front for front in routing.fronts}
    endpoints = {endpoint.name: endpoint for endpoint in routing.endpoints}
    if name is not None and name not in fronts and name not in endpoints:
        raise NotFound(f"There is no endpoint '{name}'; {expected(name, [*endpoints, *fronts])}", path="name")
    pools = {pool.name: pool for pool in routing.pools}
    if name is None:
        endpoints = {key: each for key, each in endpoints.items() if each.policy.kind == Rules.kind}
    else:
        fronts = {key: each for key, each in fronts.items() if key == name}
        endpoints = {key: each for key, each in endpoints.items() if key == name}
    return [
        *(_front(home, registry, front, example, routing, clock) for front in fronts.values()),
        *(
            _endpoint(home, registry, each, pools[each.pool], example, routing.limits, clock)
            for each in endpoints.values()
        ),
    ]


def _front(
    home: Home, registry: Registry, front: FrontRoute, example: Example, routing: Routing, clock: Clock
) -> Explained:
    ruleset = Ruleset([rule.when for rule in front.rules], "front")
    now = clock.now()
    found = time_facts(now, front.timezone)
    surroundings = Surroundings(clock, home.drift)
    pools = {pool.name: pool for pool in routing.pools}
    asked = {about[1] for about in map(catalogue.parts, ruleset.facts) if about is not None}
    pool_of = {endpoint.name: pools[endpoint.pool] for endpoint in routing.endpoints}
    for name in asked & pool_of.keys():
        found[f"endpoint.{name}.drift"] = surroundings.drift(name)
    if example.instances is not None:
        seen = look(example.body, "application/json", b"", b"", now, routing.limits)
        found |= {"input.rows": seen.rows, "input.bytes": seen.size, "input.kind": seen.kind}
        found |= _inside(seen, _shared(front, routing, pool_of))
        for name in asked & pool_of.keys():
            found[f"endpoint.{name}.distance"] = _far(registry, pool_of[name], seen)
    return _tried(front.name, "front", ruleset, [rule.to for rule in front.rules], front.otherwise, example, found)


def _inside(seen: Seen, shared: Signature | None) -> dict[str, Scalar]:
    """What a front knows of the content of an input."""
    sight = seen.sight
    if sight is None:
        return {}
    found: dict[str, Scalar] = {"input.missing": sight.missing(shared)}
    if sight.size is not None:
        found |= {"image.width": sight.size[0], "image.height": sight.size[1]}
    return found if sight.pixels is None else {**found, **dict(zip(PIXELS, sight.pixels, strict=True))}


def _far(registry: Registry, pool: PoolRoute, seen: Seen) -> float | None:
    raw = None if seen.sight is None else seen.sight.raw(pool.signature)
    return None if raw is None else distance(_reference(registry, pool), raw, pool.signature)


def _shared(front: FrontRoute, routing: Routing, pool_of: Mapping[str, PoolRoute]) -> Signature | None:
    """The signature of all endpoints that a front comes to; None where they differ."""
    fronts = {each.name: each for each in routing.fronts}
    waiting, known, found = [front.name], set[str](), list[Signature]()
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        if name in fronts:
            waiting += [*(rule.to for rule in fronts[name].rules), fronts[name].otherwise]
        else:
            found.append(pool_of[name].signature)
    return found[0] if all(each == found[0] for each in found) else None


def _endpoint(
    home: Home,
    registry: Registry,
    route: EndpointRoute,
    pool: PoolRoute,
    example: Example,
    limits: Limits,
    clock: Clock,
) -> Explained:
    names = tuple(strategy.name for strategy in route.strategies)
    policy: Policy = plugins.build("policies", route.policy.kind, route.policy.params, names)
    found = time_facts(clock.now(), getattr(policy.params, "timezone", "UTC"))
    found["drift.state"] = Surroundings(clock, home.drift).drift(route.name)
    found |= {f"strategy.{strategy.name}.interpretable": strategy.interpretable for strategy in route.strategies}
    if example.instances is not None:
        _, raw, _ = InputReader(pool.signature).decode(example.body, limits)
        reference = _reference(registry, pool)
        found |= of_input(raw, len(example.body), pool.signature, reference, max_pixels=limits.image_pixels)
    if isinstance(policy, Rules):
        uses = [rule.use for rule in policy.params.rules]
        return _tried(route.name, policy.kind, policy.ruleset, uses, policy.params.otherwise, example, found)
    facts = _looked_at(policy.facts(), example, found)
    p = policy.distribution(policy.initial(), example.context, facts).tolist()
    return Explained(route.name, policy.kind, None, dict(zip(names, p, strict=True)), [], facts, _unknown(facts), [])


def _reference(registry: Registry, pool: PoolRoute) -> Reference | None:
    for member in pool.members:
        if member.sample is not None:
            try:
                return reference_of(sample_codec.decode(registry.read_blob(member.sample))[0], pool.signature)
            except QuorateError:  # `quorate doctor` says so; the distance is not known then
                continue
    return None


def _looked_at(names: frozenset[str], example: Example, found: Mapping[str, Scalar]) -> dict[str, Scalar]:
    facts = {**found, "request.interpretable": interpretable(example.context), **example.facts}
    return {name: facts.get(name) for name in sorted(names)}


def _unknown(facts: Mapping[str, Scalar]) -> list[str]:
    return [name for name, value in facts.items() if value is None]


def _tried(
    name: str,
    kind: str,
    ruleset: Ruleset,
    uses: list[Any],
    otherwise: Any,
    example: Example,
    found: Mapping[str, Scalar],
) -> Explained:
    facts = _looked_at(ruleset.facts, example, found)
    fired = ruleset.first(example.context, facts)
    rules = [
        Tried(index + 1, ruleset.texts[index], uses[index], trace.value, trace.why, list(_parts(trace)))
        for index, trace in enumerate(ruleset.traces(example.context, facts))
    ]
    fires, then = (None, otherwise) if fired is None else (fired + 1, uses[fired])
    findings = [said(finding) for finding in ruleset.findings()]
    return Explained(name, kind, fires, then, rules, facts, _unknown(facts), findings)


def _parts(trace: Trace) -> Iterator[dict[str, Any]]:
    for depth, part in trace.flat():
        if depth:
            yield {"depth": depth, "text": part.text, "value": part.value, "why": part.why}


def explainer(home: Home, registry: Registry, clock: Clock) -> Callable[[Routing, str, Any], dict[str, Any]]:
    """What the control port tries examples with: from the routing, a name and an example to what is shown."""

    def tried(routing: Routing, name: str, asked: Any) -> dict[str, Any]:
        (found,) = explain(home, registry, routing, example_of(asked), name, clock)
        return {
            "name": found.name,
            "kind": "front" if found.kind == "front" else "endpoint",
            "fires": found.fires,
            "then": _weights(found.then),
            "rules": [{**asdict(each), "then": _weights(each.then)} for each in found.rules],
            "facts": found.facts,
            "unknown": found.unknown,
        }

    return tried


def _weights(then: Any) -> dict[str, float]:
    return {then: 1.0} if isinstance(then, str) else {name: float(weight) for name, weight in then.items()}
