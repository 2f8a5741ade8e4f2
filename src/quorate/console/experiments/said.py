"""Experiments in words: states, verdicts, metrics, durations and figures, as lists and pages say them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from quorate.console import words

DAY = 86_400.0
STATES = {"registered": "Draft", "running": "Running", "decided": "Decided", "ended": "Finished"}
VERDICTS = {
    "better": "better",
    "worse": "worse",
    "no_difference": "no difference that matters",
    "inconclusive": "inconclusive",
    "harmed": "a guard rail was broken",
    "invalid": "invalid",
    "stopped": "stopped by hand",
    "interrupted": "interrupted",
}
TONES = {"better": "good", "worse": "bad", "harmed": "bad", "invalid": "bad", "interrupted": "warn"}


def metric(declared: Mapping[str, Any]) -> str:
    """A declared metric.

    >>> metric({"kind": "quantile", "of": "latency_ms", "q": 0.95})
    '0.95 quantile of latency_ms'
    """
    kind: str = declared["kind"]
    if kind == "reward":
        return f"mean {declared['reward']}"
    if kind == "ratio":
        return f"{declared['numerator']} per {declared['denominator']}"
    if kind == "quantile":
        return f"{declared['q']:.4g} quantile of {declared['of']}"
    if kind == "weighted":
        return " ".join(f"{part['weight']:+g} × {metric(part['metric'])}" for part in declared["parts"])
    return {"absolute_error": "mean absolute error", "value": "value per request"}.get(kind, kind)


def verdict(found: Mapping[str, Any]) -> tuple[str, str]:
    """What a list says of an experiment's verdict, and its tone: good, bad, warn or nothing."""
    reached = found["verdict"]
    if reached is None:
        return ("not started", "") if found["state"] == "registered" else ("no verdict yet", "")
    kind = reached["verdict"]
    said = f"{reached['winner']} is better" if kind == "better" else VERDICTS.get(kind, kind)
    if kind == "worse":
        said = f"{found['registration']['control']} is better"
    return said, TONES.get(kind, "")


def so_far(found: Mapping[str, Any]) -> str:
    """What the newest look of a running experiment says, in short; of one that is hidden, that it is."""
    look = found.get("latest")
    if look is None:
        return "No look was taken yet."
    if look["hidden"]:
        return "Hidden until the verdict."
    parts = []
    for each in look["body"].get("comparisons", ()):
        if each["low"] is None or each["high"] is None:
            parts.append(f"{each['treatment']}: too few units yet")
        else:
            parts.append(f"{each['treatment']}: {interval(each)}")
    return "; ".join(parts) or "Nothing to compare yet."


def units(found: Mapping[str, Any]) -> tuple[int, int]:
    """Units with an outcome that are there, and at how many the experiment ends at the latest."""
    most = int(found["registration"]["stop"]["max_units"])
    look = found.get("latest")
    known = look["body"].get("known", 0) if look is not None else 0
    return int(known if isinstance(known, int | float) else sum(known.values())), most


def days_left(found: Mapping[str, Any], now: float) -> float | None:
    """Days until a running experiment ends at the latest; None for others."""
    if found["state"] != "running" or found["started"] is None:
        return None
    most, started = float(found["registration"]["stop"]["max_days"]), float(found["started"])
    return max(0.0, most - (now - started) / DAY)


def span(days: float) -> str:
    """A number of days, in the unit that suits it.

    >>> span(12.3), span(1.2), span(0.1), span(0.001), span(0.0002)
    ('12 days', '1.2 days', '2.4 hours', '1 minute', '17 seconds')
    """
    if days >= 10:
        return f"{days:.0f} days"
    if days >= 1:
        return f"{_short(days)} {'day' if _short(days) == '1' else 'days'}"
    if days * 24 >= 1:
        return f"{_short(days * 24)} {'hour' if _short(days * 24) == '1' else 'hours'}"
    if days * 1440 >= 1:
        return words.counted(round(days * 1440), "minute")
    return words.counted(max(0, round(days * DAY)), "second")


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def moment(at: float | None) -> str:
    """A time (Unix seconds), UTC."""
    return words.DASH if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def number(value: float | None) -> str:
    """Three significant digits, or a whole number.

    >>> number(0.12345), number(12345.6), number(None)
    ('0.123', '12,346', '–')
    """
    if value is None or not math.isfinite(value):
        return words.DASH
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def signed(value: float | None) -> str:
    """As :func:`number`, with its sign.

    >>> signed(0.0312), signed(-2.0)
    ('+0.0312', '−2')
    """
    if value is None or not math.isfinite(value):
        return words.DASH
    if value == 0:
        return "0"
    return f"−{number(-value)}" if value < 0 else f"+{number(value)}"


def interval(each: Mapping[str, Any]) -> str:
    """A difference with its interval, with as many decimals as its width calls for.

    >>> interval({"estimate": 0.0543, "low": 0.0000271, "high": 0.1094})
    '+0.054, between +0.00003 and +0.109'
    """
    ends = [float(each[name]) for name in ("low", "high")]
    width = ends[1] - ends[0]
    if not (math.isfinite(width) and width > 0):
        return f"{signed(each['estimate'])}, between {signed(ends[0])} and {signed(ends[1])}"
    decimals = min(max(1 - math.floor(math.log10(width / 2)), 0), 12)
    middle, low, high = (_fixed(float(each[name]), decimals) for name in ("estimate", "low", "high"))
    return f"{middle}, between {low} and {high}"


def _fixed(value: float, decimals: int) -> str:
    if not value:
        return "0"
    if abs(value) < 0.5 * 10.0**-decimals:  # not quite 0
        decimals = min(-math.floor(math.log10(abs(value))), 12)
    return f"{value:+,.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value.

    >>> p_value(0.0123), p_value(0.000001), p_value(None)
    ('0.012', '< 0.001', '–')
    """
    if value is None:
        return words.DASH
    return "< 0.001" if value < 0.001 else f"{value:.2g}"
