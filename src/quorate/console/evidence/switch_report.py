"""The report of a switch, and of one that is planned: the same quantities before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.switch_words import EFFECT, GROUPS, amount, change, group, named
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import lasting, sentence, when

TITLES = (EFFECT, *(title for title, _ in GROUPS))


class Quantities:
    """Tables of quantities by what they are about; ``promised`` adds a column of what was expected."""

    def __init__(self, before: str, after: str, *, promised: bool) -> None:
        self._promised = promised
        columns = [Column("Quantity"), Column(before, "figure"), Column(after, "figure"), Column("Difference")]
        if promised:
            columns.append(Column("Promised"))
        self._tables: dict[str, tuple[Node, Table]] = {}
        with Node("div", "pair"):
            for title in TITLES:
                with Node("div") as box:
                    Node("h3", "", title)
                    self._tables[title] = (box, Table(title, columns))

    def show(self, found: Sequence[Mapping[str, Any]], promised: Sequence[Mapping[str, Any]] = ()) -> None:
        """Fill them."""
        expected = {each["name"]: each for each in promised}
        for title, (box, table) in self._tables.items():
            mine = [each for each in found if group(each["name"]) == title]
            box.put(hidden=not mine)
            table.show([self._line(each, expected.get(each["name"])) for each in mine])

    def _line(self, each: Mapping[str, Any], expected: Mapping[str, Any] | None) -> Line:
        unit = each["unit"]
        cells: list[Cell | str] = [
            named(each["name"]),
            _known(each["before"], unit),
            _known(each["after"], unit),
            change(each),
        ]
        if self._promised:
            cells.append(words.DASH if expected is None else _expected(expected))
        return Line(each["name"], cells)


def _known(value: float | None, unit: str) -> Cell:
    return Cell(words.DASH, "", "quiet") if value is None else Cell(amount(value, unit))


def _expected(each: Mapping[str, Any]) -> str:
    if each["change"] is not None:
        return amount(each["change"], each["unit"], signed=True)
    return amount(each["after"], each["unit"]) if each["after"] is not None else words.DASH


class PlanReport:
    """What a switch would cost and bring."""

    def __init__(self) -> None:
        with Node("div", "made", hidden=True, data_testid="planned") as self._box:
            self._said = Node("p", "said", "", role="status")
            self._quantities = Quantities("Now", "Expected", promised=False)
            self._notes = Node("ul", "plain quiet")

    def wait(self) -> None:
        """One is made: combiners are run on recorded outputs, which takes a moment."""
        self._box.put(hidden=False)
        self._said.say("Working it out from the decisions of the last week …")
        self._quantities.show([])
        _fill(self._notes, [])

    def give_up(self) -> None:
        """None could be made."""
        self._box.put(hidden=True)

    def show(self, made: Mapping[str, Any]) -> None:
        """Show a plan."""
        self._box.put(hidden=False)
        self._said.say(sentence(made["summary"]))
        self._quantities.show(made["quantities"])
        _fill(self._notes, made["notes"])


class SwitchReport:
    """What a switch cost and brought."""

    def __init__(self) -> None:
        self._shown: Mapping[str, Any] | None = None
        with Node("section", "card", aria_labelledby="switch-title", hidden=True, data_testid="switch") as self._card:
            self._title = Node("h2", "", "", id="switch-title", tabindex="-1")
            self._what = Node("p", "quiet note", " ")
            self._said = Node("p", "said", "", role="status")
            self._promised = Node("p", "", "", data_testid="promised")
            with Node("dl", "declared two") as self._times:
                self._before = _time("Before")
                self._after = _time("After")
            self._quantities = Quantities("Before", "After", promised=True)
            self._warm_title = Node("h3", "", "How it took effect")
            columns = [Column("Worker"), Column("First answer after", "figure"), Column("Still as before at", "figure")]
            self._warm = Table("Warm-up", columns)
            Node("h3", "", "What must be known to read this")
            self._notes = Node("ul", "plain quiet")

    def wait(self, number: str) -> None:
        """Another switch is looked up."""
        self._shown = None
        self._title.say(f"Switch {number}")
        self._said.say("Looking …")

    def show(self, found: Mapping[str, Any] | None) -> None:
        """Show a report; None where there is no switch."""
        self._card.put(hidden=found is None)
        if found is None or found == self._shown:
            return
        self._shown = found
        self._title.say(f"Switch {found['number']}: what it cost and brought")
        self._what.say(f"{when(found['at'])}: {sentence(found['what'])}")
        self._said.say(sentence(found["summary"]))
        promised = found["promised"]
        self._promised.put(hidden=promised is None)
        if promised is not None:
            self._promised.say(
                f"Planned {when(promised['made'])} by {promised['author']}: {sentence(promised['summary'])}"
            )
        for place, each in ((self._before, found["before"]), (self._after, found["after"])):
            place.say(_window(each))
        self._times.put(hidden=not found["quantities"])
        self._quantities.show(found["quantities"], promised["quantities"] if promised else ())
        self._warm_title.put(hidden=not found["warm_up"])
        self._warm.show([_warming(each) for each in found["warm_up"]])
        _fill(self._notes, found["notes"])


def _time(title: str) -> Node:
    with Node("div"):
        Node("dt", "", title)
        return Node("dd", "", words.DASH)


def _window(each: Mapping[str, Any]) -> str:
    judged = max(each["judged_rows"].values(), default=0)
    return (
        f"{when(each['since'])}, for {lasting(each['until'] - each['since'])}: "
        f"{words.counted(each['requests'], 'request')}, {words.counted(judged, 'row')} with an outcome"
    )


def _warming(each: Mapping[str, Any]) -> Line:
    still = each["still_before_s"]
    seen = words.DASH if still is None else lasting(still)
    return Line(str(each["worker"]), [f"worker {each['worker']}", lasting(each["first_answer_s"]), seen])


def _fill(place: Node, said: Sequence[str]) -> None:
    place.clear()
    place.put(hidden=not said)
    with place:
        for each in said:
            Node("li", "", each)
