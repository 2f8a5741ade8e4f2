"""Metrics, differences, durations, sizes and moments in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from quorate.console import words

SHARES = frozenset({"accuracy"})
NAMES = {"truth": "truth", "accuracy": "accuracy", "error": "absolute error", "value": "business value"}
UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))

OPEN = ("queued", "running")
STATES = {"queued": "waits its turn", "running": "runs", "failed": "no answer", "cancelled": "stopped"}
"""How questions stand that have no answer."""


def lasting(seconds: float | None) -> str:
    """``0.25`` as ``250 ms``, ``5400`` as ``1.5 h``, ``1209600`` as ``14 d``."""
    if seconds is None:
        return words.DASH
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1000:.3g} ms"


def when(moment: float | None) -> str:
    """A Unix time as ``22 Nov 2026, 01:44 UTC``."""
    return words.DASH if moment is None else f"{datetime.fromtimestamp(moment, UTC):%-d %b %Y, %H:%M} UTC"


def shortly(moment: float, *, days: bool) -> str:
    """A Unix time on an axis: the day, or the time of day."""
    return f"{datetime.fromtimestamp(moment, UTC):{'%-d %b' if days else '%H:%M'}}"


def size(count: float | None) -> str:
    """Bytes as ``1.5 GiB``."""
    if count is None:
        return words.DASH
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return words.counted(count, "byte")


def value(metric: str) -> Callable[[float | None], str]:
    """How values of a metric are written: accuracies as per cent."""
    return words.percent if metric in SHARES else number


def number(found: float | None) -> str:
    """To four significant digits."""
    return words.DASH if found is None else f"{found:.4g}".replace("-", "\N{MINUS SIGN}")


def difference(metric: str) -> Callable[[float | None], str]:
    """How differences of a metric are written: those of accuracies in percentage points."""

    def said(change: float | None) -> str:
        if change is None:
            return words.DASH
        if metric in SHARES:
            return f"{change * 100:+.2f} points".replace("-", "\N{MINUS SIGN}")
        return f"{change:+.4g}".replace("-", "\N{MINUS SIGN}")

    return said


def limits(low: float | None, high: float | None, text: Callable[[float | None], str]) -> str:
    """``87.9 to 89.5 %``: a unit that both share is said once; nothing where there are none."""
    if low is None or high is None:
        return ""
    first, last = text(low), text(high)
    amount, _, unit = first.rpartition(" ")
    return f"{amount} to {last}" if amount and last.endswith(f" {unit}") else f"{first} to {last}"


def named(metric: str) -> str:
    """A metric's name for people."""
    return NAMES.get(metric, metric)


def sentence(text: str) -> str:
    """With a capital letter at its beginning and a full stop at its end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""
