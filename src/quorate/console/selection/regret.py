"""The page of regret: what choosing has cost, against everybody who could have answered alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.chart import Axis, Dot, Series, chart, fitting
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import limits, when
from quorate.console.parts.looking import Looking
from quorate.console.selection.regret_words import UNITS, amount, bound, known, promised, signed, verdict
from quorate.console.selection.times import times
from quorate.console.selection.trust_words import left_out
from quorate.console.session import Session

EVERY_S = 10.0
PATIENCE_S = 8.0
POINTS = 60
LINES = 5
"""Others that are drawn, those with the least loss."""
BASIS = {"known": "known", "estimate": "estimated", "unknown": "not known"}


class RegretPage:
    """One open page about one endpoint; ``now`` is monotonic seconds."""

    def __init__(self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float]) -> None:
        self._apis, self._session = apis, session
        self._path = f"/v1/endpoints/{endpoint}/regret?points={POINTS}"
        Node("h1", "", f"Regret over time: {endpoint}")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        self._none = Node("p", "quiet", "", hidden=True, data_testid="nothing")
        with Node("div", "board", hidden=True) as self._board:
            self._served = ServedBoard()
            with Node("div", "wide combiners") as self._place:
                pass
        self._combiners: dict[str, CombinerBoard] = {}

    async def _look(self) -> str:
        key, control = self._session.key, self._apis.control
        try:
            found = await self._apis.shared(
                (self._path, key), lambda: control.get(self._path, key, timeout_s=PATIENCE_S)
            )
        except ControlRefused as error:
            if error.status not in (404, 409):
                raise
            self._board.put(hidden=True)
            self._none.say(error.message)
            self._none.put(hidden=False)
        else:
            self._show(found)
        return f"Looked at every {EVERY_S:g} s."

    def _show(self, found: Mapping[str, Any]) -> None:
        self._none.put(hidden=True)
        self._board.put(hidden=False)
        self._served.show(found)
        names = [each["strategy"] for each in found["combiners"]]
        if names != [*self._combiners]:
            self._place.clear()
            with self._place:
                self._combiners = {name: CombinerBoard(name, number) for number, name in enumerate(names)}
        for each in found["combiners"]:
            self._combiners[each["strategy"]].show(each)


class ServedBoard:
    """What was served against each strategy and member."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="served-title"):
            Node("h2", "", "What was served, against each alone", id="served-title")
            self._said = Node("p", "said", " ", data_testid="verdict")
            self._bound = Node("p", "", "", hidden=True, data_testid="bound")
            self._picture = Picture()
            columns = [Column("Who"), Column("What"), Column("Lost", "figure"), Column("Served lost more by", "figure")]
            self._table = Table("Losses", [*columns, Column("Loss is")])
            self._note = Node("p", "quiet note", " ", data_testid="known")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it."""
        self._said.say(verdict(found))
        self._bound.say(bound(found))
        self._bound.put(hidden=found["bound"] is None)
        self._picture.show(over_rows(found) if len(found["points"]) > 1 and found["best"] is not None else "")
        self._table.show([Line(each["name"], _cells(each)) for each in found["others"]])
        self._note.say(" ".join(filter(None, (known(found), left_out(found["left_out"])))) or " ")


def _cells(other: Mapping[str, Any]) -> list[Cell | str]:
    tone = "" if other["regret"] is None or other["basis"] != "known" else "worse" if other["regret"] > 0 else "better"
    return [
        other["name"],
        other["kind"],
        Cell(amount(other["loss"]), limits(other["low"], other["high"], amount)),
        Cell(signed(other["regret"]), classes=tone if other["regret"] else ""),
        BASIS[other["basis"]],
    ]


def over_rows(found: Mapping[str, Any]) -> str:
    """By how much more was lost than by each alone, by rows; and by the best so far, which is the regret."""
    points = found["points"]
    ranked = _distinct([each["name"] for each in found["others"] if each["basis"] != "unknown"], points)[:LINES]
    lines = [Series(name, [_dot(p, p["served"] - p["others"][name], name) for p in points]) for name in ranked]
    lines.append(Series("the best so far", [_dot(p, p["regret"], "regret") for p in points]))
    values = [dot.y for line in lines for dot in line.dots]
    most = points[-1]["rows"]
    y = fitting([*values, 0.0], signed)
    marks = _counts(most)
    x = Axis(points[0]["rows"], most, [(count, f"{count:,}") for count in marks if count >= points[0]["rows"]])
    label = (
        f"How much more what was served had lost than {words.listed(ranked)} alone would have, by rows; at the end a "
        f"regret of {amount(found['regret'])}. The table below has what each would have lost."
    )
    return chart(lines, x, y, label=label, lines=[(0.0, "no difference")])


def _distinct(names: Sequence[str], points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Without those that lost exactly what one before them did, such as the only member of a strategy."""
    by: dict[tuple[float, ...], str] = {}
    for name in names:
        by.setdefault(tuple(point["others"][name] for point in points), name)
    return list(by.values())


def _dot(point: Mapping[str, Any], value: float, name: str) -> Dot:
    return Dot(
        point["rows"], value, None, None, f"{name}, {point['rows']:,} rows, {when(point['at'])}: {signed(value)}"
    )


def _counts(most: int) -> list[int]:
    """A few round numbers of rows up to ``most``."""
    unit = 10 ** (len(str(most)) - 1)
    step = next(step for step in (unit // 5, unit // 2, unit, 2 * unit) if step and most / step <= 6)
    return [step * number for number in range(1, most // step + 1)]


class CombinerBoard:
    """A combiner that learns: its regret and its bound over time, and what its experts have lost."""

    def __init__(self, name: str, number: int) -> None:
        own = f"combiner-{number}"
        with Node("section", "card", aria_labelledby=own, data_combiner=name):
            Node("h2", "", f"{name} against its experts", id=own)
            self._said = Node("p", "said", " ")
            self._picture = Picture()
            columns = [Column("Expert"), Column("Trust now", "figure"), Column("Lost", "figure")]
            self._table = Table(f"Experts of {name}", columns)
            Node(
                "p",
                "quiet note",
                "The bound is about drawing an expert by the trust. What is served is the label that the trust elects, "
                "or the mean that it weighs, which is mostly better and, against an adversary, can err twice as often.",
            )

    def show(self, combiner: Mapping[str, Any]) -> None:
        """Fill it."""
        self._said.say(promised(combiner))
        told = [point for point in combiner["points"] if point["regret"] is not None]
        self._picture.show(against_bound(combiner, told) if len(told) > 1 else "")
        self._table.show(
            [
                Line(each["name"], [each["name"], words.percent(each["trust"]), amount(each["loss"])])
                for each in combiner["experts"]
            ]
        )


def against_bound(combiner: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """The chart of a combiner's regret and of its certificate, by time."""
    lines = [
        Series(
            "regret against the best expert so far",
            [
                Dot(p["at"], p["regret"], None, None, f"{when(p['at'])}: {signed(p['regret'])} against {p['best']}")
                for p in points
            ],
        ),
        Series(
            "at most, by what was seen",
            [
                Dot(p["at"], p["certificate"], None, None, f"{when(p['at'])}: {amount(p['certificate'])}")
                for p in points
            ],
        ),
    ]
    y = fitting([0.0, *(dot.y for line in lines for dot in line.dots)], signed)
    x = times(points[0]["at"], points[-1]["at"])
    label = (
        f"Regret of {combiner['strategy']} over time in {UNITS[combiner['unit']]}: {amount(combiner['regret'])} at the "
        f"end, where it could be {amount(combiner['certificate'])} at most."
    )
    return chart(lines, x, y, label=label, lines=[(0.0, "none")])
