"""What members cost: what the question says, or the milliseconds that telemetry has measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from quorate.codecs.snapshot import PoolRoute, Prices
from quorate.control.switching.loading import Running


@dataclass(frozen=True, slots=True)
class Costs:
    """``values`` by member, for one request; ``note`` says what they rest on. ``money`` is that of a million requests
    for each unit of cost, None where processors have no price."""

    values: Mapping[str, float]
    unit: Literal["ms", "cost"]
    note: str
    currency: str | None = None
    money: float | None = None


def costs(
    members: tuple[str, ...], pool: PoolRoute, now: Running, prices: Prices, given: Mapping[str, float] | None
) -> Costs | None:
    """The costs of all members; None where one is not known.

    Members of the pool's fused graph are one run: each is taken to cost an equal part of it. A batch's run is shared by
    its requests.
    """
    if given is not None:
        return Costs({name: float(given.get(name, 0.0)) for name in members}, "cost", "costs as they were given")
    if any(name not in now.member_s for name in members):
        return None
    fused = pool.graph.order if pool.graph is not None else ()
    shared = max(now.batch.get(pool.name, 1.0), 1.0)
    values = {name: 1000.0 * now.member_s[name] / shared / (len(fused) if name in fused else 1) for name in members}
    together = [name for name in members if name in fused]
    note = "milliseconds of a processor for a request, as measured while serving"
    if len(together) > 1:
        note += f"; {len(together)} members run as one graph, of which each counts an equal part"
    money = None if prices.cpu_hour is None else 1e6 / 3.6e6 * prices.cpu_hour
    return Costs(values, "ms", note, prices.currency, money)
