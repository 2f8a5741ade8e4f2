"""Which members of a pool are asked together: those make up one fused graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from quorate.codecs.snapshot import EndpointRoute, PoolRoute


class Together(NamedTuple):
    """``whole``: all members of the pool are asked together by somebody. ``sets``: some are, and the others not."""

    whole: bool
    sets: tuple[tuple[str, ...], ...]


EVERYBODY = Together(True, ())


def together(pool: PoolRoute, endpoints: Iterable[EndpointRoute]) -> Together:
    """Who is asked together in a pool, by the strategies of all endpoints over it.

    Where no plan has stages, everybody is: a run of all costs little more than one of some, and records what all say.
    A plan of stages asks each stage by itself, and pays for that alone. If another strategy, or a blind endpoint, asks
    all members at once, there is a graph of all for its requests as well; else other strategies have graphs of their
    own members.
    """
    over = [endpoint for endpoint in endpoints if endpoint.pool == pool.name]
    strategies = [strategy for endpoint in over for strategy in endpoint.strategies]
    if not any(strategy.stages for strategy in strategies):
        return EVERYBODY
    everyone = {member.name for member in pool.members}
    at_once = [strategy.members for strategy in strategies if not strategy.stages]
    whole = any(endpoint.policy.blind for endpoint in over) or any(everyone == set(members) for members in at_once)
    sets = [stage for strategy in strategies for stage in strategy.stages]
    if not whole:
        sets += at_once
    order = {member.name: i for i, member in enumerate(pool.members)}
    distinct = dict.fromkeys(tuple(sorted(set(names), key=order.__getitem__)) for names in sets)
    return Together(whole, tuple(names for names in distinct if len(names) > 1 and set(names) != everyone))
