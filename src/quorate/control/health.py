"""How members and processes do now: from the counters that workers keep, and the files that a restart would load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

from quorate.codecs.snapshot import MemberRoute, PoolRoute
from quorate.registry.blobs import BlobStore, Stamp
from quorate.telemetry.counters import Series, workers
from quorate.telemetry.metrics import BOUNDS_MS, OTHER

FileState = Literal["ok", "damaged", "missing"]
MemberState = Literal["ok", "left out", "unknown"]
Severity = Literal["bad", "warn"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now: ``about`` names the member, strategy or process, ``what`` says it in a sentence."""

    severity: Severity
    about: str
    what: str


@dataclass(frozen=True, slots=True)
class MemberHealth:
    """A member: whether requests run it, and its faults by code, restarts and runs since counting began.

    ``p50_ms`` is within a bucket (a fifth of a decade), None before the first run.
    """

    name: str
    version: int
    format: str
    state: MemberState
    file: FileState
    faults: dict[str, int]
    restarts: int
    runs: int
    p50_ms: float | None


@dataclass(slots=True)
class Readings:
    """What the counters say, merged over processes; ``circuits`` are the worst state of each member, by name."""

    alive: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=set)
    circuits: dict[str, float] = field(default_factory=dict)
    faults: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    restarts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    durations: dict[str, list[float]] = field(default_factory=dict)


def readings(folder: Path) -> Readings:
    """The counters of all workers under ``folder``; files that cannot be read are left out."""
    found = Readings()
    for process, series, alive in workers(folder):
        if alive:
            found.alive.add(process)
        for one in series:
            _take(found, process, one, alive=alive)
    return found


def _take(found: Readings, process: str, series: Series, *, alive: bool) -> None:
    name, labels, cells = series
    member = labels.get("member", "")
    if member == OTHER:
        return
    if name == "quorate_ready" and alive and cells[0]:
        found.ready.add(process)
    elif name == "quorate_circuit_state" and alive:
        found.circuits[member] = max(cells[0], found.circuits.get(member, 0.0))
    elif name == "quorate_member_faults_total" and cells[0]:
        faults = found.faults[member]
        faults[labels["reason"]] = faults.get(labels["reason"], 0) + int(cells[0])
    elif name == "quorate_host_restarts_total":
        found.restarts[member] += int(cells[0])
    elif name == "quorate_member_duration_seconds":
        before = found.durations.get(member, [0.0] * len(cells))
        found.durations[member] = [a + b for a, b in zip(before, cells, strict=True)]


class Files:
    """Whether stored files are what they were; one is read again only when it was touched. Thread-safe."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[str, tuple[Stamp, bool]] = {}
        self._lock = Lock()

    def state(self, digests: Iterable[str]) -> FileState:
        """The worst of some blobs."""
        found: FileState = "ok"
        for digest in digests:
            stamp = self._blobs.stamp(digest)
            if stamp is None:
                return "missing"
            if not self._sound(digest, stamp):
                found = "damaged"
        return found

    def _sound(self, digest: str, stamp: Stamp) -> bool:
        with self._lock:
            known = self._known.get(digest)
            if known is None or known[0] != stamp:
                known = self._known[digest] = (stamp, self._blobs.sound(digest))
            return known[1]


def members(pool: PoolRoute, found: Readings, files: Files) -> list[MemberHealth]:
    """The health of every member of a pool, in pool order."""
    return [_member(member, found, files) for member in pool.members]


def _member(member: MemberRoute, found: Readings, files: Files) -> MemberHealth:
    circuit = found.circuits.get(member.name)
    durations = found.durations.get(member.name, [0.0])
    return MemberHealth(
        name=member.name,
        version=member.version,
        format=member.format,
        state="unknown" if circuit is None else "ok" if circuit == 0 else "left out",
        file=files.state(member.files.values()),
        faults=dict(found.faults.get(member.name, {})),
        restarts=found.restarts.get(member.name, 0),
        runs=int(sum(durations[1:])),
        p50_ms=_median(durations[1:]),
    )


def _median(buckets: Sequence[float]) -> float | None:
    """The upper bound of the bucket that holds the median."""
    half, seen = sum(buckets) / 2, 0.0
    if not half:
        return None
    for bound, count in zip((*BOUNDS_MS, BOUNDS_MS[-1]), buckets, strict=True):
        seen += count
        if seen >= half:
            return bound
    return BOUNDS_MS[-1]


def problems(
    health: Sequence[MemberHealth], found: Readings, workers: int, others: Iterable[tuple[str, FileState]]
) -> list[Problem]:
    """What is wrong, the worst first; ``others`` are further files by what they are for."""
    wrong = [_process(slot, found) for slot in range(workers)]
    wrong += [_trouble(member) for member in health]
    wrong += [
        Problem("warn", what, f"The file of {what} is {state} on disk; restore the registry from a backup.")
        for what, state in others
        if state != "ok"
    ]
    return sorted((one for one in wrong if one is not None), key=lambda one: one.severity)


def _process(slot: int, found: Readings) -> Problem | None:
    name, process = f"worker {slot}", f"worker-{slot}"
    if process not in found.alive:
        return Problem("bad", name, f"The process {name} is not running; it is started again by itself.")
    if process not in found.ready:
        return Problem("warn", name, f"The process {name} is starting or draining, and answers nothing yet.")
    return None


def _trouble(member: MemberHealth) -> Problem | None:
    name = member.name
    if member.state == "left out" and member.file != "ok":
        return Problem(
            "bad",
            name,
            f"Member '{name}' cannot be loaded and is left out: its file on disk is {member.file}. Restore the "
            "registry from a backup; it is tried again by itself.",
        )
    if member.state == "left out":
        codes = ", ".join(f"{code} {count}" for code, count in sorted(member.faults.items())) or "no count yet"
        return Problem(
            "bad",
            name,
            f"Member '{name}' is left out of answers after faults ({codes}); it is started and tried again by itself.",
        )
    if member.file != "ok":
        return Problem(
            "warn",
            name,
            f"The file of member '{name}' is {member.file} on disk. It goes on answering from memory, but could not be "
            "loaded again: restore the registry from a backup.",
        )
    return None
