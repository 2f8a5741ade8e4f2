"""The frontier of a cascade in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words

KINDS = {
    "cascade": "cascade",
    "threshold": "one threshold on the confidence",
    "random": "random escalation at the same rate",
    "cheapest": "the cheapest member",
    "best": "the best member",
    "all": "all members",
    "oracle": "oracle: right where anybody is, at the least cost",
}
"""What is drawn, in this order."""


def cost(value: float | None, unit: str) -> str:
    """A mean cost of a row: milliseconds, or what ``cost`` is declared in."""
    if value is None:
        return words.DASH
    return f"{value:.4g} ms" if unit == "ms" else f"{value:.4g}"


def promise(found: Mapping[str, Any]) -> str:
    """What was asked of the cascade when it was fitted, in a sentence."""
    told, unit = found["promise"], found["unit"]
    rows = words.counted(found["rows"], "row")
    if told.get("accuracy") is not None:
        risk = told.get("risk")
        doubt = "" if risk is None else f", with a risk of {words.percent(risk)} that it is less"
        least = words.percent(told["accuracy"])
        return f"Promised: an accuracy of at least {least} at the least cost{doubt}. Fitted on {rows}."
    if told.get("cost") is None:
        return f"Nothing was promised of it. Fitted on {rows}."
    return f"Promised: the best accuracy at a cost of at most {cost(told['cost'], unit)} a row. Fitted on {rows}."


def kept(found: Mapping[str, Any]) -> str:
    """What was served against what was expected, in a sentence."""
    served, expected, unit = found["served"], found["expected"], found["unit"]
    if not served["rows"] or served["cost"] is None:
        return "No live decision of it is known yet."
    rows, mean = words.counted(served["rows"], "row"), cost(served["cost"], unit)
    wanted = expected.get("cost")
    if not wanted:
        return f"Served: {rows} at a mean cost of {mean}."
    times = f"{served['cost'] / wanted:.2f} times the {cost(wanted, unit)} that was expected"
    return f"Served: {rows} at a mean cost of {mean}; {times}."


def stages(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each stage: its members, and the shares of rows that were expected to reach it, and did."""
    expected, served = found["expected"].get("reached") or [], found["served"].get("reached") or []
    return [
        (words.listed(members), words.percent(_at(expected, i)), words.percent(_at(served, i)))
        for i, members in enumerate(found["stages"])
    ]


def _at(shares: Sequence[float | None], index: int) -> float | None:
    return shares[index] if index < len(shares) else None
