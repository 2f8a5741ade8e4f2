"""The answer of one replay: what came of it, what it rests on, and what to beware of; or why there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.replay_words import (
    ESTIMATORS,
    METHODS,
    OPEN,
    STATES,
    candidate,
    headline,
    resting,
    times,
)
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import difference, lasting, limits, value, when

FOCUS = "document.getElementById('answer-title')?.focus()"


class ReplayAnswer:
    """A card that shows one replay; ``cancel`` stops it and returns what went wrong, in words."""

    def __init__(self, cancel: Callable[[str], Awaitable[str]]) -> None:
        self._cancel = cancel
        self._id = ""
        self._last: tuple[Any, ...] | None = None
        with Node("section", "card", aria_labelledby="answer-title", hidden=True, data_testid="replay") as self._card:
            self._title = Node("h2", "", "", id="answer-title", tabindex="-1")
            self._about = Node("p", "quiet note", " ")
            self._said = Node("p", "said", "", role="status", data_testid="replay-said")
            self._rests = Node("p", "", "")
            self._method = Node("p", "quiet", "")
            with Node("div", "tools") as self._tools:
                self._stop = Node("button", "", "Stop this replay", type="button").on("click", self._stopped, [])
            self._problem = Node("p", "problem", role="alert")
            self._warnings = Node("ul", "problems", data_testid="replay-warnings")
            with Node("div", "pair") as self._pair:
                with Node("div"):
                    self._estimates_title = Node("h3", "", "Three ways to estimate it")
                    columns = [Column("Method"), Column("Would have been"), Column("Difference")]
                    self._estimates = Table("Estimates", columns)
                    self._checks_title = Node("h3", "", "Checks")
                    self._checks = Node("ul", "plain")
                with Node("div"):
                    Node("h3", "", "Decisions that were not used")
                    self._left = Table("Left out", [Column("Because"), Column("Decisions", "figure")], empty="None.")
                    Node("h3", "", "What must hold")
                    self._assumed = Node("ul", "plain")

    def focus(self) -> None:
        """Bring it to who has chosen it."""
        self._card.client.run_javascript(FOCUS)

    async def _stopped(self) -> None:
        self._stop.put(disabled=True)
        self._problem.say(await self._cancel(self._id))

    def show(self, found: Mapping[str, Any] | None) -> None:
        """Show a replay; None where there is none."""
        self._card.put(hidden=found is None)
        if found is None:
            return
        if found["id"] != self._id:
            self._id = found["id"]
            self._problem.say("")
        state, answer, error = found["state"], found["answer"], found["error"]
        shown = (found["id"], state)
        if shown == self._last:
            return
        self._last = shown
        self._title.say(f"What if {candidate(found['question'])}?")
        asked = f"Asked {when(found['created'])} by {found['author']}: {times(found['question'])}."
        took = "" if answer is None else f" It took {lasting(answer['seconds'])}."
        self._about.say(asked + took)
        self._tools.put(hidden=state not in OPEN)
        self._stop.put(disabled=False)
        self._said.flag("refused", error is not None)
        self._rests.put(hidden=answer is None)
        self._method.put(hidden=answer is None)
        self._pair.put(hidden=answer is None)
        if answer is None:
            self._fill(self._warnings, [])
            self._said.say(f"No answer: {error['message']}" if error else f"This replay {STATES.get(state, state)}.")
        else:
            self._answer(answer)

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self._said.say(headline(answer))
        self._rests.say(resting(answer))
        self._method.say(f"{METHODS[answer['method']]} Interval: {answer['interval']}.")
        self._fill(self._warnings, answer["warnings"], "warn")
        self._fill(self._assumed, answer["assumptions"])
        checks = [*_checks(answer), *_files(answer["files"])]
        self._fill(self._checks, checks)
        self._checks_title.put(hidden=not checks)
        left = sorted(answer["counts"]["left_out"].items(), key=lambda each: -each[1])
        self._left.show([Line(why, [why, f"{count:,}"]) for why, count in left])
        text, change = value(answer["metric"]), difference(answer["metric"])
        self._estimates_title.put(hidden=not answer["estimates"])
        self._estimates.show(
            [
                Line(
                    each["method"],
                    [
                        Cell(each["method"].upper(), ESTIMATORS[each["method"]]),
                        Cell(text(each["value"]["value"]), limits(each["value"]["low"], each["value"]["high"], text)),
                        Cell(
                            change(each["difference"]["value"]),
                            limits(each["difference"]["low"], each["difference"]["high"], change),
                        ),
                    ],
                )
                for each in answer["estimates"]
            ]
        )

    def _fill(self, place: Node, said: Sequence[str], classes: str = "") -> None:
        place.clear()
        place.put(hidden=not said)
        with place:
            for each in said:
                Node("li", classes, each)


def _checks(answer: Mapping[str, Any]) -> list[str]:
    counts, overlap = answer["counts"], answer["overlap"]
    said = []
    if answer["reproduced"]:
        differing = f"{answer['differing']:,} of them not bit for bit" if answer["differing"] else "all bit for bit"
        said.append(
            f"{words.counted(answer['reproduced'], 'row')} that it had answered live came out again, {differing}."
        )
    if counts["degraded"] or counts["fell_back"]:
        said.append(f"Among the used, {counts['degraded']:,} were degraded and {counts['fell_back']:,} fell back.")
    if overlap is not None and answer["method"] != "exact":
        if overlap["mean_weight"] is not None:
            error = overlap["mean_weight_error"]
            chance = "" if error is None else f" ± {error:.3f}"
            said.append(f"The mean weight is {overlap['mean_weight']:.3f}{chance}; it should be 1 but for chance.")
        share = overlap["largest_share"]
        part = "" if share is None else f", {words.percent(share)} of all"
        said.append(f"The largest weight is {overlap['largest_weight']:.3g}{part}.")
        if overlap["smallest_propensity"] is not None:
            said.append(f"The smallest propensity is {overlap['smallest_propensity']:.3g}.")
    return said


def _files(files: Mapping[str, Any]) -> list[str]:
    return [f"{files['compacted']:,} compacted and {words.counted(files['segments'], 'other file')} were read."]
