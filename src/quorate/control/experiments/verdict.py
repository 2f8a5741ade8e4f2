"""From a look to a verdict, by the registered rule alone. Pure.

====================  ========================================================================================
``invalid``           units are not where the allocation would have them, or values contradict the registration
``harmed``            a guard rail is worse by more than its margin
``better``            a treatment is better than control; the winner is the one with the best estimate
``worse``             every treatment is worse than control
``no_difference``     no treatment is better, and every difference is smaller than the minimum effect, or worse
``inconclusive``      the largest size or duration was reached without any of these
====================  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RESTORING = ("invalid", "harmed")
"""Verdicts after which the endpoint goes back by itself to what it served before."""


def verdict(body: Mapping[str, Any], *, higher_is_better: bool) -> dict[str, Any] | None:
    """The verdict that a look amounts to; None while the experiment goes on."""
    if body["sample_ratio"]["mismatch"]:
        shares = body["sample_ratio"]
        return {"verdict": "invalid", "reason": "sample_ratio", "p_value": shares["p_value"]}
    for rail in body["guard_rails"]:
        if rail["status"] == "harmed":
            named = {key: rail[key] for key in ("title", "treatment", "estimate", "margin")}
            return {"verdict": "harmed", "reason": "guard_rail", **named}
    found = body["comparisons"]
    better = [each for each in found if each["verdict"] == "better"]
    if better:
        sign = 1.0 if higher_is_better else -1.0
        winner = max(better, key=lambda each: sign * each["estimate"])
        return {"verdict": "better", "winner": winner["treatment"], "warnings": _warnings(body, winner["treatment"])}
    said = {each["verdict"] for each in found}
    if said == {"worse"}:
        return {"verdict": "worse", "warnings": _warnings(body)}
    if said <= {"worse", "equivalent"}:
        return {"verdict": "no_difference", "warnings": _warnings(body)}
    if body["final"] or said <= {"worse", "equivalent", "futile"}:
        return {"verdict": "inconclusive", "warnings": _warnings(body)}
    return None


def _warnings(body: Mapping[str, Any], winner: str | None = None) -> list[str]:
    """What stands in the way of a promotion without a person."""
    found = []
    if any(each["differs"] for each in body["missing"]):
        found.append("missing_differs")
    mine = [rail for rail in body["guard_rails"] if winner in (None, rail["treatment"])]
    if any(rail["status"] == "unknown" for rail in mine):
        found.append("guard_rail_unknown")
    return found


def carried_out(found: Mapping[str, Any]) -> str | None:
    """What follows from a verdict by itself, where that was registered: promote, keep, or None: somebody must look."""
    if found["verdict"] != "better":
        return "keep"
    return None if found["warnings"] else "promote"
