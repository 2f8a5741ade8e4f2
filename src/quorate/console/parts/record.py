"""One thing that was asked and what is known about it, kept for the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quorate.client import Answer
from quorate.console import words


@dataclass(slots=True)
class Vote:
    """One member's part in an answer; ``label`` is None where it gave none, and ``why`` then says why.

    One that was not ``asked`` did not fail; ``about`` says more of why.
    """

    member: str
    label: str | None = None
    confidence: float | None = None
    latency_ms: float | None = None
    why: str = ""
    asked: bool = True
    about: str = ""


@dataclass(slots=True)
class Entry:
    """An answer as it is shown; what a blind endpoint does not tell is None.

    ``votes`` and ``preview`` (a data URL) come later, or ``votes_note`` and ``preview_note`` say why they do not.
    ``truth`` is what the person said it was. ``coverage`` is what was asked or promised, ``labels`` and ``ends`` the
    set or interval that came of it. One that ``abstained`` has no label; ``reason`` says why. ``members`` are those
    that answered, where the answer says so, and ``stages`` how far it went, in words, where it went in stages.
    """

    number: int
    endpoint: str
    id: str
    label: str
    what: str
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    values: tuple[float, ...] = ()
    unit: str = ""
    strategy: str | None = None
    degraded: bool = False
    missing: tuple[str, ...] = ()
    latency_ms: float | None = None
    thumb: str | None = None
    votes: list[Vote] | None = None
    votes_note: str = ""
    preview: str | None = None
    preview_note: str = ""
    truth: str | None = None
    coverage: float | None = None
    labels: tuple[str, ...] | None = None
    ends: tuple[float | None, float | None] | None = None
    abstained: bool = False
    reason: str = ""
    members: tuple[str, ...] | None = None
    stages: str = ""

    @property
    def blind(self) -> bool:
        """Whether nobody may know how it came about: the answer does not say who answered."""
        return self.strategy is None


def of_answer(answer: Answer, number: int, what: str, units: tuple[str, ...], coverage: float | None = None) -> Entry:
    """The entry of a single row's answer, of which so much ``coverage`` was asked, or is promised anyway."""
    one = answer.prediction
    values: tuple[float, ...] = ()
    if one.values is not None:
        values = tuple(one.values.values())
    elif one.value is not None:
        values = (one.value,)
    label = one.label if one.label is not None else " · ".join(words.number(value) for value in values) or words.DASH
    return Entry(
        number=number,
        endpoint=answer.endpoint,
        id=answer.id,
        label=label,
        what=what,
        confidence=one.confidence,
        probabilities=None if one.probabilities is None else dict(one.probabilities),
        values=values,
        unit=units[0] if len(units) == 1 else "",
        strategy=answer.strategy,
        degraded=bool(answer.degraded),
        missing=answer.missing or (),
        latency_ms=answer.latency_ms,
        coverage=coverage,
        labels=one.set,
        ends=one.interval,
        abstained=bool(one.abstained),
        reason=words.withheld(one.reason),
        members=one.members,
    )


def votes_of(decision: dict[str, Any]) -> list[Vote]:
    """Each member's vote in a single row's decision, as the control port describes it."""
    classes = decision["classes"]
    votes = []
    for run in decision["members"]:
        if run["row_status"][0] != "ok":
            if run["row_status"][0] == "skipped":
                why = (run.get("skipped") or [None])[0]
                said = words.SKIPPED.get(why, "not asked"), False, words.SKIPPED_IN_FULL.get(why, "")
            else:
                said = words.reason(run["reason"]), True, ""
            votes.append(Vote(run["name"], None, None, None, *said))
            continue
        outputs = run["outputs"][0]
        if decision["output_kind"] == "values":
            label = " · ".join(words.number(value) for value in outputs)
            votes.append(Vote(run["name"], label, None, run["latency_ms"]))
            continue
        best = max(range(len(outputs)), key=lambda index: outputs[index] or 0.0)
        votes.append(Vote(run["name"], classes[best], outputs[best], run["latency_ms"]))
    return votes


_WHY_NOT = (("no_time", "no time"), ("stopped", "not needed"))


def stages_of(decision: dict[str, Any]) -> str:
    """How far a single row's decision went, in a sentence; nothing where it did not go in stages."""
    parts = []
    for number, stage in enumerate(decision.get("stages", ()), start=1):
        known = [what for count, what in _WHY_NOT if stage[count]] or ["not asked"]
        why = "" if stage["rows"] else known[0]
        parts.append(f"{number}. {words.listed(stage['members'])}{f' ({why})' if why else ''}")
    return f"In stages: {'; '.join(parts)}." if len(parts) > 1 else ""
