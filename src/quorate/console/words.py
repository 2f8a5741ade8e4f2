"""Numbers, durations and faults in plain words."""

from __future__ import annotations

from collections.abc import Sequence

DASH = "–"

REASONS = {
    "member_crashed": "crashed",
    "member_timeout": "too slow",
    "member_signature": "unusable output",
    "member_circuit_open": "left out",
    "member_failed": "no answer",
}
"""Why a member gave nothing, by error code."""


SKIPPED = {"stopped": "not needed", "no_time": "no time", "not_in_strategy": "not asked"}
"""Why a member was not asked, in a cell."""

SKIPPED_IN_FULL = {
    "stopped": "The row was answered without it.",
    "no_time": "It would not have answered in time.",
    "not_in_strategy": "The strategy that answered does not ask it.",
}

WITHHELD = {
    "ambiguous": "Several labels are possible.",
    "empty": "No label is likely enough.",
    "degraded": "Nothing is promised: it was not answered in the way that was calibrated.",
    "uncalibrated": "Nothing is left out: the fallback that answered is not calibrated.",
}
"""Why a set is no answer, or promises nothing, by its reason."""


MANY = 6
"""Labels of a set that are named."""


def percent(share: float | None, digits: int = 1) -> str:
    """``0.9834`` as ``98.3 %``; what rounds to all or nothing, but is neither, says so."""
    if share is None:
        return DASH
    text = f"{share:.{digits}%}".replace("%", " %")
    edge = 10.0**-digits
    if 0 < share < 1 and text == f"{1:.{digits}%}".replace("%", " %"):
        return f"> {100 - edge:.{digits}f} %"
    if share > 0 and text == f"{0:.{digits}%}".replace("%", " %"):
        return f"< {edge:.{digits}f} %"
    return text


def milliseconds(value: float | None) -> str:
    """``1.934`` as ``1.9 ms``, ``1934`` as ``1.9 s``."""
    if value is None:
        return DASH
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def number(value: float | None) -> str:
    """A value of a regression, to six significant digits."""
    return DASH if value is None else f"{value:.6g}"


def ago(seconds: float) -> str:
    """How long something has lasted: ``now``, ``12 s``, ``3 min``, ``2 h``."""
    if seconds < 1:
        return "1 s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def counted(count: float, one: str, many: str | None = None) -> str:
    """``1 request``, ``2,000 requests``."""
    return f"{count:,.0f} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"


def reason(code: str | None) -> str:
    """Why a member gave nothing."""
    return REASONS.get(code or "", "no answer")


def withheld(reason: str | None) -> str:
    """Why a row has no answer, or its set promises nothing: by a set's reason, or in the server's own words."""
    return WITHHELD.get(reason or "", reason or "")


def promise(labels: Sequence[str] | None, ends: Sequence[float | None] | None, coverage: float | None) -> str:
    """A set of labels, or an interval, in a sentence; nothing where there is neither."""
    often = "" if coverage is None else f" in {percent(coverage)} of such answers"
    if labels is not None:
        shown = labels if len(labels) <= MANY else [*labels[: MANY - 1], f"one of {len(labels) - MANY + 1} more"]
        return f"The truth is {' or '.join(shown)}{often}." if labels else "The set is empty."
    if ends is None:
        return ""
    low, high = ends
    if low is None and high is None:
        return f"The truth may be any number{often}."
    if low is None or high is None:
        return f"The truth is {'below' if low is None else 'above'} {number(high if low is None else low)}{often}."
    return f"The truth is between {number(low)} and {number(high)}{often}."
