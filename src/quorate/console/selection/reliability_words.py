"""Reliability in words, and as a diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.evidence.chart import Axis, Dot, Series, chart

NOTHING = (
    "No truth is known yet of a decision that the policy made. Tell outcomes, and it shows here whether confidences "
    "come true."
)


def points(share: float) -> str:
    """``0.0312`` as ``3.1 points``."""
    return f"{100 * share:.1f} points"


def verdict(found: Mapping[str, Any]) -> str:
    """Whether a strategy's confidences come true, in a sentence or two."""
    error = found["ece"]
    if error is None:
        return NOTHING
    if error["low"] == 0:
        return f"Nothing shows that its confidences are off: by {points(error['high'])} at most, 95 % sure."
    gap = sum(each["rows"] * (each["confidence"] - each["accuracy"]) for each in found["bins"]) / found["rows"]
    whole = "too sure" if gap > 0 else "not sure enough"
    return (
        f"Its confidences are off by {points(error['value'])} ({points(error['low'])} to {points(error['high'])}, 95 % "
        f"sure). On the whole it is {whole}, by {points(abs(gap))}."
    )


def calibration(found: Mapping[str, Any]) -> str:
    """How it is calibrated, and when that is fitted again."""
    refit = found["refit"]
    if refit is None:
        return "Not calibrated: what it says is what was combined."
    how = refit["method"] or "lost"
    again = (
        f"It is fitted again by itself when it is off by more than {points(refit['above'])}."
        if refit["auto"]
        else "It is fitted again when somebody asks for it."
    )
    off = " Outcomes show that it is off." if refit["due"] else ""
    return f"Calibrated by {refit['state']}, version {refit['version']} ({how}). {again}{off}"


def supply(refit: Mapping[str, Any]) -> str:
    """How much there is to fit it on."""
    rows = words.counted(refit["rows"], "row")
    if refit["rows"] < refit["needed"]:
        return f"{rows} with a truth that it has not seen; it takes {refit['needed']:,}."
    return f"{rows} with a truth that it has not seen."


def diagram(found: Mapping[str, Any]) -> str:
    """Confidence across, the share that was right upwards: on the diagonal, confidences come true."""
    bins = found["bins"]
    if not bins:
        return ""
    dots = [
        Dot(
            each["confidence"],
            each["accuracy"],
            each["low"],
            each["high"],
            f"{_percent(each['confidence'])} sure on average, {_percent(each['accuracy'])} right "
            f"({_percent(each['low'])} to {_percent(each['high'])}); {words.counted(each['rows'], 'row')}",
        )
        for each in bins
    ]
    start = min(dot.x for dot in dots)
    low = max(0.0, int(10 * min(start, *(dot.low or 0.0 for dot in dots), 0.9)) / 10)
    marks = [(low + (1 - low) * i / 5, _percent(low + (1 - low) * i / 5)) for i in range(6)]
    axis = Axis(low, 1.0, marks)
    lines = [Series("right", dots), Series("as often as it says", [Dot(low, low, None, None), Dot(1, 1, None, None)])]
    label = (
        f"Reliability of {found['strategy']}: its confidence across, how often it was right upwards. {verdict(found)}"
    )
    return chart(lines, axis, axis, label=label)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
