"""What both reports say in sentences, and how they write numbers and times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

SHARES = ("accuracy",)


def sentence(report: Mapping[str, Any]) -> str:
    """The verdict in a sentence."""
    control = report["registration"]["control"]
    verdict = report["verdict"] or {}
    last = latest(report)
    kind = verdict.get("verdict")
    if report["state"] == "registered":
        return f"This experiment on '{report['endpoint']}' is registered and has not started."
    if kind is None:
        if report["hidden"]:
            return "The experiment runs; its results are hidden until the verdict."
        return "The experiment runs; there is no verdict yet."
    if kind == "better":
        each = compared(last, verdict["winner"])
        return (
            f"'{verdict['winner']}' is better than '{control}': its {report['metric']} is "
            f"{number(each['treatment_value'])}, not {number(each['control_value'])} ({difference(each)})."
        )
    return {
        "worse": f"'{control}' is better than every other arm: keep it.",
        "no_difference": (
            f"No arm is better than '{control}' by as much as matters "
            f"({number(report['registration']['minimum_effect'])}): keep '{control}'."
        ),
        "inconclusive": (
            f"The experiment ended at its registered size without finding a difference in either direction: "
            f"'{control}' stays."
        ),
        "harmed": (
            f"The experiment was ended because '{verdict.get('treatment')}' made the {verdict.get('title')} worse by "
            f"more than the registered margin of {number(verdict.get('margin'))}."
        ),
        "invalid": _invalid(verdict),
        "stopped": "The experiment was stopped by hand before it came to a verdict.",
        "interrupted": "The experiment was interrupted: its endpoint was changed by a newly applied configuration.",
    }[kind]


def warnings(report: Mapping[str, Any]) -> list[str]:
    """What speaks against acting on the verdict without looking closer, in sentences."""
    return [_WARNINGS[warning] for warning in (report["verdict"] or {}).get("warnings", ())]


_WARNINGS = {
    "missing_differs": (
        "Outcomes are missing in one arm more often than in the other; ask a statistician before acting."
    ),
    "guard_rail_unknown": "Not every guard rail is shown to be within its margin yet; look at the table below.",
}


def _invalid(verdict: Mapping[str, Any]) -> str:
    if verdict.get("reason") == "values":
        return f"The experiment is invalid: {verdict.get('problem')}"
    return (
        "The experiment is invalid: the arms did not get the shares of units they were meant to get "
        f"(p = {number(verdict.get('p_value'))}), so something chose the arm besides chance."
    )


def latest(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the last look saw; empty where there is none, or where it is hidden."""
    looks = report["looks"]
    return looks[-1]["body"] if looks and not looks[-1]["hidden"] else {}


def compared(body: Mapping[str, Any], treatment: str) -> dict[str, Any]:
    """A treatment's comparison, the arms' own values under names of their own."""
    found = next(each for each in body["comparisons"] if each["treatment"] == treatment)
    return dict(found)


def difference(each: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    middle, low, high = alike(each["estimate"], each["low"], each["high"], sign="+")
    return f"{middle}, between {low} and {high}"


def alike(*values: float | None, sign: str = "") -> list[str]:
    """Values with as many decimals as the distance between them calls for; what is not quite 0 does not become 0.

    >>> alike(0.0543, 0.0000271, 0.1094, sign="+"), alike(54.3, 0.0271, 109.4), alike(None, 1.0)
    (['+0.054', '+0.00003', '+0.109'], ['54', '0.03', '109'], ['–', '1'])
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    width = max(known, default=0.0) - min(known, default=0.0)
    if not width:
        return [number(value) if not sign else signed(value) for value in values]
    decimals = min(max(1 - math.floor(math.log10(width / 2)), 0), 12)
    return [_fixed(value, decimals, sign) for value in values]


def _fixed(value: float | None, decimals: int, sign: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if not value:
        return "0"
    if abs(value) < 0.5 * 10.0**-decimals:
        decimals = min(-math.floor(math.log10(abs(value))), 12)
    return f"{value:{sign},.{decimals}f}"


def per_thousand(report: Mapping[str, Any], each: Mapping[str, Any]) -> str | None:
    """What a difference means for 1,000 requests; None where there is no interval, or the metric is no mean."""
    if each["low"] is None or each["high"] is None or report["registration"]["metric"]["kind"] in ("quantile", "ratio"):
        return None
    kind = report["registration"]["metric"]["kind"]
    what = {"accuracy": "right answers", "value": "of value"}.get(kind, f"of {report['metric']}")
    low, middle, high = (1000 * each[name] for name in ("low", "estimate", "high"))
    word = "more" if middle >= 0 else "fewer"
    sign = 1 if middle >= 0 else -1
    least, most = sorted((sign * low, sign * high))
    said, least_said, most_said = alike(abs(middle), least, most)
    return (
        f"Of 1,000 requests with '{each['treatment']}': {said} {word} {what} (plausible: {least_said} to {most_said})."
    )


def number(value: float | None) -> str:
    """Three significant digits; a dash where there is none.

    >>> number(0.123456), number(12345.0), number(None), number(1e-7)
    ('0.123', '12,345', '–', '1e-07')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def signed(value: float | None) -> str:
    """As :func:`number`, with its sign."""
    if value is None:
        return "–"
    return number(value) if value < 0 else f"+{number(value)}"


def moment(at: float | None) -> str:
    """A time (Unix seconds) in words, UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(30.0), duration(7200.0), duration(200000.0)
    ('30 seconds', '2.0 hours', '2.3 days')
    """
    for size, name in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"
