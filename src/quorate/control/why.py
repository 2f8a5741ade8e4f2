"""Why this strategy: how a decision's strategy was chosen, in words, from its record and its endpoint's revision."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import msgspec
import sqlalchemy as sa

from quorate import plugins
from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control.revisions.publication import routes_of
from quorate.core.record import sampled
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules
from quorate.core.types import Decision
from quorate.errors import NotFound, QuorateError
from quorate.store.revisions import revision


def made_by(connection: sa.Connection, decision: Decision) -> tuple[EndpointRoute | None, PoolRoute | None]:
    """The revision of the endpoint that made a decision, with its pool; None where it is not known, or of a format from
    before."""
    try:
        return routes_of(revision(connection, decision.endpoint, decision.revision))
    except (NotFound, msgspec.DecodeError):
        return None, None


def why(decision: Decision, endpoint: EndpointRoute | None) -> list[str]:
    """Sentences about the choice; ``endpoint`` is the revision that decided, None where it is not known any more."""
    return list(_why(decision, endpoint))


def _why(d: Decision, endpoint: EndpointRoute | None) -> Iterator[str]:
    front = d.facts.get("front")
    if front is not None:
        rule = d.facts.get("front.rule")
        by = "because none of its rules fired" if rule == "otherwise" else f"by its rule {rule}"
        yield f"The request came through the front '{front}', which sent it here {by}."
    if d.source == "caller":
        yield f"The caller asked for '{d.assigned}'."
    elif endpoint is None:
        yield f"'{d.assigned}' had a probability of {_p(d)}; revision {d.revision} of the endpoint is not known here."
    else:
        yield from _chosen(d, endpoint)
    if d.source == "cache":
        yield "The answer was kept from an earlier request with the same input."
    if d.error is not None:
        yield f"It could not answer ({d.error}), and no fallback could."
    elif d.served != d.assigned:
        yield f"It could not answer, so '{d.served}' did."


def _chosen(d: Decision, endpoint: EndpointRoute) -> Iterator[str]:
    route = endpoint.policy
    try:
        policy: Policy | None = plugins.build("policies", route.kind, route.params, d.strategies)
    except (QuorateError, ValueError):  # of a plugin that is not installed here, or has other settings by now
        policy = None
    if isinstance(policy, Rules):
        yield from _by_rule(d, endpoint, policy)
        return
    drawn = "took" if isclose(float(_p(d)), 1.0) else "drew"
    if policy is not None and policy.learns:
        known = (
            f"by what it had learned (state {d.state_version})" if d.state_version else "before it had learned anything"
        )
        yield f"The policy '{route.kind}' {drawn} '{d.assigned}', to which it gave a probability of {_p(d)} {known}."
    else:
        yield f"The policy '{route.kind}' {drawn} '{d.assigned}', which has a probability of {_p(d)} there."
    yield from _unit(d, endpoint)


def _by_rule(d: Decision, endpoint: EndpointRoute, policy: Rules) -> Iterator[str]:
    lost = sorted(policy.ruleset.keys & endpoint.record.redact.keys())
    record = endpoint.record
    omitted = policy.ruleset.keys and "context" in record.omit and not sampled(d.id, record.sample)
    fired = policy.fired(d.context, d.facts)
    expected = "policy" if fired is None else "rule"
    same = all(isclose(p, q, abs_tol=1e-12) for p, q in zip(policy.of(fired).tolist(), d.propensities, strict=True))
    if lost or omitted or not same or d.source not in (expected, "cache"):
        named = f" ({', '.join(f'context.{key}' for key in lost)})" if lost else ""
        yield (
            f"The rules gave '{d.assigned}' a probability of {_p(d)}; which one fired cannot be told: the context "
            f"was not recorded as it came{named}."
        )
    elif fired is None:
        yield f"None of the {len(policy.params.rules)} rules fired, so 'otherwise' decided{_share(d)}: '{d.assigned}'."
    else:
        yield f"Rule {fired + 1} fired{_share(d)}: '{d.assigned}'. Its condition: {policy.ruleset.texts[fired]}"
    yield from _unit(d, endpoint)


def _unit(d: Decision, endpoint: EndpointRoute) -> Iterator[str]:
    if endpoint.policy.sticky is not None and max(d.propensities) < 1:
        yield f"The draw depends on context.{endpoint.policy.sticky}, so requests with the same value get the same."


def _share(d: Decision) -> str:
    return "" if max(d.propensities) >= 1 else f", by a draw with a probability of {_p(d)}"


def _p(d: Decision) -> str:
    """The probability of what was assigned; 0 where that is a single member, which no policy assigns."""
    chosen = dict(zip(d.strategies, d.propensities, strict=True)).get(d.assigned, 0.0)
    return f"{chosen:.4g}"
