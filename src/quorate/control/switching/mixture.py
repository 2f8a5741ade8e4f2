"""Which strategies answer, how often: as the policy says, or as it was measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import sqlalchemy as sa

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.snapshot import EndpointRoute
from quorate.control.learning.learner import Learning
from quorate.control.switching.evidence import By
from quorate.control.switching.marks import Route
from quorate.errors import QuorateError
from quorate.store import learners
from quorate.store.ledger import Tally

log = logging.getLogger("quorate.control")

Shares = Mapping[str, float]
"""Strategy to its part of the requests."""


def seen(traffic: Mapping[By, Tally]) -> Shares | None:
    """The shares that traffic had; None without any."""
    counts: dict[str, int] = {}
    for by, tally in traffic.items():
        counts[by.strategy] = counts.get(by.strategy, 0) + tally.requests
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else None


def declared(connection: sa.Connection, route: Route) -> Shares | None:
    """What the policy draws for a request without context, with what it has learned; None where that is not known."""
    endpoint, pool = route
    names = tuple(strategy.name for strategy in endpoint.strategies)
    try:
        policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params, names)
        state = policy.initial()
        if endpoint.policy.reward is not None:
            stored = learners.learner(connection, endpoint.name)
            learning = Learning(endpoint, pool)
            if stored is not None and stored.key == learning.key:
                state = learned.unpack(stored.state).state
        shares = policy.distribution(state, {}, {}).tolist()
    except QuorateError as error:
        log.warning("It is not known how often the strategies of '%s' would answer: %s", endpoint.name, error)
        return None
    except Exception:  # a plugin's code, or a policy that needs facts of a request
        log.warning("The policy of '%s' does not say how often its strategies would answer", endpoint.name)
        return None
    return {name: share for name, share in zip(names, shares, strict=True) if share > 0}


def looks_at_requests(endpoint: EndpointRoute) -> bool:
    """Whether the shares depend on the requests, so that what is declared is only a guess."""
    names = tuple(strategy.name for strategy in endpoint.strategies)
    try:
        policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params, names)
        return bool(policy.facts())
    except QuorateError:
        return True
