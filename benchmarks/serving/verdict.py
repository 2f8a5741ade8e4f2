"""The promises of the serving plane, each against the rows that its step wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.harness.rounds import ratio
from benchmarks.harness.table import LIMIT, QUORATE, number, show

FIVE, FUSED = "ASGI, five sessions", "ASGI, fused graph"
FLAT_MB = 3.0
"""What is taken for flat, by the slope over a whole run: an allocator's noise, not a leak."""
Listed = Sequence[Mapping[str, Any]]


class Line(NamedTuple):
    """One promise: what was found, what was wanted, and whether it is so; None where nothing was measured."""

    what: str
    found: str
    wanted: str
    kept: bool | None


class Rows:
    """The rows of one step."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed

    def runs(self, system: str, metric: str, where: str = "") -> list[float]:
        """The values of the first row of a system and metric whose workload contains ``where``; empty where none is."""
        for row in self._listed:
            if row["system"] == system and row["metric"] == metric and where in row["workload"]:
                return [math.nan if run is None else float(run) for run in row["runs"]]
        return []

    def all(self, metric: str, where: str = "", system: str = QUORATE) -> list[float]:
        """The medians of all rows with a metric that ends so."""
        return [
            float(row["value"])
            for row in self._listed
            if row["system"] == system and row["metric"].endswith(metric) and where in row["workload"] and row["runs"]
        ]


Check = Callable[[str, Rows], Line]


def at_least(what: str, least: float, system: str, metric: str = "answers", where: str = "") -> Check:
    """Quorate's rate over another system's, the median within rounds."""
    return _ratio(what, least, system, metric, where, more=True)


def at_most(what: str, most: float, system: str, metric: str, where: str = "") -> Check:
    """Quorate's time over another system's, the median within rounds."""
    return _ratio(what, most, system, metric, where, more=False)


def _ratio(what: str, bound: float, system: str, metric: str, where: str, *, more: bool) -> Check:
    wanted = f"{'>=' if more else '<='} {bound:g} x {system}"

    def check(_: str, rows: Rows) -> Line:
        ours, theirs = rows.runs(QUORATE, metric, where), rows.runs(system, metric, where)
        if not ours or not theirs:
            return Line(what, "not measured", wanted, None)
        interval = ratio(ours, theirs)
        kept = interval.middle >= bound if more else interval.middle <= bound
        return Line(what, f"{show(interval)}, {max(len(ours), len(theirs))} pairs", wanted, kept)

    return check


def below(what: str, most: float, metric: str, where: str = "", unit: str = "") -> Check:
    """The greatest of Quorate's rows with a metric that ends so."""
    return _bound(what, most, metric, where, unit, more=False)


def above(what: str, least: float, metric: str, where: str = "", unit: str = "") -> Check:
    """The least of them."""
    return _bound(what, least, metric, where, unit, more=True)


def _bound(what: str, bound: float, metric: str, where: str, unit: str, *, more: bool) -> Check:
    wanted = f"{'>=' if more else '<='} {bound:g} {unit}".strip()

    def check(_: str, rows: Rows) -> Line:
        values = rows.all(metric, where)
        if not values:
            return Line(what, "not measured", wanted, None)
        worst = min(values) if more else max(values)
        return Line(what, f"{number(worst)} {unit}".strip(), wanted, worst >= bound if more else worst <= bound)

    return check


def share(what: str, least: float, part: str, whole: str) -> Check:
    """One of Quorate's rows as a share of another."""

    def check(_: str, rows: Rows) -> Line:
        parts, wholes = rows.all(part), rows.all(whole)
        if not parts or not wholes:
            return Line(what, "not measured", f">= {least:g}", None)
        found = median(parts) / median(wholes)
        return Line(what, f"{found:.3f}", f">= {least:g}", found >= least)

    return check


HOT, START = "a hot endpoint", "endpoints over"
CHECKS: Mapping[str, Sequence[Check]] = {
    "a1": (
        at_least("(a) 1 worker, rate", 2.0, FIVE),
        at_least("(a) 1 worker, rate", 0.85, FUSED),
        at_most("(a) 1 worker, p99", 1.0, FIVE, "p99"),
    ),
    "a3": (
        at_least("(a) 3 workers, rate", 1.5, FIVE),
        at_least("(a) 3 workers, rate", 0.85, FUSED),
        at_most("(a) 3 workers, p99", 1.0, FIVE, "p99"),
    ),
    "frameworks": tuple(
        at_least("(a) 1 worker, rate", least, name)
        for name, least in {"LitServe": 8.0, "MLServer": 15.0, "BentoML": 15.0}.items()
    ),
    "frameworks3": tuple(
        at_least("(a) 3 workers, rate", least, name)
        for name, least in {"LitServe": 8.0, "MLServer": 15.0, "BentoML": 15.0}.items()
    ),
    "c": (
        *(at_least(f"(c) rate, {n}", 0.95, LIMIT, where=f"{n} connection") for n in (10, 32)),
        above("(c) labels", 99.5, "Pillow path", unit="%"),
        above("(c) rate, 10 connections (30 x 15.7)", 471.0, "answers", ", 10 connections", "1/s"),
        below("(c) p50, 10 connections", 50.0, "p50", ", 10 connections", "ms"),
        below("(c) serving processes", 300.0, "RSS of the serving processes", unit="MB"),
    ),
    "c-shared": (
        above("(c) all cores, rate, 10 connections", 471.0, "answers", ", 10 connections", "1/s"),
        below("(c) all cores, p50, 10 connections", 50.0, "p50", ", 10 connections", "ms"),
    ),
    "g": (
        below("added at 70 %, p50", 0.5, "added, p50", "at 70%", "ms"),
        below("added at 70 %, p99", 3.0, "added, p99", "at 70%", "ms"),
    ),
    "h": (
        at_most("five members >= 2 ms", 1.15, LIMIT, "all members, p50", "slow"),
        at_most("five members < 1 ms", 1.15, LIMIT, "all members, p50", "quick"),
    ),
    "f": (
        below("200 models, ready", 3.0, "start to ready", START, "s"),
        at_least("hot endpoint", 0.95, "one endpoint, four models", where=HOT),
    ),
    "requests": (
        below("1,000,000 requests, not 200", 0.0, "not 200"),
        below("growth by the slope, most of a process", FLAT_MB, "slope", unit="MB in all"),
        below("journal of 64 MiB and what 30 s bring, most", 200.0, "journal, most on the way", unit="MB"),
    ),
    "cycles": (
        below("1,000 cycles, wrong", 0.0, "wrong or missing"),
        below("growth by the slope, most of a process", FLAT_MB, "slope", unit="MB/1000 cycles"),
    ),
    "swaps": (below("100 swaps, other answers", 0.0, "other answers"), below("mixed revisions", 0.0, "on record")),
    "members": (
        below("failing members, failed", 0.0, "failed answers"),
        below("failing members, late", 0.0, "deadline and 20 ms"),
    ),
    "inputs": (
        below("poison, others", 0.0, "wrong, failed or degraded"),
        below("hang-ups, wrong", 0.0, "wrong or failed answers"),
        below("hang-ups, stuck", 0.0, "stuck afterwards"),
    ),
    "overload": (
        share("3 x capacity, goodput / peak", 0.95, "goodput", "peak, closed loop"),
        below("accepted, p99", 200.0, "accepted, p99", unit="ms"),
        below("429, p99", 20.0, "429, p99", unit="ms"),
        below("normal again", 2.0, "normal again after", unit="s"),
    ),
    "disk": (below("sick disk, not as documented", 0.0, "not as documented"),),
}


def verdict(folder: Path, keys: Iterable[str]) -> list[Line]:
    """What the steps' files say of the promises."""
    found = []
    for key in keys:
        file = folder / f"serving-{key}.json"
        rows = Rows(json.loads(file.read_text()) if file.exists() else [])
        found += [check(key, rows) for check in CHECKS.get(key, ())]
    return found


def render(lines: Sequence[Line]) -> str:
    """One line a promise."""
    words = {True: "yes", False: "NO", None: "?"}
    cells = [("promise", "found", "wanted", "kept"), *((w, f, x, words[k]) for w, f, x, k in lines)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells)
