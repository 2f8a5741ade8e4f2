"""What ``quorate check --explain`` says: which rule an example would fire, and why the ones before it do not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate import plugins
from quorate.clock import SystemClock
from quorate.codecs import sample as sample_codec
from quorate.codecs.snapshot import EndpointRoute, FrontRoute, Limits, PoolRoute, Routing
from quorate.core import facts as catalogue
from quorate.core.distance import Reference
from quorate.core.rules.ruleset import Ruleset, said
from quorate.core.rules.trace import Trace
from quorate.core.rules.written import constant
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules
from quorate.core.types import Scalar
from quorate.errors import ConfigError, QuorateError
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.serving.facts import Surroundings, interpretable, of_input, reference_of, time_facts
from quorate.serving.fronts import look
from quorate.serving.inputs import InputReader, check_context
from quorate.spec.problems import expected

KEYS = ("context", "facts", "instances")
_TYPES: dict[str, Any] = {"number": (int, float), "text": str, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Example:
    """A request as a file describes it: its context, facts that are taken for granted, and rows, if any."""

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


def read_example(path: str) -> Example:
    """Read an example from a JSON file, or from standard input for ``-``; :class:`ConfigError` if it is none."""
    try:
        found = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not an example in JSON: {error}.", path="--explain") from None
    if not isinstance(found, dict) or found.keys() - set(KEYS):
        got = ", ".join(sorted(found.keys() - set(KEYS))) if isinstance(found, dict) else "something else"
        raise ConfigError(
            f"{path} is not an example: expected an object with some of {', '.join(KEYS)}; got {got}.", path="--explain"
        )
    context, facts = found.get("context", {}), found.get("facts", {})
    for name, part in (("context", context), ("facts", facts)):
        if not isinstance(part, dict) or any(isinstance(value, list | dict) for value in part.values()):
            raise ConfigError(f"{path}: {name} is an object of numbers, texts, true, false and null.", path="--explain")
    check_context(context)
    for name, value in facts.items():
        _check_fact(path, name, value)
    return Example(context, facts, found.get("instances"))


def _check_fact(path: str, name: str, value: Scalar) -> None:
    fact = catalogue.find(name)
    if fact is None:
        known = [each.name for each in catalogue.CATALOGUE]
        raise ConfigError(f"{path}: there is no fact '{name}'; {expected(name, known)}", path="--explain")
    fits = isinstance(value, _TYPES[fact.type]) and (fact.type == "boolean" or not isinstance(value, bool))
    if value is not None and not fits:
        raise ConfigError(f"{path}: the fact '{name}' is a {fact.type}; got {json.dumps(value)}.", path="--explain")


def explain(home: Home, registry: Registry, routing: Routing, example: Example, name: str | None) -> list[Explained]:
    """What the endpoint or front ``name`` would do; without a name, all of those that have rules."""
    fronts = {front.name: front for front in routing.fronts}
    endpoints = {endpoint.name: endpoint for endpoint in routing.endpoints}
    if name is not None and name not in fronts and name not in endpoints:
        raise ConfigError(f"There is no endpoint '{name}'; {expected(name, [*endpoints, *fronts])}", path="--endpoint")
    pools = {pool.name: pool for pool in routing.pools}
    if name is None:
        endpoints = {key: each for key, each in endpoints.items() if each.policy.kind == Rules.kind}
    else:
        fronts = {key: each for key, each in fronts.items() if key == name}
        endpoints = {key: each for key, each in endpoints.items() if key == name}
    return [
        *(_front(front, example, routing.limits) for front in fronts.values()),
        *(_endpoint(home, registry, each, pools[each.pool], example, routing.limits) for each in endpoints.values()),
    ]


def _front(front: FrontRoute, example: Example, limits: Limits) -> Explained:
    ruleset = Ruleset([rule.when for rule in front.rules], "front")
    now = SystemClock().now()
    found = time_facts(now, front.timezone)
    if example.instances is not None:
        seen = look(example.body, "application/json", b"", b"", now, limits)
        found |= {"input.rows": seen.rows, "input.bytes": seen.size, "input.kind": seen.kind}
    return _tried(front.name, "front", ruleset, [rule.to for rule in front.rules], front.otherwise, example, found)


def _endpoint(
    home: Home, registry: Registry, route: EndpointRoute, pool: PoolRoute, example: Example, limits: Limits
) -> Explained:
    names = tuple(strategy.name for strategy in route.strategies)
    policy: Policy = plugins.build("policies", route.policy.kind, route.policy.params, names)
    clock = SystemClock()
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


def lines(found: Explained) -> Iterator[str]:
    """An explanation for a terminal."""
    if not found.rules:
        shares = ", ".join(f"{name} {p:.4g}" for name, p in found.then.items())
        yield f"endpoint {found.name} (policy {found.kind}): {shares}"
    else:
        what, verb = ("front", "goes to") if found.kind == "front" else ("endpoint", "uses")
        fires = f"rule {found.fires} fires" if found.fires is not None else "no rule fires, so 'otherwise' decides"
        yield f"{what} {found.name}: {fires}; it {verb} {_shown(found.then)}"
    for tried in found.rules:
        mark = "->" if tried.rule == found.fires else "  "
        state = "" if found.fires is None or tried.rule <= found.fires else " (not reached)"
        yield f"{mark} rule {tried.rule}{state}: {tried.when}"
        yield f"     {_value(tried.value, tried.why)}"
        for part in tried.parts:
            yield f"     {'  ' * part['depth']}{part['text']}: {_value(part['value'], part['why'])}"
    if found.unknown:
        yield f"   not known of this example: {', '.join(found.unknown)}; 'facts' can say them"
    for finding in found.findings:
        yield f"   {finding}"


def _value(value: Any, why: str | None) -> str:
    return f"unknown: {why}" if value is None else constant(value)


def _shown(then: Any) -> str:
    if isinstance(then, str):
        return f"'{then}'"
    return ", ".join(f"'{name}' ({weight:g})" for name, weight in then.items())
