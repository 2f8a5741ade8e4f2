"""The routes of rules on the control port: what an endpoint or front decides by, and what an example would fire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from quorate import plugins
from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, Routing
from quorate.control import bodies, openapi
from quorate.control.view import View
from quorate.core import facts as catalogue
from quorate.core.rules.analyse import Finding
from quorate.core.rules.ruleset import Ruleset, said
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules, Use
from quorate.errors import (
    NotFound,
    NotReady,
    QuorateError,
)
from quorate.home import Home
from quorate.spec.model import NAME
from quorate.telemetry.counters import workers

Name = Annotated[str, Path(pattern=NAME)]
Explain = Callable[[Routing, str, Any], Mapping[str, Any]]
"""What the endpoint or front of that name would do with an example, decoded from JSON: an ``ExplainedView``."""


class RuleView(View):
    """One rule. ``then`` are strategies with their weights, or the one endpoint that a front sends to.

    ``never``: it can never fire. ``fired`` is how often it did since the present workers began to count; of a front's
    rules that is not counted.
    """

    number: int
    when: str
    then: dict[str, float]
    never: bool
    finding: str | None = Field(description="Why it can never fire, or that nothing after it is reached.")
    fired: int | None


class FactView(View):
    """A fact that is looked at, from the catalogue; ``values`` are all that a text can be."""

    name: str
    type: Literal["number", "text", "boolean"]
    unit: str
    meaning: str
    source: str
    values: list[str]


class RulesView(View):
    """What an endpoint or front decides by; without ``rules`` where its policy is of another kind.

    ``facts`` and ``keys`` (of the context) are what its conditions look at; ``otherwise`` is as ``then`` of a rule.
    """

    name: str
    kind: Literal["endpoint", "front"]
    policy: str
    revision: int
    timezone: str
    rules: list[RuleView]
    otherwise: dict[str, float]
    otherwise_fired: int | None
    facts: list[FactView]
    keys: list[str]


class PartView(View):
    """A part of a condition; ``value`` is None where unknown, and ``why`` says why."""

    depth: int
    text: str
    value: bool | int | float | str | None
    why: str | None


class TriedView(View):
    """A rule against an example."""

    rule: int
    when: str
    then: dict[str, float]
    value: bool | int | float | str | None
    why: str | None
    parts: list[PartView]


class ExplainedView(View):
    """What an example would do. ``fires`` is a rule's number, None where none does; ``then`` what follows: weights, or
    of a policy without rules the probability of each strategy. ``facts`` are those that are looked at, ``unknown``
    those of them that the example does not have."""

    name: str
    kind: Literal["endpoint", "front"]
    fires: int | None
    then: dict[str, float]
    rules: list[TriedView]
    facts: dict[str, bool | int | float | str | None]
    unknown: list[str]


class ExampleRequest(BaseModel):
    """A request as it might come: its context, facts that are taken for granted, and rows as they would be sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    context: Annotated[dict[str, bool | int | float | str | None], Field(default_factory=dict)]
    facts: Annotated[dict[str, bool | int | float | str | None], Field(default_factory=dict)]
    instances: list[Any] | None = None


def rules_router(home: Home, explain: Explain | None) -> APIRouter:
    """Routes below ``/v1/endpoints/{name}/rules``; ``explain`` tries examples, None where that is not known."""
    router = APIRouter()

    @router.get("/v1/endpoints/{name}/rules", tags=["endpoints"], responses=openapi.reading("not_found"))
    def rules(name: Name) -> RulesView:
        """The rules in their order, what can never fire, and what their conditions look at."""
        return view(snapshot.read_or_empty(home.snapshot), name, fired(home, name))

    @router.post(
        "/v1/endpoints/{name}/rules/explain",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "registry", "too_large", "unsupported_media_type"),
        openapi_extra=bodies.described(ExampleRequest),
    )
    async def explain_example(name: Name, request: Request) -> ExplainedView:
        """Which rule an example would fire, and what every part of the conditions came to; nothing is changed."""
        if explain is None:
            raise NotReady("This control process tries no examples; `quorate check --explain` does.")
        served = snapshot.read_or_empty(home.snapshot)
        asked = await bodies.asked(request, ExampleRequest, served.limits.body_bytes)
        return ExplainedView.model_validate(await run_in_threadpool(explain, served, name, asked.model_dump()))

    return router


def view(served: Routing, name: str, counts: Mapping[str, int]) -> RulesView:
    """The rules of an endpoint or front that is served; :class:`NotFound` where there is none of that name."""
    front = next((each for each in served.fronts if each.name == name), None)
    if front is not None:
        ruleset = Ruleset([rule.when for rule in front.rules], "front")
        return RulesView(
            name=name,
            kind="front",
            policy="front",
            revision=front.revision,
            timezone=front.timezone,
            rules=list(_rules(ruleset, [rule.to for rule in front.rules], None)),
            otherwise=weights(front.otherwise),
            otherwise_fired=None,
            facts=_facts(ruleset.facts),
            keys=sorted(ruleset.keys),
        )
    endpoint = next((each for each in served.endpoints if each.name == name), None)
    if endpoint is None:
        raise NotFound(f"There is no endpoint or front '{name}'; /v1/endpoints lists them.", path="name")
    return _of_endpoint(endpoint, counts)


def _of_endpoint(endpoint: EndpointRoute, counts: Mapping[str, int]) -> RulesView:
    policy = _policy(endpoint)
    found = RulesView(
        name=endpoint.name,
        kind="endpoint",
        policy=endpoint.policy.kind,
        revision=endpoint.revision,
        timezone=getattr(policy.params, "timezone", "UTC") if policy is not None else "UTC",
        rules=[],
        otherwise={},
        otherwise_fired=None,
        facts=_facts(policy.facts()) if policy is not None else [],
        keys=[],
    )
    if not isinstance(policy, Rules):
        return found
    uses = [rule.use for rule in policy.params.rules]
    return found.model_copy(
        update={
            "rules": list(_rules(policy.ruleset, uses, counts)),
            "otherwise": weights(policy.params.otherwise),
            "otherwise_fired": counts.get("otherwise", 0),
            "keys": sorted(policy.ruleset.keys),
        }
    )


def _policy(endpoint: EndpointRoute) -> Policy | None:
    """None for one of a plugin that is not installed here, or has other settings by now."""
    names = tuple(strategy.name for strategy in endpoint.strategies)
    try:
        policy: Policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params, names)
    except (QuorateError, ValueError):
        return None
    return policy


def _rules(ruleset: Ruleset, uses: Sequence[Use], counts: Mapping[str, int] | None) -> Iterator[RuleView]:
    findings: dict[int, Finding] = {finding.rule: finding for finding in ruleset.findings()}
    for index, (text, use) in enumerate(zip(ruleset.texts, uses, strict=True)):
        finding = findings.get(index)
        yield RuleView(
            number=index + 1,
            when=text,
            then=weights(use),
            never=finding is not None and finding.kind != "always",
            finding=None if finding is None else said(finding),
            fired=None if counts is None else counts.get(str(index + 1), 0),
        )


def weights(use: Use) -> dict[str, float]:
    """What a rule uses, as weights."""
    return {use: 1.0} if isinstance(use, str) else {name: float(weight) for name, weight in use.items()}


def _facts(names: frozenset[str]) -> list[FactView]:
    found = []
    for name in sorted(names):
        fact = catalogue.find(name)
        if fact is not None:
            found.append(
                FactView(
                    name=name,
                    type=fact.type,
                    unit=fact.unit,
                    meaning=fact.meaning,
                    source=fact.source,
                    values=list(fact.values),
                )
            )
    return found


def fired(home: Home, name: str) -> Mapping[str, int]:
    """How often each rule of an endpoint fired, by its number or ``otherwise``, as the workers count."""
    found: Counter[str] = Counter()
    for _, series, _ in workers(home.telemetry):
        for metric, labels, cells in series:
            if metric == "quorate_rules_total" and labels.get("endpoint") == name:
                found[labels["rule"]] += int(cells[0])
    return found
