"""Who is trusted where, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.evidence.wording import when

MEANS = {
    "weight": "Share of the vote",
    "answered": "Answered of all rows",
    "experts": "Trust",
}
"""What shares are, as a column is called."""

WHY_NOT = {
    "other_members": "{} answered by other versions of the members",
    "not_recorded": "{} whose members' outputs were not recorded",
    "no_features": "{} whose features were not recorded",
    "not_asked": "{} for which a member of it was not asked",
    "not_served": "{} that another strategy answered",
    "erased": "{} whose subject was erased",
    "other_policy": "{} of decisions that other strategies, or other versions of members, made",
    "not_drawn": "{} of callers who chose a strategy themselves",
    "no_reward": "{} of which what is learned from is not known",
}


def lead(found: Mapping[str, Any]) -> str:
    """What is shown, in a sentence or two."""
    name, kind = found["strategy"], found["kind"]
    if found["means"] == "experts":
        rows = found["experts"]["rows"]
        learned = f"learned from {words.counted(rows, 'outcome')}" if rows else "nothing was learned yet"
        return (
            f"{name} ({kind}) trusts experts, which are the members and ways to combine them, alike for every input: "
            f"{learned}."
        )
    rows = f"{words.counted(found['rows'], 'row')} of {words.counted(found['decisions'], 'decision')}"
    if not found["rows"]:
        return f"{name} ({kind}): there is no recent decision that tells."
    period = f"{rows}, made {when(found['since'])} to {when(found['until'])}"
    if found["means"] == "answered":
        return f"{name} ({kind}) asks members in stages; a share says how often one answered. {period}."
    return f"{name} ({kind}) weighs its members anew for every input; a share is the mean weight in the vote. {period}."


def left_out(counts: Mapping[str, int]) -> str:
    """Which rows are not looked at, in a sentence; nothing where there are none."""
    said = [
        WHY_NOT.get(name, "{} " + name.replace("_", " ")).format(words.counted(count, "row"))
        for name, count in counts.items()
    ]
    return f"Not looked at: {words.listed(said)}." if said else ""


def described(names: list[str], history: list[Mapping[str, Any]]) -> str:
    """The chart of trust over time in words: its first and its last point."""
    first, last = history[0], history[-1]
    told = [
        f"{name} from {words.percent(first['trust'].get(name, 0.0))} to {words.percent(last['trust'].get(name, 0.0))}"
        for name in names
    ]
    return f"Trust over time: {words.listed(told)}"
