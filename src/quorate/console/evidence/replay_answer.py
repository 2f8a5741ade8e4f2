"""The answer of one replay: what came of it, what it rests on, and what to beware of; or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.questions import QuestionCard, fill
from quorate.console.evidence.replay_words import ESTIMATORS, METHODS, candidate, headline, resting, times
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import difference, limits, value


class ReplayAnswer(QuestionCard):
    """A card that shows one replay."""

    def _sentences(self) -> Sequence[Node]:
        self._rests = Node("p", "", "")
        self._method = Node("p", "quiet", "")
        return self._rests, self._method

    def _parts(self) -> Node:
        with Node("div", "pair") as pair:
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
        return pair

    def _asked(self, found: Mapping[str, Any]) -> tuple[str, str]:
        return f"What if {candidate(found['question'])}?", times(found["question"])

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self._said.say(headline(answer))
        self._rests.say(resting(answer))
        self._method.say(f"{METHODS[answer['method']]} Interval: {answer['interval']}.")
        fill(self._assumed, answer["assumptions"])
        checks = [*_checks(answer), *_files(answer["files"])]
        fill(self._checks, checks)
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
