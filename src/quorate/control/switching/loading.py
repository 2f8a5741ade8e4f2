"""What loading a pool takes of time and memory: as it was measured, or judged by one that was and the size of files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from quorate.codecs.snapshot import EndpointRoute, GraphRoute, PoolRoute, Routing
from quorate.control.frontier import ROWS, STAGES
from quorate.control.revisions.together import together
from quorate.control.switching.reaching import Reach
from quorate.registry.blobs import BlobStore
from quorate.telemetry.counters import Series, workers


@dataclass(slots=True)
class Running:
    """What the workers that run now say of pools and members.

    ``load_s`` is the slowest worker's, ``memory`` the sum of all (with ``hosts``, of members' own processes),
    ``member_s`` the mean duration of a member's run, ``batch`` the requests of a run of a pool. ``series`` is what they
    count of plans of several stages, those that ended included.
    """

    workers: int = 0
    load_s: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    hosts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    member_s: dict[str, float] = field(default_factory=dict)
    batch: dict[str, float] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Load:
    """What has to be loaded for a switch, over all workers: seconds, bytes that come, bytes that go afterwards; None
    where not known. ``basis`` says what the figures rest on."""

    seconds: float | None
    added: float | None
    freed: float | None
    basis: str


def running(folder: Path) -> Running:
    """Read off the telemetry files of the workers that live; durations of all there were."""
    found = Running()
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for _, series, alive in workers(folder):
        found.workers += alive
        for one in series:
            metric, labels, cells = one
            pool, member = labels.get("pool", ""), labels.get("member", "")
            if metric == "quorate_member_duration_seconds":
                _add(sums["member", member], cells[0] / 1000, sum(cells[1:]))
            elif metric == "quorate_batch_requests":
                _add(sums["pool", pool], cells[0], sum(cells[1:]))
            elif metric in (ROWS, STAGES):
                found.series.append(one)
            elif not alive:
                continue
            elif metric == "quorate_pool_load_seconds":
                found.load_s[pool] = max(cells[0], found.load_s.get(pool, 0.0))
            elif metric == "quorate_pool_memory_bytes":
                found.memory[pool] += cells[0]
            elif metric == "quorate_host_resident_memory_bytes":
                found.hosts[member] += cells[0]
    for (kind, name), (total, count) in sums.items():
        if count:
            (found.member_s if kind == "member" else found.batch)[name] = total / count
    return found


def load(before: PoolRoute, after: PoolRoute, served: Routing, now: Running, blobs: BlobStore) -> Load:
    """What has to be loaded so that ``after`` answers in the place of ``before``.

    A pool whose description does not change stays in memory as it is; any other is loaded as a whole beside the one
    that answers, which goes once it is not used any more.
    """
    loaded = {pool.name: pool for pool in served.pools}
    held = loaded.get(after.name)
    if held is not None and _same(held, after):
        return Load(0.0, 0.0, 0.0, "the pool is in memory")
    replaced = held if held is not None else before
    known = _memory(replaced, now)
    sizes = _bytes(replaced, blobs), _bytes(after, blobs)
    ratio = sizes[1] / sizes[0] if sizes[0] and sizes[1] else None
    seconds = now.load_s.get(replaced.name)
    return Load(
        None if seconds is None or ratio is None else seconds * ratio,
        None if known is None or ratio is None else known * ratio,
        known if held is not None else 0.0,
        f"pool '{replaced.name}' as it was loaded, by the size of the members' files"
        if known is not None or seconds is not None
        else "nothing like it was loaded yet",
    )


def as_fused(pool: PoolRoute, endpoints: Sequence[EndpointRoute], held: PoolRoute | None) -> PoolRoute:
    """A pool that is not compiled yet, with the graphs that it would have: of the members that ``held`` has fused now,
    those that the strategies of ``endpoints`` ask together. As it is where it is not the pool that is held."""
    if held is None or not _same(held, pool):
        return pool
    fused = [member.name for member in pool.members if any(member.name in graph.order for graph in held.graphs)]
    asked = together(pool, endpoints)
    sets = [
        tuple(name for name in names if name in fused) for names in (*([fused] if asked.whole else []), *asked.sets)
    ]
    graphs = tuple(GraphRoute("", {}, "", members=names) for names in sets if len(names) > 1)
    return msgspec.structs.replace(pool, graph=None, stages=graphs)


def run_seconds(pool: PoolRoute, names: Sequence[str], now: Running, reach: Reach | None = None) -> float | None:
    """Seconds that a request's runs take of a processor, for these members; None where one of them was never measured.

    Members of a fused graph are one run, whichever of them are wanted. A batch's run is shared by its requests. With
    ``reach`` a stage counts by the share of the rows that reaches it.
    """
    if reach is not None:
        return _over_stages(reach, lambda stage: run_seconds(pool, stage, now))
    left, parts = list(names), []
    for graph in sorted(pool.graphs, key=lambda each: -len({*each.order} & {*names})):
        inside = [name for name in left if name in graph.order]
        parts += inside[:1]
        left = [name for name in left if name not in inside]
    parts += left
    if any(name not in now.member_s for name in parts):
        return None
    return sum(now.member_s[name] for name in parts) / max(now.batch.get(pool.name, 1.0), 1.0)


def longest(names: Sequence[str], now: Running, reach: Reach | None = None) -> float | None:
    """Seconds of the slowest of some members, which run side by side; None where one of them was never measured.

    With ``reach``, of one stage after the other, each by the share of the rows that reaches it.
    """
    if reach is not None:
        return _over_stages(reach, lambda stage: longest(stage, now))
    if any(name not in now.member_s for name in names):
        return None
    return max((now.member_s[name] for name in names), default=None)


def _over_stages(reach: Reach, seconds: Callable[[Sequence[str]], float | None]) -> float | None:
    """The mean over rows; stages that no row reaches need not have been measured."""
    total = 0.0
    for stage, share in zip(reach.stages, reach.shares, strict=True):
        mine = seconds(stage) if share else 0.0
        if mine is None:
            return None
        total += share * mine
    return total


def _memory(pool: PoolRoute, now: Running) -> float | None:
    if pool.name not in now.memory:
        return None
    return now.memory[pool.name] + sum(now.hosts.get(member.name, 0.0) for member in pool.members)


def _bytes(pool: PoolRoute, blobs: BlobStore) -> int:
    stamps = [blobs.stamp(digest) for member in pool.members for digest in member.files.values()]
    return sum(stamp[1] for stamp in stamps if stamp is not None)  # a stamp's second number is the size


def _same(one: PoolRoute, other: PoolRoute) -> bool:
    replace = msgspec.structs.replace
    return replace(one, graph=None, stages=()) == replace(other, graph=None, stages=())


def _add(sums: list[float], total: float, count: float) -> None:
    sums[0] += total
    sums[1] += count
