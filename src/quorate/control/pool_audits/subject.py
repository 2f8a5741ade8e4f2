"""From a name to what is audited: endpoints, their pool, and the strategy that combines the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate import plugins
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing, StrategyRoute
from quorate.control.pool_audits.asked import Question
from quorate.control.replay import targets
from quorate.control.replay.asked import Question as ReplayQuestion
from quorate.control.replay.targets import Strategy
from quorate.core.audit.metrics import ACCURACY, MSE, OF_CLASSES, OF_VALUES
from quorate.errors import InvalidInput, NotFound
from quorate.registry.registry import Registry


@dataclass(frozen=True)
class Subject:
    """What is audited. ``named`` is the strategy as it was asked for, or as it is by default."""

    endpoints: tuple[EndpointRoute, ...]
    pool: PoolRoute
    named: str | Mapping[str, Any]
    strategy: Strategy
    metric: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The pool's classes; none for numbers."""
        return self.pool.signature.output.classes


def endpoints_of(name: str, routing: Routing) -> tuple[EndpointRoute, ...]:
    """The endpoint of that name, or all endpoints of the pool of that name; :class:`NotFound`."""
    one = tuple(each for each in routing.endpoints if each.name == name)
    found = one or tuple(each for each in routing.endpoints if each.pool == name)
    if not found:
        names = {each.name for each in routing.endpoints} | {each.name for each in routing.pools}
        known = ", ".join(sorted(names)) or "none"
        raise NotFound(
            f"There is no endpoint '{name[:64]}', and no endpoint has a pool of that name; expected one of: {known}.",
            path="name",
        )
    return found


def subject(question: Question, routing: Routing, registry: Registry) -> Subject:
    """What is asked about, resolved; :class:`NotFound`, :class:`InvalidInput` naming the field."""
    endpoints = endpoints_of(question.name, routing)
    pool = next(each for each in routing.pools if each.name == endpoints[0].pool)
    named = question.strategy if question.strategy is not None else usual(endpoints)
    owner = next((e for e in endpoints if any(s.name == named for s in e.strategies)), endpoints[0])
    aim = targets.target(ReplayQuestion(owner.name, strategy=named), routing, registry, ())
    strategy = aim.computable.get(aim.strategies[0])
    if strategy is None:
        raise InvalidInput(
            f"Strategy '{named}' cannot be audited: it learns, or asks its members in several stages, and what it "
            "would have answered without a member is not on record. Name another one, or give {kind: mean}.",
            path="strategy",
        )
    if len(strategy.members) < 2:
        raise InvalidInput(
            f"An audit is of two members or more; strategy '{named}' has {len(strategy.members)}. Name another one.",
            path="strategy",
        )
    unknown = sorted(set(question.costs or {}) - set(strategy.members))
    if unknown:
        raise InvalidInput(
            f"'{unknown[0]}' is no member of what is audited; expected {', '.join(strategy.members)}.",
            path=f"costs.{unknown[0]}",
        )
    return Subject(endpoints, pool, named, strategy, _metric(question, pool))


def usual(endpoints: Sequence[EndpointRoute]) -> str | Mapping[str, Any]:
    """The strategy that always answers, or else the one of most members, that can be replayed; else the mean."""
    fixed = [e.policy.params.get("strategy") for e in endpoints if e.policy.kind == "fixed"]
    able = [s for e in endpoints for s in e.strategies if len(s.members) > 1 and _replayable(s)]
    first = max(able, key=lambda s: (s.name in fixed, len(s.members)), default=None)
    return {"kind": "mean"} if first is None else first.name


def _replayable(route: StrategyRoute) -> bool:
    return route.plan == "all" and not plugins.load("combiners", route.kind).learns


def _metric(question: Question, pool: PoolRoute) -> str:
    known = OF_CLASSES if pool.task == "classification" else OF_VALUES
    metric = question.metric or (ACCURACY if known is OF_CLASSES else MSE)
    if metric not in known:
        raise InvalidInput(
            f"Pool '{pool.name}' answers {'classes' if known is OF_CLASSES else 'numbers'}, which are measured by "
            f"{', '.join(known)}; got '{metric}'.",
            path="metric",
        )
    return metric


def written(strategy: Strategy, keep: Sequence[str]) -> Mapping[str, Any] | None:
    """The strategy with some of its members as in ``quorate.yaml``; None where its state has to be fitted again."""
    import msgspec

    if len(keep) == 1:
        return {"kind": "single", "member": keep[0]}
    if strategy.state is not None or len(keep) == len(strategy.members):
        return None
    params: dict[str, Any] = msgspec.to_builtins(strategy.combiner.params)
    weights = params.get("weights")
    if weights is not None:
        params["weights"] = {m: w for m, w in zip(strategy.members, weights, strict=True) if m in keep}
    given = {name: value for name, value in params.items() if value is not None}
    return {"kind": strategy.combiner.kind, **given, "members": list(keep)}
