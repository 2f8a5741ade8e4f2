"""The page of the frontier: what accuracy a cascade has at which cost, beside everybody it could be compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.chart import Dot, Series, chart, fitting
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.table import Cell, Column, Line, Table, spans
from quorate.console.evidence.wording import limits
from quorate.console.parts.looking import Looking
from quorate.console.selection.choice import Choice
from quorate.console.selection.frontier_words import KINDS, cost, kept, promise, stages
from quorate.console.session import Session

EVERY_S = 10.0
PATIENCE_S = 8.0
CASCADE = "cascade"
MANY = (CASCADE, "threshold")
"""Kinds of which there is a point for every price, or threshold."""

NONE = "No strategy of this endpoint is a cascade."


class FrontierPage:
    """One open page about one endpoint; ``now`` is monotonic seconds."""

    def __init__(self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float]) -> None:
        self._apis, self._session = apis, session
        self._path = f"/v1/endpoints/{endpoint}"
        with Node("div", "heading"):
            Node("h1", "", f"Accuracy against cost: {endpoint}")
            self._strategy = Choice("Strategy", self._other, "strategy")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        self._none = Node("p", "quiet", "", hidden=True, data_testid="nothing")
        with Node("div", "board", hidden=True) as self._board:
            self._frontier = FrontierBoard()
            self._stages = StagesBoard()
            self._costs = CostsBoard()

    async def _other(self, _: str) -> None:
        await self.looking.again()

    async def _look(self) -> str:
        served = (await self._read(self._path))["served"] or {"strategies": []}
        names = [each["name"] for each in served["strategies"] if each["kind"] == CASCADE]
        if not names:
            return self._nothing(NONE)
        name = next((each for each in names if each == self._strategy.value), names[0])
        self._strategy.offer([(each, each) for each in names], name)
        try:
            found = await self._read(f"{self._path}/strategies/{name}/frontier")
        except ControlRefused as error:
            if error.status not in (404, 409):
                raise
            return self._nothing(error.message)
        self._none.put(hidden=True)
        self._board.put(hidden=False)
        for board in (self._frontier, self._stages, self._costs):
            board.show(found)
        return f"Looked at every {EVERY_S:g} s."

    def _nothing(self, why: str) -> str:
        self._board.put(hidden=True)
        self._none.say(why)
        self._none.put(hidden=False)
        return f"Looked at every {EVERY_S:g} s."

    async def _read(self, path: str) -> Any:
        key, control = self._session.key, self._apis.control
        return await self._apis.shared((path, key), lambda: control.get(path, key, timeout_s=PATIENCE_S))


class FrontierBoard:
    """The frontier as a picture and as a table; the promise, and whether it is kept."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="frontier-title"):
            Node("h2", "", "The frontier", id="frontier-title")
            self._promise = Node("p", "said", " ", data_testid="promise")
            self._kept = Node("p", "", " ", data_testid="kept")
            self._picture = Picture()
            columns = [Column("What"), Column("Kind", "text"), Column("Mean cost of a row", "figure")]
            self._table = Table("Frontier", [*columns, Column("Accuracy, with 95 % interval")])
            Node("p", "quiet note", "Measured on held-out rows when the cascade was fitted; costs are those of then.")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it."""
        self._promise.say(promise(found))
        self._kept.say(kept(found))
        points = sorted(found["frontier"], key=lambda each: (each["cost"], each["accuracy"]))
        self._picture.show(picture(points, found) if points else "")
        points.sort(key=_usual)
        places = spans([(each["low"], each["accuracy"], each["high"]) for each in points], zero=False)
        lines = []
        for number, (each, place) in enumerate(zip(points, places, strict=True)):
            name = f"{each['name']} (chosen)" if each["chosen"] else each["name"]
            accuracy = Cell(
                words.percent(each["accuracy"]), limits(each["low"], each["high"], words.percent), span=place
            )
            price = cost(each["cost"], found["unit"])
            kind = KINDS.get(each["kind"], each["kind"])
            lines.append(Line(f"{number} {each['name']}", [name, kind, price, accuracy]))
        self._table.show(lines)
        chosen = next((line.key for line, each in zip(lines, points, strict=True) if each["chosen"]), None)
        self._table.mark(chosen)


def _usual(point: Mapping[str, Any]) -> bool:
    """Whether it is one of many: what was chosen, and what it is compared with, come first in the table."""
    return point["kind"] in MANY and not point["chosen"]


def picture(points: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """Accuracy by cost: a line a kind, the chosen point, and what is expected and promised."""
    unit = found["unit"]
    kinds = [kind for kind in KINDS if any(each["kind"] == kind for each in points)]
    kinds += sorted({each["kind"] for each in points} - {*KINDS})
    series = [Series(kind, [_dot(each, unit) for each in points if each["kind"] == kind]) for kind in kinds]
    chosen = [each for each in points if each["chosen"]]
    if chosen:
        series.append(Series("chosen", [_dot(each, unit) for each in chosen]))
    wanted = found["promise"].get("accuracy")
    level = [] if wanted is None else [(wanted, "promised")]
    bounds = [value for each in points for value in (each["low"], each["accuracy"], each["high"]) if value is not None]
    y = fitting([*bounds, *(value for value, _ in level)], lambda v: f"{v * 100:.4g} %", lowest=0.0, highest=1.0)
    x = fitting([each["cost"] for each in points] + [0.0], lambda v: cost(v, unit), lowest=0.0)
    told = [f"{each['name']} {words.percent(each['accuracy'])} at {cost(each['cost'], unit)}" for each in chosen]
    label = f"Accuracy by mean cost of a row, of {words.listed(kinds)}" + (f"; chosen: {told[0]}" if told else "")
    return chart(series, x, y, label=f"{label}. The table below has all points.", lines=level)


def _dot(each: Mapping[str, Any], unit: str) -> Dot:
    interval = limits(each["low"], each["high"], words.percent)
    says = f"{each['name']}: {words.percent(each['accuracy'])} ({interval}) at {cost(each['cost'], unit)}"
    return Dot(each["cost"], each["accuracy"], each["low"], each["high"], says)


class StagesBoard:
    """How many rows reach each stage: expected, and really."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="stages-title"):
            Node("h2", "", "Rows that reach a stage", id="stages-title")
            columns = [Column("Stage"), Column("Members", "text"), Column("Expected", "figure")]
            self._table = Table("Stages", [*columns, Column("Served", "figure")])

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it."""
        self._table.show(
            [Line(str(number), [str(number), *cells]) for number, cells in enumerate(stages(found), start=1)]
        )


class CostsBoard:
    """What each member costs, and what was expected of the whole."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="costs-title"):
            Node("h2", "", "What a row costs", id="costs-title")
            self._table = Table("Costs", [Column("Member"), Column("Cost", "figure")])
            self._expected = Node("p", "quiet note", " ", data_testid="expected")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it."""
        costs, expected = found["costs"], found["expected"]
        lines = [Line(name, [name, cost(costs[name], found["unit"])]) for name in costs]
        if found.get("stage"):
            lines.append(Line("each stage", ["each stage, besides", cost(found["stage"], found["unit"])]))
        self._table.show(lines)
        value, low, high = expected.get("accuracy") or (None, None, None)
        interval = limits(low, high, words.percent)
        accuracy = words.percent(value) + (f" ({interval})" if interval else "")
        price = cost(expected.get("cost"), found["unit"])
        self._expected.say(f"Expected of the cascade: an accuracy of {accuracy} at a mean cost of {price}.")
