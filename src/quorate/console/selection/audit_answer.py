"""The answer of one pool audit: what goes and what that comes to, members, pairs, headroom, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console.elements import Node
from quorate.console.evidence.questions import QuestionCard, fill
from quorate.console.evidence.replay_words import briefly
from quorate.console.evidence.table import Column, Line, Table
from quorate.console.selection import audit_words as say


class AuditAnswer(QuestionCard):
    """A card that shows one audit."""

    def _sentences(self) -> Sequence[Node]:
        self._check = Node("p", "", "", data_testid="audit-check")
        self._write = Node("p", "quiet", "")
        return self._check, self._write

    def _parts(self) -> Node:
        with Node("div", "audit-parts") as parts:
            self._tables()
        return parts

    def _asked(self, found: Mapping[str, Any]) -> tuple[str, str]:
        return f"Audit of {found['name']}", say.about(found["question"])

    def _tables(self) -> None:
        Node("h3", "", "What each member is worth")
        self._members = Table(
            "Members",
            [
                Column("Member"), Column("What is recommended", "text"), Column("Shapley value"),
                Column("The pool gains by it"), Column("Alone"), Column("Cost", "figure"),
            ],
        )  # fmt: skip
        self._worth = Node("p", "quiet note", "")
        self._matrix = Matrix()
        with Node("div", "pair"):
            with Node("div"):
                Node("h3", "", "One after the other, on rows that the search did not see")
                columns = [Column("Step"), Column("Left pool"), Column("Gain over all"), Column("Within margin")]
                self._steps = Table("Steps", columns, empty="No member could leave.")
            with Node("div"):
                Node("h3", "", "Headroom")
                columns = [Column("Who answers"), Column("Metric"), Column("A perfect choice gains")]
                self._headroom = Table("Headroom", columns)
                Node("h3", "", "Decisions that were not used")
                self._left = Table("Left out", [Column("Because"), Column("Decisions", "figure")], empty="None.")
                Node("h3", "", "What must hold")
                self._assumed = Node("ul", "plain")

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self._said.say(answer["summary"][0])
        self._check.say(say.check_sentence(answer))
        written = answer["recommended"]["strategy"]
        self._write.put(hidden=written is None)
        if written is not None:
            self._write.say(f"As a strategy in quorate.yaml: {briefly(written)}.")
        fill(self._assumed, answer["assumptions"])
        self._members.show(say.member_lines(answer))
        drawn = ""
        if answer["orders"] is not None:
            drawn = f" Shapley values are from {answer['orders']} pairs of drawn orders."
        self._worth.say(
            "Gains are positive where the pool is better with the member; intervals of a column hold together at 95 %. "
            f"Shapley values add up to what the pool is ahead of answering without any member.{drawn}"
        )
        self._matrix.show(answer)
        self._steps.show(say.step_lines(answer))
        self._headroom.show(say.headroom_lines(answer))
        counts = answer["counts"]
        left = {} if counts is None else counts["left_out"]
        self._left.show([Line(why, [why, f"{n:,}"]) for why, n in sorted(left.items(), key=lambda each: -each[1])])


class Matrix:
    """How alike every two members are, by one measure at a time."""

    def __init__(self) -> None:
        self._answer: Mapping[str, Any] | None = None
        self._measure = ""
        with Node("div", "heading"):
            Node("h3", "", "How alike the members are")
            self._choice = Node("select", "", aria_label="Measure", data_testid="measure")
            self._choice.on("change", self._chosen, js_handler="(event) => emit(event.target.value)")
        with Node("div", "scroll", tabindex="0", role="region", aria_label="Table: Redundancy"):
            self._table = Node("table", "matrix", data_testid="redundancy")
        self._note = Node("p", "quiet note", "")
        self._offered: tuple[str, ...] = ()

    def show(self, answer: Mapping[str, Any]) -> None:
        """Fill it."""
        self._answer = answer
        known = say.measures(answer)
        if tuple(known) != self._offered:
            self._offered = tuple(known)
            self._choice.clear()
            with self._choice:
                for name, title in known.items():
                    Node("option", "", title, value=name)
        if self._measure not in known:
            self._measure = next(iter(known))
        self._draw()

    def _chosen(self, event: Any) -> None:
        if self._answer is not None and event.args in say.measures(self._answer):
            self._measure = event.args
            self._draw()

    def _draw(self) -> None:
        if self._answer is None:
            return
        names, measure = say.names(self._answer), self._measure
        pairs = {(p["first"], p["second"]): p for p in self._answer["pairs"]}
        self._table.clear()
        with self._table:
            with Node("thead"), Node("tr"):
                with Node("th", "", "", scope="col"):
                    Node("span", "unseen", "Member")
                for name in names:
                    Node("th", "figure", name, scope="col")
            with Node("tbody"):
                for one in names:
                    with Node("tr"):
                        Node("th", "", one, scope="row")
                        for other in names:
                            _cell(pairs.get((one, other)) or pairs.get((other, one)), measure)
        self._note.say(_NOTES[measure if measure != "disagreement" or "q" in self._offered else "distance"])


_NOTES = {
    "q": "1: they err on the same rows; 0: independently; negative: each where the other does not.",
    "disagreement": "The share of rows that one of the two gets right and the other wrong.",
    "double_fault": "The share of rows that both get wrong.",
    "correlation": "1: their errors go together; 0: independently.",
    "distance": "How far the two answers are apart, on average.",
}


def _cell(pair: Mapping[str, Any] | None, measure: str) -> None:
    if pair is None:
        Node("td", "figure quiet", "·")
        return
    figure, told = say.pair_words(pair, measure)
    found = pair[measure]
    shade = say.shade(measure, None if found is None else found["value"])
    Node("td", f"figure shade{shade}", figure, title=told)
