"""One process's counters, in a file mapped into memory.

Layout, little-endian: a header of 64 bytes (magic, version, bytes of directory in use, cells in use), a directory
(one JSON line a series: metric, labels, first cell, number of cells) and float64 cells. A counter or gauge is one
cell, NaN where a gauge has no reading; a histogram is its sum, then one cell a bucket, both in the unit of its scale.
A series of another width than its metric has now is passed over: its buckets are those of another release. One process
writes a file, and one thread each series; anyone may read it meanwhile without a lock, because a cell is eight aligned
bytes and a directory line is complete before it counts.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from quorate.errors import StoreError
from quorate.telemetry.metrics import BOUNDS_MS, METRICS, OTHER, Kind

VERSION = 1
SUFFIX = ".qt"
"""Telemetry files are called ``<process>.qt``: ``worker-0.qt``, ``control.qt``."""
SERIES = 500
"""Label sets a metric may have in one file."""

_OVERFLOW = "quorate_series_overflow_total"
_MAGIC = b"QRTELEM\0"
_HEADER = struct.Struct("<8sQQQ")
_USED = struct.Struct("<QQ")
_USED_AT = 16
_DIRECTORY_AT = 64
_DIRECTORY_BYTES = 512 * 1024 - _DIRECTORY_AT
_RESERVED = 4 * 1024
_CELLS_AT = _DIRECTORY_AT + _DIRECTORY_BYTES
_CELLS = 64 * 1024
_SIZE = _CELLS_AT + 8 * _CELLS
_OLD_WIDTH = 2 + len(BOUNDS_MS)
_LOCK_ATTEMPTS = 100
_LOCK_PAUSE_S = 0.01


class Counter:
    """A number that only grows; ``at`` is its cell."""

    __slots__ = ("_cells", "at")

    def __init__(self, cells: memoryview[float], at: int) -> None:
        self._cells = cells
        self.at = at

    def add(self, amount: float = 1.0) -> None:
        """Count ``amount`` more."""
        self._cells[self.at] += amount

    @property
    def value(self) -> float:
        """The present reading."""
        return self._cells[self.at]


class Gauge(Counter):
    """A number that goes up and down; 0 again when its process starts."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Replace the reading."""
        self._cells[self.at] = value

    def clear(self) -> None:
        """There is no reading any more: the series is not shown until the next :meth:`set`."""
        self._cells[self.at] = math.nan


class Histogram:
    """Values counted in the buckets of their metric's scale (milliseconds for durations).

    ``at`` is its first cell, the sum; the buckets follow it. A loop that counts many values works on
    :attr:`Counters.cells` itself.
    """

    __slots__ = ("_bounds", "_cells", "at")

    def __init__(self, cells: memoryview[float], at: int, bounds: tuple[float, ...]) -> None:
        self._cells = cells
        self._bounds = bounds
        self.at = at

    def observe(self, value: float) -> None:
        """Count one value."""
        cells, at = self._cells, self.at
        cells[at + 1 + bisect_left(self._bounds, value)] += 1.0
        cells[at] += value


class Series(NamedTuple):
    """One series as read back; ``cells`` is one reading, or a histogram's sum and its bucket counts."""

    metric: str
    labels: dict[str, str]
    cells: tuple[float, ...]


class _Line(msgspec.Struct, array_like=True):
    metric: str
    labels: dict[str, str]
    at: int
    width: int = 0  # 0: written by a release whose histograms all had the buckets of durations


class Counters:
    """The writer of one file. Totals go on where a dead predecessor left them; gauges begin at 0.

    Resolve handles when a snapshot is loaded (:meth:`counter`, :meth:`gauge`, :meth:`histogram`), use them per
    request. The same labels give the same series; what exceeds :data:`SERIES` is counted under ``other``.
    Raises :class:`StoreError` if another live process writes the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _is_usable(path):
            _create(path)
        self._file = open(path, "r+b")  # noqa: SIM115 - held while the process lives: its lock says so
        try:
            _lock(self._file.fileno(), path)
        except StoreError:
            self._file.close()
            raise
        self._map = mmap.mmap(self._file.fileno(), _SIZE)
        self._view = memoryview(self._map)
        self._cells: memoryview[float] = self._view[_CELLS_AT:].cast("d")
        self._at: dict[tuple[str, tuple[str, ...]], int] = {}
        self._count: dict[str, int] = {}
        for line in _known(self._map):
            self._remember(line)
            if METRICS[line.metric].kind == "gauge":
                self._cells[line.at] = 0.0
        for name, metric in METRICS.items():
            # Made while there is room: what overflows goes there and is counted there.
            if metric.labels:
                self._resolve(name, metric.kind, dict.fromkeys(metric.labels, OTHER))
                self.counter(_OVERFLOW, metric=name)
        self.counter("quorate_process_starts_total").add()

    def counter(self, name: str, /, **labels: str) -> Counter:
        """The counter with these labels (all that :data:`METRICS` lists for it)."""
        return Counter(self._cells, self._resolve(name, "counter", labels))

    def gauge(self, name: str, /, **labels: str) -> Gauge:
        """The gauge with these labels."""
        return Gauge(self._cells, self._resolve(name, "gauge", labels))

    def histogram(self, name: str, /, **labels: str) -> Histogram:
        """The histogram with these labels."""
        return Histogram(self._cells, self._resolve(name, "histogram", labels), METRICS[name].scale.bounds)

    @property
    def cells(self) -> memoryview[float]:
        """All cells, for loops that count many values at once."""
        return self._cells

    def close(self) -> None:
        """Let go of the file; handles must not be used any more."""
        self._cells.release()
        self._view.release()
        self._map.close()
        self._file.close()

    def _resolve(self, name: str, kind: Kind, labels: Mapping[str, str]) -> int:
        metric = METRICS[name]
        if metric.kind != kind or set(labels) != set(metric.labels):
            raise ValueError(f"{name} is a {metric.kind} with the labels {metric.labels}; got a {kind} with {labels}.")
        values = tuple(labels[label] for label in metric.labels)
        at = self._at.get((name, values))
        return at if at is not None else self._register(name, values)

    def _register(self, name: str, values: tuple[str, ...]) -> int:
        directory, cells = _USED.unpack_from(self._map, _USED_AT)
        line = _Line(name, dict(zip(METRICS[name].labels, values, strict=True)), int(cells), _width(name))
        text = msgspec.json.encode(line) + b"\n"
        # There is always room for what has no labels: nothing else could be put in its place.
        fits = directory + len(text) + _RESERVED <= _DIRECTORY_BYTES and cells + _width(name) <= _CELLS
        if values and (not fits or self._count.get(name, 0) >= SERIES):
            self.counter(_OVERFLOW, metric=name).add()
            return self._at[name, (OTHER,) * len(values)]
        start = _DIRECTORY_AT + directory
        self._map[start : start + len(text)] = text
        _USED.pack_into(self._map, _USED_AT, directory + len(text), cells + _width(name))
        self._remember(line)
        return line.at

    def _remember(self, line: _Line) -> None:
        self._at[line.metric, tuple(line.labels[label] for label in METRICS[line.metric].labels)] = line.at
        self._count[line.metric] = self._count.get(line.metric, 0) + 1


def read(path: Path) -> tuple[list[Series], bool]:
    """All series of a file, and whether its writer lives; :class:`StoreError` for what this release cannot read."""
    with open(path, "rb") as file:
        raw = file.read(_SIZE)
        alive = not _try_lock(file.fileno(), fcntl.LOCK_SH)
    if not _is_readable(raw):
        raise StoreError(f"{path} is not a telemetry file of version {VERSION}; delete it, its totals begin again.")
    cells = memoryview(raw)[_CELLS_AT:].cast("d")
    found = [
        Series(line.metric, line.labels, tuple(cells[line.at : line.at + _width(line.metric)])) for line in _known(raw)
    ]
    return [series for series in found if not math.isnan(series.cells[0])], alive


def workers(folder: Path) -> Iterator[tuple[str, list[Series], bool]]:
    """Process, series and whether it lives, of every worker's file under ``folder``; one that cannot be read is left
    out, and ``/metrics`` counts it."""
    for path in sorted(folder.glob(f"worker-*{SUFFIX}")):
        try:
            yield path.name.removesuffix(SUFFIX), *read(path)
        except (StoreError, OSError):
            continue


def _known(raw: bytes | mmap.mmap) -> list[_Line]:
    """The directory, without series that this release has no metric for."""
    used, _ = _USED.unpack_from(raw, _USED_AT)
    text = raw[_DIRECTORY_AT : _DIRECTORY_AT + used]
    lines = [msgspec.json.decode(line, type=_Line) for line in text.splitlines()]
    return [line for line in lines if _fits(line)]


def _fits(line: _Line) -> bool:
    metric = METRICS.get(line.metric)
    if metric is None or set(line.labels) != set(metric.labels):
        return False
    width = line.width or (_OLD_WIDTH if metric.kind == "histogram" else 1)
    return width == _width(line.metric)


def _width(name: str) -> int:
    metric = METRICS[name]
    return 2 + len(metric.scale.bounds) if metric.kind == "histogram" else 1


def _is_readable(raw: bytes) -> bool:
    if len(raw) != _SIZE:
        return False
    magic, version, directory, cells = _HEADER.unpack_from(raw)
    return bool(magic == _MAGIC and version == VERSION and directory <= _DIRECTORY_BYTES and cells <= _CELLS)


def _is_usable(path: Path) -> bool:
    try:
        return _is_readable(path.read_bytes())
    except FileNotFoundError:
        return False


def _create(path: Path) -> None:
    # Zeros are written, not left as a hole: a full disk then fails here, not with SIGBUS at some later count.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(_HEADER.pack(_MAGIC, VERSION, 0, 0).ljust(_SIZE, b"\0"))
    temporary.replace(path)


def _lock(descriptor: int, path: Path) -> None:
    # A reader holds the lock for microseconds, a dying predecessor until it is gone.
    for _ in range(_LOCK_ATTEMPTS):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return
        time.sleep(_LOCK_PAUSE_S)
    raise StoreError(f"{path} is written by another process; stop that one, or start this one in another slot.")


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
