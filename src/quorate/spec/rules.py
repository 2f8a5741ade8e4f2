"""What must hold between the settings, as far as no registry is needed to see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from quorate.errors import ConfigError
from quorate.spec.load import Config
from quorate.spec.model import EndpointSpec, PolicySpec, StrategySpec
from quorate.spec.problems import Path, expected


def model_name(ref: str) -> str:
    """The model's name in a reference, which is the member's name in the pool.

    >>> model_name("bag-a:3"), model_name("bag-a@champion")
    ('bag-a', 'bag-a')
    """
    return ref.partition(":")[0].partition("@")[0]


def strategy_members(strategy: StrategySpec, pool: Sequence[str]) -> tuple[str, ...]:
    """The strategy's members in the order they are listed; all of the pool by default. Unknown ones are left out."""
    member = getattr(strategy, "member", None)
    named = strategy.members if member is None else (member,)
    return tuple(pool) if named is None else tuple(name for name in dict.fromkeys(named) if name in pool)


def strategy_quorum(strategy: StrategySpec, endpoint: EndpointSpec) -> int:
    """Members of the strategy that must answer; one that has a single member by its kind needs that one."""
    return strategy.quorum or (1 if strategy.kind == "single" else endpoint.quorum)


def member_weights(strategy: StrategySpec) -> Any:
    """The weights of a strategy whose kind weighs its members: by name, in order, computed, or None."""
    return getattr(strategy, "weights") if "weights" in strategy.forms.get(strategy.kind, {}) else None  # noqa: B009


def endpoint_policy(endpoint: EndpointSpec) -> PolicySpec | None:
    """The declared policy; where there is only one strategy, that one; else None."""
    if endpoint.policy is None and len(endpoint.strategies) == 1:
        fixed = PolicySpec.variants()["fixed"]
        only: PolicySpec = fixed(kind="fixed", strategy=next(iter(endpoint.strategies)))
        return only
    return endpoint.policy


def problems(config: Config) -> Iterator[ConfigError]:
    """Everything wrong with ``config`` that can be seen without the registry."""
    spec, problem = config.spec, config.origin.problem
    if spec.server.port == spec.server.control_port:
        yield problem(
            ("server", "control_port"),
            f"server.port and server.control_port are both {spec.server.port}; give them different ports.",
        )
    yield from _journal(config)
    for name in ("port", "control_port"):
        if spec.server.grpc_port == getattr(spec.server, name):
            yield problem(
                ("server", "grpc_port"),
                f"server.{name} and server.grpc_port are both {spec.server.grpc_port}; give them different ports.",
            )
    models: dict[str, str] = {}
    for pool_name, pool in spec.pools.items():
        names = [model_name(ref) for ref in pool.members]
        models |= dict.fromkeys(names, pool_name)
        for i, name in enumerate(names):
            if name in names[:i]:
                yield problem(
                    ("pools", pool_name, "members", i),
                    f"pools.{pool_name} names the model '{name}' twice; a member is called by its model's name. "
                    "Keep one of them, or register the other under a name of its own.",
                )
        by_member = {"replicas": pool.replicas, "max_batch_rows": pool.max_batch_rows}
        for setting, numbers in by_member.items():
            for name in sorted(numbers.keys() - set(names)) if isinstance(numbers, dict) else ():
                yield problem(
                    ("pools", pool_name, setting, name),
                    f"pools.{pool_name}.{setting}: there is no member '{name}'; {expected(name, names)}",
                )
    for name, endpoint in spec.endpoints.items():
        path: Path = ("endpoints", name)
        if name in models:
            yield problem(
                path,
                f"'{name}' is an endpoint and also a model in pools.{models[name]}; both are served under their names. "
                "Rename the endpoint.",
            )
        yield from _endpoint(config, path, endpoint)


def _journal(config: Config) -> Iterator[ConfigError]:
    journal, problem = config.spec.journal, config.origin.problem
    ship = journal.ship
    if journal.keep_until_shipped and ship is None:
        yield problem(
            ("journal", "keep_until_shipped"),
            "journal.keep_until_shipped is set, but nothing is shipped; set journal.ship, or leave it out.",
        )
    if ship is not None and (ship.to is None) == (ship.command is None):
        got = "neither" if ship.to is None else "both"
        yield problem(("journal", "ship"), f"journal.ship has one of 'to' and 'command'; got {got}.")


def _endpoint(config: Config, path: Path, endpoint: EndpointSpec) -> Iterator[ConfigError]:
    problem, name = config.origin.problem, path[-1]
    pool = config.spec.pools.get(endpoint.pool)
    if pool is None:
        yield problem(
            (*path, "pool"),
            f"endpoints.{name}.pool: there is no pool '{endpoint.pool}'; {expected(endpoint.pool, config.spec.pools)}",
        )
    else:
        members = [model_name(ref) for ref in pool.members]
        for key, strategy in endpoint.strategies.items():
            yield from _strategy(config, (*path, "strategies", key), endpoint, strategy, members)
    for i, fallback in enumerate(endpoint.fallback):
        here = (*path, "fallback", i)
        if fallback not in endpoint.strategies:
            known = expected(fallback, endpoint.strategies)
            yield problem(here, f"endpoints.{name}.fallback: there is no strategy '{fallback}'; {known}")
        elif fallback in endpoint.fallback[:i]:
            yield problem(here, f"endpoints.{name}.fallback names '{fallback}' twice; each is tried once. Remove one.")
    if endpoint.on_member_failure == "fallback" and not endpoint.fallback:
        yield problem(
            (*path, "on_member_failure"),
            f"endpoints.{name}.on_member_failure is 'fallback' and there is none; list strategies under 'fallback'.",
        )
    policy = endpoint_policy(endpoint)
    if endpoint.cache is not None and policy is not None and policy.blind:
        yield problem(
            (*path, "cache"),
            f"endpoints.{name}.cache: the endpoint is blind, and how fast a kept answer comes would tell; remove it.",
        )
    if policy is None:
        yield problem(
            path,
            f"endpoints.{name} has {len(endpoint.strategies)} strategies and no policy; say which one answers, "
            f"as in `policy: {next(iter(endpoint.strategies))}`, or how they share the traffic.",
        )


def _strategy(
    config: Config, path: Path, endpoint: EndpointSpec, strategy: StrategySpec, pool: Sequence[str]
) -> Iterator[ConfigError]:
    problem = config.origin.problem
    where = f"endpoints.{path[1]}.strategies.{path[3]}"
    member = getattr(strategy, "member", None)
    if member is not None and strategy.members is not None:
        yield problem((*path, "members"), f"{where} has both 'member' and 'members'; remove 'members'.")
    named = [((*path, "members", i), name) for i, name in enumerate(strategy.members or ())]
    for here, name in [((*path, "member"), member)] if member is not None else named:
        if name not in pool:
            yield problem(
                here, f"{where}: there is no member '{name}' in pools.{endpoint.pool}; {expected(name, pool)}"
            )
    for name, count in Counter(strategy.members or ()).items():
        if count > 1:
            yield problem((*path, "members"), f"{where} names the member '{name}' {count} times; name it once.")
    weights = member_weights(strategy)
    members = strategy_members(strategy, pool)
    if isinstance(weights, dict):
        for name in sorted(weights.keys() - set(members)):
            message = f"{where}: there is a weight for '{name}', which is not one of its members; "
            yield problem((*path, "weights", name), message + expected(name, members))
        for name in sorted(set(members) - weights.keys()):
            yield problem((*path, "weights"), f"{where} has no weight for its member '{name}'; add one.")
    quorum = strategy_quorum(strategy, endpoint)
    if quorum > len(members) > 0:
        own = strategy.quorum is not None
        yield problem(
            (*path, "quorum") if own else ("endpoints", path[1], "quorum"),
            f"{where} has {len(members)} member{'s' * (len(members) > 1)} and a quorum of {quorum}"
            f"{'' if own else ' (the endpoint’s)'}; set it to {len(members)} at most.",
        )
