"""What a window's requests took of processors and memory, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.codecs.snapshot import PoolRoute, Prices, Routing
from quorate.control.switching.windows import Window
from quorate.store import usage
from quorate.store.usage import ENDPOINT, HOST, POOL, WORKER, Used

GIB = 1024**3
NOBODY = "-"
"""The name of the endpoint under which requests are counted that were refused before one was known."""


@dataclass(frozen=True, slots=True)
class Resources:
    """An endpoint's part of what serving used in a window.

    ``cpu_s`` and ``bytes`` (mean) are of the workers and of the pool's member processes; ``share`` is the endpoint's
    part of the workers. ``pool_bytes`` is the pool's memory in all workers (mean, while it was measured). ``seconds``
    are those in which usage was sampled, ``requests`` those of the endpoint in them.
    """

    seconds: float
    requests: float
    cpu_s: float
    bytes: float
    pool_bytes: float | None
    share: float

    @property
    def cpu_per_thousand(self) -> float | None:
        """Processor seconds of 1,000 requests."""
        return 1000 * self.cpu_s / self.requests if self.requests else None

    def money_per_million(self, prices: Prices) -> float | None:
        """Money of a million requests, of what has a price; None where nothing has one, or there were no requests."""
        if not self.requests:
            return None
        parts = [
            None if prices.cpu_hour is None else self.cpu_s / 3600 * prices.cpu_hour,
            None if prices.gib_hour is None else self.bytes / GIB * self.seconds / 3600 * prices.gib_hour,
            None if prices.thousand_requests is None else self.requests / 1000 * prices.thousand_requests,
        ]
        known = [part for part in parts if part is not None]
        return sum(known) / self.requests * 1e6 if known else None


def resources(connection: sa.Connection, endpoint: str, pool: PoolRoute, served: Routing, window: Window) -> Resources:
    """What the endpoint took in a window.

    Workers answer for all endpoints. Their use is divided among pools by the time that these ran, and a pool's part
    among its endpoints (as they are served now) by their requests. Member processes are the pool's own.
    """
    used = usage.between(connection, window.first, window.end)
    workers = [each for (kind, _), each in used.items() if kind == WORKER]
    seconds = max((each.seconds for each in workers), default=0.0)
    share = _share(used, endpoint, pool.name, served)
    hosts = [used[HOST, member.name] for member in pool.members if (HOST, member.name) in used]
    mine = used.get((POOL, pool.name), Used())
    return Resources(
        seconds=seconds,
        requests=used.get((ENDPOINT, endpoint), Used()).requests,
        cpu_s=share * sum(each.cpu_s for each in workers) + sum(each.cpu_s for each in hosts),
        bytes=(share * sum(each.byte_s for each in workers) + sum(each.byte_s for each in hosts)) / seconds
        if seconds
        else 0.0,
        pool_bytes=mine.byte_s / mine.seconds if mine.byte_s else None,
        share=share,
    )


def _share(used: Mapping[tuple[str, str], Used], endpoint: str, pool: str, served: Routing) -> float:
    runs = {name: each.run_s for (kind, name), each in used.items() if kind == POOL}
    asked = {name: each.requests for (kind, name), each in used.items() if kind == ENDPOINT and name != NOBODY}
    beside = {each.name for each in served.endpoints if each.pool == pool} | {endpoint}
    total = sum(runs.values())
    of_pool = runs.get(pool, 0.0) / total if total else 1.0
    of_all = sum(asked.values())
    if not total and of_all:
        return asked.get(endpoint, 0.0) / of_all
    neighbours = sum(count for name, count in asked.items() if name in beside)
    return of_pool * (asked.get(endpoint, 0.0) / neighbours if neighbours else 1.0)
