"""Replays in words: what was asked, how it stands, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.evidence.table import Cell, Line, spans
from quorate.console.evidence.wording import STATES, difference, limits, named, value, when

VERDICTS = {"better": "better", "worse": "worse", "not shown": "no difference shown"}
METHODS = {
    "exact": (
        "Exact: every member's output was recorded, so what it would have answered was computed again and compared "
        "with the truth. Nothing is estimated but chance."
    ),
    "off-policy": (
        "Off-policy: decisions that it would have made too are weighted by how much more likely it would have made "
        "them. It is an estimate, as good as the effective sample size is large."
    ),
}
ESTIMATORS = {
    "ips": "inverse propensities (unbiased, widest)",
    "snips": "self-normalised (a little biased, narrower)",
    "dr": "doubly robust (the one that counts)",
}


def candidate(question: Mapping[str, Any]) -> str:
    """What was asked about, in a few words."""
    strategy, policy = question["strategy"], question["policy"]
    if isinstance(strategy, str):
        return strategy
    return briefly(strategy) if strategy is not None else f"policy {briefly(policy)}"


def briefly(declared: Mapping[str, Any]) -> str:
    """A declaration on a line: its kind, and the rest of it."""
    rest = {name: each for name, each in declared.items() if name != "kind" and each not in (None, [], {})}
    text = ", ".join(f"{name}: {_flat(each)}" for name, each in rest.items())
    return f"{declared.get('kind', 'of its own')}{f' ({text})' if text else ''}"


def _flat(each: Any) -> str:
    return json.dumps(each, ensure_ascii=False).replace('"', "") if isinstance(each, dict | list) else str(each)


def times(question: Mapping[str, Any]) -> str:
    """Which decisions were asked about."""
    since, until, revision = question["since"], question["until"], question["revision"]
    if since is None and until is None:
        said = "all decisions that are kept"
    elif until is None:
        said = f"since {when(since)}"
    elif since is None:
        said = f"until {when(until)}"
    else:
        said = f"{when(since)} to {when(until)}"
    return said if revision is None else f"{said}, revision {revision}"


def scales(found: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float, float | None] | None]:
    """Where each one's difference lies in its picture: one scale for all of a metric, around zero."""
    places: dict[int, Any] = {}
    metrics = {each["answer"]["metric"] for each in found if each["answer"] is not None}
    for metric in metrics:
        mine = [i for i, each in enumerate(found) if each["answer"] is not None and each["answer"]["metric"] == metric]
        estimates = [found[i]["answer"]["difference"] for i in mine]
        drawn = spans([(each["low"], each["value"], each["high"]) for each in estimates], zero=True)
        places |= dict(zip(mine, drawn, strict=True))
    return [places.get(i) for i in range(len(found))]


def line(found: Mapping[str, Any], place: Any) -> Line:
    """A replay as a row."""
    question, answer = found["question"], found["answer"]
    head = Cell(candidate(question), times(question))
    if answer is None:
        error = found["error"]
        why = "" if error is None else error["message"]
        state = Cell(STATES.get(found["state"], found["state"]), why, "worse" if found["state"] == "failed" else "")
        return Line(found["id"], [head, state, Cell(), Cell(), Cell(), Cell(), Cell()])
    text, change = value(answer["metric"]), difference(answer["metric"])
    counts, overlap, delta = answer["counts"], answer["overlap"], answer["difference"]
    tone = answer["verdict"] if answer["verdict"] in ("better", "worse") else ""
    exact = answer["method"] == "exact"
    return Line(
        found["id"],
        [
            head,
            Cell(VERDICTS[answer["verdict"]], f"{named(answer['metric'])}, {answer['method']}", tone),
            Cell(text(answer["candidate"]["value"]), _limits(answer["candidate"], text)),
            Cell(text(answer["live"]["value"]), _limits(answer["live"], text)),
            Cell(change(delta["value"]), _limits(delta, change), span=place),
            Cell(f"{counts['used']:,}", f"of {counts['decisions']:,}"),
            Cell(f"{counts['used']:,}" if exact or overlap is None else f"{overlap['effective']:,.0f}"),
        ],
    )


def _limits(estimate: Mapping[str, Any], text: Any) -> str:
    return limits(estimate["low"], estimate["high"], text)


def headline(answer: Mapping[str, Any]) -> str:
    """What came of it, in a sentence or two."""
    text, change = value(answer["metric"]), difference(answer["metric"])
    delta = answer["difference"]
    name = answer["strategy"] if isinstance(answer["strategy"], str) else candidate(answer)
    would, was = text(answer["candidate"]["value"]), text(answer["live"]["value"])
    interval = _limits(delta, change)
    said = (
        f"With {name} the mean {named(answer['metric'])} would have been {would} instead of {was}: "
        f"{change(delta['value'])}{f' ({interval})' if interval else ''}."
    )
    if answer["verdict"] == "not shown":
        return f"{said} The interval holds zero, so these decisions do not show a difference."
    return f"{said} It would have been {answer['verdict']}."


def resting(answer: Mapping[str, Any]) -> str:
    """How much it rests on."""
    counts, overlap = answer["counts"], answer["overlap"]
    used = f"{words.counted(counts['used'], 'decision')} of {counts['decisions']:,} could be used"
    if answer["method"] == "exact" or overlap is None:
        return f"{used}, and each counts in full: the effective sample size is {counts['used']:,}."
    few = " Below 200 the intervals are not to be relied on." if overlap["effective"] < 200 else ""
    return f"{used}; weighted, they are worth {overlap['effective']:,.0f}, the effective sample size.{few}"
