"""What a replay says in words: its assumptions, what to beware of, and why it cannot answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from quorate.control.replay.asked import Counts, Files, Question
from quorate.control.replay.tally import NO_OUTCOME, NOT_LEARNED, Tally
from quorate.control.replay.targets import Strategy
from quorate.core.stats.off_policy import FEW, Overlap

PROPORTIONS = "95 %: Wilson's, for the difference Newcombe's for pairs; for one look, not for watching"
SKEWED = (
    "95 %: of Student's t, corrected for skewness (Hall 1992), by independent decision or sticky unit; for one look, "
    "not for watching"
)
SMALL = 200


def assumptions(tally: Tally, *, exact: bool) -> tuple[str, ...]:
    """What must hold for the answer to be right."""
    said = [
        "Whether an outcome is known does not depend on the answer, given the decision.",
        "What was answered to one request changes nothing for others.",
    ]
    if exact:
        said.append("Members answer as they did: their recorded outputs are combined, no model is run.")
        said += [_put_in(each) for each in tally.target.computable.values() if each.past is not None and not each.own]
    else:
        said += [
            "The recorded propensities are those that assignments were drawn with.",
            "A decision counts for the strategy that was assigned, also where a fallback answered.",
            "A strategy's name meant the same in all revisions that were read.",
        ]
    return tuple(said)


def warnings(
    tally: Tally, files: Files, overlap: Overlap | None, past: dict[int, Any], counts: Counts, *, exact: bool
) -> tuple[str, ...]:
    """What the reader should know before acting on the answer."""
    said = []
    if exact and counts.used < SMALL:
        said.append(f"Only {counts.used} decisions could be used; with fewer than {SMALL} little is shown.")
    if exact and tally.differing:
        said.append(
            f"{tally.differing} of {tally.reproduced} rows that the strategy answered live come out differently now; "
            "the combiner has changed since, or another machine rounds otherwise."
        )
    if overlap is not None and not exact:
        said += _weights(overlap)
        said += _names(tally, past)
    said += _lessons(tally)
    said += _contexts(tally, past)
    return (*said, *few_outcomes(counts, "the comparison is"), *unread(files))


def few_outcomes(counts: Counts, biased: str) -> list[str]:
    """That most outcomes are not known; ``biased`` says what ``is``, or ``are``, biased then."""
    none = counts.left_out.get(NO_OUTCOME, 0)
    answered = counts.decisions - sum(counts.left_out.values()) + none
    if none <= 0.5 * max(answered, 1):
        return []
    often = "if some answers are told back more often than others"
    return [f"{none} of {answered} decisions have no outcome; {often}, {biased} biased."]


def unread(files: Files) -> list[str]:
    """What could not be read."""
    said = []
    if files.damaged or files.damaged_bytes or files.unreadable_records:
        said.append(
            f"{files.damaged} files, {files.unread_decisions} decisions of compacted ones, {files.damaged_bytes} bytes "
            f"and {files.unreadable_records} records of others could not be read and are not counted."
        )
    if files.gone:
        said.append(f"{files.gone} files were deleted while they were read.")
    return said


def _put_in(strategy: Strategy) -> str:
    """What a strategy that learns, and was not there, is taken to have learned."""
    began = 0.0 if strategy.past is None or strategy.past.since is None else strategy.past.since
    when = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"It was put in with the first lesson on record ({when}), knows nothing before, and is taught the lessons of "
        "those that were there, in the same order and at the same times."
    )


def _lessons(tally: Tally) -> list[str]:
    """What of the record of lessons is lost, or does not come out as it did."""
    said = []
    left = tally.by_outputs.left_out.get(NOT_LEARNED, 0)
    if left:
        said.append(f"{left} decisions cannot be replayed exactly: what was learned by then is not on record.")
    for name, strategy in tally.target.computable.items():
        gaps = None if strategy.past is None else strategy.past.gaps
        if gaps is None:
            continue
        lost = [
            (gaps.erased, "lessons were erased with their subject"),
            (gaps.gone, "decisions that it was shown or taught are no longer in the journal"),
            (gaps.missing, "stretches of the record are missing"),
            (gaps.failed, "steps of the record could not be followed"),
            (gaps.began, "times all that learns at the endpoint began anew, and so does it"),
        ]
        told = "; ".join(f"{count} {what}" for count, what in lost if count)
        if told:
            then = "; it is not known until the next state on record" if strategy.own else "; it goes on without them"
            said.append(f"What '{name}' learned is not made again everywhere: {told}{then}.")
        if gaps.others:
            said.append(
                f"{gaps.others} of {gaps.checked} states of '{name}' that are on record come out differently now; its "
                "combiner has changed since, or another machine rounds otherwise."
            )
    return said


def _weights(overlap: Overlap) -> list[str]:
    said = []
    if overlap.few:
        said.append(
            f"The effective sample size is {overlap.effective:.0f}; below {FEW} the intervals are not to be relied on."
        )
    if abs(overlap.mean_weight - 1.0) > 4 * overlap.mean_weight_error:
        said.append(
            f"The mean weight is {overlap.mean_weight:.3f} ± {overlap.mean_weight_error:.3f} and should be 1: "
            "the recorded propensities do not fit the assignments."
        )
    if overlap.largest_share > 0.05:
        said.append(f"One decision has {overlap.largest_share:.0%} of all weight.")
    return said


def _names(tally: Tally, past: dict[int, Any]) -> list[str]:
    """Revisions in which a name of the target meant something else than in the newest that was read."""
    read = sorted(number for number in tally.revisions if number in past)
    said = []
    for name in tally.target.strategies:
        meant = {number: _meaning(past[number], name) for number in read}
        if meant:
            others = [number for number, what in meant.items() if what != meant[read[-1]]]
            if others:
                said.append(
                    f"'{name}' was another strategy, or had other members' versions, in revision "
                    f"{', '.join(map(str, others))} than in {read[-1]}; replay one revision to tell them apart."
                )
    return said


def _contexts(tally: Tally, past: dict[int, Any]) -> list[str]:
    """That a policy looked at contexts that are not recorded as they were."""
    records = [past[number]["endpoint"].get("record", {}) for number in sorted(tally.revisions & past.keys())]
    partial = any(each.get("sample", 1.0) < 1 and "context" in each.get("omit", ()) for each in records)
    if tally.target.by_context and (partial or any(each.get("redact") for each in records)):
        said = (
            "The policy looks at the context, and the endpoint's records are redacted or leave it out: where a key is "
            "not recorded, it is replayed as if the caller had not sent it."
        )
        return [said]
    return []


def _meaning(content: dict[str, Any], name: str) -> str:
    found = next((each for each in content["endpoint"]["strategies"] if each["name"] == name), None)
    versions = {each["name"]: each["digest"] for each in content["pool"]["members"]}
    members = [versions.get(member) for member in found["members"]] if found else []
    return json.dumps([found, members], sort_keys=True)


def no_overlap(question: Question, counts: Counts, unsupported: dict[int, int]) -> str:
    """Why the log cannot tell."""
    lost = sum(unsupported.values())
    asked = f"'{question.strategy}'" if question.policy is None else "what the policy may choose"
    where = ", ".join(f"{number} ({n})" for number, n in sorted(unsupported.items())[:8])
    hint = (
        "replay a time (--since) or revision in which it had a share"
        if counts.used
        else "serve it with a small share first, or replay where members' outputs are recorded"
    )
    return (
        f"The log does not tell: {lost} of {lost + counts.used} decisions could not have been assigned to {asked} "
        f"(propensity 0), in revision {where}; {hint}."
    )


def nothing(endpoint: str, metric: str, counts: Counts, files: Files) -> str:
    """Why no decision could be used."""
    reasons = "; ".join(f"{n} {why}" for why, n in sorted(counts.left_out.items(), key=lambda each: -each[1]))
    lost = f"; {files.damaged} files could not be read" if files.damaged else ""
    return (
        f"No decision of endpoint '{endpoint}' can be used for '{metric}': {counts.decisions} in this time"
        f"{f' ({reasons})' if reasons else ''}{lost}. Widen the time, or wait for outcomes."
    )
