"""Quantities of a switch for people: their names, units, and which direction is good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.evidence.table import Cell
from quorate.console.evidence.wording import lasting, limits, number

PER = "_per_1000_requests"
GROUPS = (
    ("Latency and errors", ("latency_p50", "latency_p95", "latency_p99", "error_rate", "warm_up")),
    ("Memory and processors", ("memory", "pool_memory", "memory_added", "memory_freed", f"cpu{PER}")),
    ("Money", ("money_per_million_requests",)),
)
EFFECT = "Effect on answers"
"""Whatever else there is: accuracy, business value, rewards."""
NAMES = {
    "latency_p50": "median latency",
    "latency_p95": "95th percentile of latency",
    "latency_p99": "99th percentile of latency",
    "error_rate": "errors",
    "warm_up": "time to take effect",
    "memory": "memory of all workers",
    "pool_memory": "memory of the pool",
    "memory_added": "memory that is added",
    "memory_freed": "memory that is given back",
    f"cpu{PER}": "processor time of 1,000 requests",
    "money_per_million_requests": "a million requests",
    "accuracy": "accuracy",
    "absolute_error": "absolute error of a row",
    f"right_answers{PER}": "right answers of 1,000 requests",
    "value": "business value of a row",
    f"value{PER}": "business value of 1,000 requests",
}
LOWER_IS_BETTER = frozenset(
    {*(name for _, names in GROUPS for name in names if name != "memory_freed"), "absolute_error"}
)


def group(name: str) -> str:
    """Under which heading a quantity is."""
    return next((title for title, names in GROUPS if name in names), EFFECT)


def named(name: str) -> str:
    """A quantity's name for people."""
    if name in NAMES:
        return NAMES[name]
    return f"{name.removesuffix(PER)} of 1,000 requests" if name.endswith(PER) else f"{name} of a row"


def amount(found: float | None, unit: str, *, signed: bool = False) -> str:
    """A value with its unit; what is not known says so."""
    if found is None:
        return "not known"
    if unit == "ms":
        text = words.milliseconds(abs(found))
    elif unit == "share":
        text = f"{abs(found) * 100:.3g} points" if signed else words.percent(abs(found), 2)
    elif unit == "bytes":
        text = f"{abs(found) / 2**20:,.4g} MiB"
    elif unit == "s":
        text = lasting(abs(found)) if found else "0 s"
    elif unit in ("per row", "per 1,000 requests"):
        text = number(abs(found))
    else:
        text = f"{abs(found):.4g} {unit}"
    mark = "\N{MINUS SIGN}" if found < 0 else "+" if signed and found > 0 else ""
    return f"{mark}{text}"


def change(found: Mapping[str, Any]) -> Cell:
    """The difference with its interval, and whether it is for the better as far as that can be said."""
    if found["change"] is None:
        return Cell("not known" if found["after"] is None or found["before"] is not None else words.DASH)
    low, high, unit = found["low"], found["high"], found["unit"]
    note = limits(low, high, lambda limit: amount(limit, unit, signed=True))
    return Cell(amount(found["change"], unit, signed=True), note, tone(found))


def tone(found: Mapping[str, Any]) -> str:
    """``better`` or ``worse`` where the interval leaves no doubt, or there is none and a real difference."""
    low, high, step = found["low"], found["high"], found["change"]
    if low is not None and high is not None:
        if low <= 0 <= high:
            return ""
    elif not step or not found["before"] or abs(step) < 0.02 * abs(found["before"]):
        return ""
    down = found["name"] in LOWER_IS_BETTER
    return "better" if (step < 0) == down else "worse"
