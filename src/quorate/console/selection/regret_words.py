"""Regret in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.evidence.wording import when

UNITS = {
    "mistakes": "mistakes",
    "absolute error": "absolute error in all",
    "rewards": "in rewards from 0 to 1",
    "squared error": "squared error in all",
}
"""What losses are counted in."""


def amount(value: float | None) -> str:
    """A loss: whole numbers as they are, others to four digits."""
    if value is None:
        return words.DASH
    text = f"{value:,.0f}" if abs(value - round(value)) < 1e-9 else f"{value:,.4g}"
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None) -> str:
    """A difference of losses, with its sign."""
    if value is None:
        return words.DASH
    return amount(value) if value <= 0 else f"+{amount(value)}"


def verdict(found: Mapping[str, Any]) -> str:
    """What was served against the best in hindsight, in a sentence."""
    if not found["rows"]:
        return "Of no recent row is it known what was lost; tell outcomes, and look again."
    rows, unit = words.counted(found["rows"], "row"), found["unit"]
    served = f"Of {rows}, what was served {'made' if unit == 'mistakes' else 'lost'} {amount(found['served'])}"
    served += " mistakes" if unit == "mistakes" else f" ({UNITS[unit]})"
    if found["best"] is None:
        return f"{served}; nobody else's losses are known."
    best = next(each for each in found["others"] if each["name"] == found["best"])
    about = "about " if best["basis"] == "estimate" else ""
    against = (
        f"{best['name']} alone, would have {'made' if unit == 'mistakes' else 'lost'} {about}{amount(best['loss'])}"
    )
    if found["regret"] > 0:
        return f"{served}; the best in hindsight, {against}: a regret of {amount(found['regret'])}."
    return f"{served}; nobody alone would have done better: the best of them, {against}."


def known(found: Mapping[str, Any]) -> str:
    """Whose losses are known, and of which rows, in sentences."""
    if found["known"] == "none":
        return ""
    if found["known"] == "drawn":
        said = (
            "Only the loss of the strategy that was drawn is known. What the others would have lost is estimated: a "
            "row counts for the strategy that was drawn, divided by its probability."
        )
    else:
        said = "The losses of all are known, since the members' outputs and the truths are on record."
    period = f"Rows from {when(found['since'])} to {when(found['until'])}"
    past = "all there are" if found["whole"] else "the newest ones"
    return f"{said} {period}, {past} with an outcome."


def bound(found: Mapping[str, Any]) -> str:
    """What the policy promises, in a sentence; nothing where it promises nothing."""
    told = found["bound"]
    if told is None:
        return ""
    rows = words.counted(told["rows"], "row")
    return (
        f"The policy {found['policy']} promises an expected regret of at most {amount(told['value'])} against any one "
        f"strategy after {rows}, where each outcome comes before the next request."
    )


def promised(combiner: Mapping[str, Any]) -> str:
    """A combiner against the best of its experts, in a sentence or two."""
    name, rows = combiner["strategy"], words.counted(combiner["rows"], "outcome")
    limit = amount(combiner["certificate"])
    if combiner["regret"] is None:
        return f"{name}: {rows}. By what it has seen, a draw by its trust lost at most {limit} more than any expert."
    best = combiner["experts"][0]
    return (
        f"{name}: after {rows} a draw by its trust has lost {amount(combiner['own'])} "
        f"({UNITS[combiner['unit']]}), the best expert, {best['name']}, {amount(best['loss'])}: a regret of "
        f"{amount(combiner['regret'])}. By what it has seen it could be {limit} at most."
    )
