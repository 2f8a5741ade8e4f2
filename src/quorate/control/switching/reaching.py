"""How often the stages of a plan are reached: as it was served, else as it was expected when it was fitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import StrategyRoute
from quorate.control.frontier import served
from quorate.control.switching.marks import Route, makeup
from quorate.control.switching.mixture import Shares
from quorate.control.switching.telling import FEW
from quorate.errors import QuorateError
from quorate.telemetry.counters import Series

log = logging.getLogger("quorate.control")

ReadBlob = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Reach:
    """The stages of a strategy's plan with the share of rows that reaches each, and what that rests on, in words."""

    stages: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]
    basis: str


def reaches(route: Route, present: Route, series: Iterable[Series], read: ReadBlob) -> dict[str, Reach]:
    """Of each strategy of ``route`` whose plan has several stages; nothing of a blind endpoint, where everybody runs.

    ``present`` answers now, and ``series`` is what its workers count: a strategy that is made of the same there is
    taken as it is served. ``read`` gives a blob of the registry.
    """
    if route[0].policy.blind:
        return {}
    counted = list(series)
    alike = {key: name for name, key in makeup(present).items()}
    now = {strategy.name: strategy for strategy in present[0].strategies}
    found = {}
    for strategy in route[0].strategies:
        if len(strategy.stages) < 2:
            continue
        name = alike.get(makeup(route)[strategy.name])
        live = None if name is None else served(counted, present[0], now[name], {})
        if live is not None and live.rows >= FEW:
            shares, basis = tuple(live.reached), f"as it was served to {live.rows:,} rows"
        else:
            shares, basis = _expected(strategy, read)
        found[strategy.name] = Reach(strategy.stages, shares, basis)
    return found


def _expected(strategy: StrategyRoute, read: ReadBlob) -> tuple[tuple[float, ...], str]:
    known: Mapping[str, object] = {}
    try:
        if strategy.state is not None:
            state = state_codec.decode({name: read(digest) for name, digest in strategy.state.items()})
            known = state.meta.get("expected") or {}
    except (QuorateError, OSError) as error:
        log.error("It is not known how often stages of '%s' are reached: %s", strategy.name, error)
    reached = known.get("reached")
    if isinstance(reached, list) and len(reached) == len(strategy.stages):
        return tuple(map(float, reached)), "as it was expected when it was fitted"
    return (1.0,) * len(strategy.stages), "as if every row asked them all, since nothing is known of that"


@dataclass(frozen=True, slots=True)
class Side:
    """What answers before or after a switch: ``shares`` of the requests by strategy (None: not known), and ``reaches``
    of those whose plan has stages."""

    route: Route
    shares: Shares | None
    reaches: Mapping[str, Reach]


def counted_by(sides: Iterable[Side]) -> list[str]:
    """Sentences about the strategies whose members are counted by shares of rows, each once."""
    found = {
        f"Members of '{name}' are counted by the share of rows that reaches their stage "
        f"({', '.join(f'{share:.3g}' for share in reach.shares)}), {reach.basis}.": None
        for side in sides
        for name, reach in side.reaches.items()
        if name in (side.shares or {})
    }
    return [*found]
