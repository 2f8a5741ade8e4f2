"""The page of reliability: whether the confidences of each strategy come true, and fitting calibrations again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import limits
from quorate.console.parts.looking import Looking, problem_of
from quorate.console.selection.reliability_words import calibration, diagram, points, supply, verdict
from quorate.console.session import Session

EVERY_S = 15.0
PATIENCE_S = 30.0
"""Seconds that control may take: it reads thousands of decisions."""
COLUMNS = (
    Column("Confidence"),
    Column("Its mean", "figure"),
    Column("Right, with 95 % interval"),
    Column("Rows", "figure"),
)


class ReliabilityPage:
    """One open page about one endpoint; ``now`` is monotonic seconds."""

    def __init__(self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float]) -> None:
        self._apis, self._session = apis, session
        self._here = f"/v1/endpoints/{endpoint}"
        Node("h1", "", f"Do the confidences of {endpoint} come true?")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        self._boards: dict[str, StrategyBoard] = {}
        with Node("div", "board", data_testid="reliability") as self._board:
            pass

    async def _look(self) -> str:
        path, key = f"{self._here}/reliability", self._session.key
        found = await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))
        names = [each["strategy"] for each in found["strategies"]]
        if names != [*self._boards]:
            self._board.clear()
            with self._board:
                self._boards = {name: StrategyBoard(number, name, self._refit) for number, name in enumerate(names)}
        for each in found["strategies"]:
            self._boards[each["strategy"]].show(each)
        return f"Looked at every {EVERY_S:g} s. Decisions for which a caller chose the strategy are left out."

    async def _refit(self, strategy: str) -> str:
        """Ask for it; what came of it in words."""
        try:
            done = await self._apis.control.send(
                "POST", f"{self._here}/strategies/{strategy}/refit", self._session.key, timeout_s=PATIENCE_S
            )
        except (ControlGone, ControlRefused) as error:
            return problem_of(error)
        self._apis.drop(f"{self._here}/reliability", self._session.key)
        await self.looking.again()
        return (
            f"Revision {done['revision']} serves version {done['version']} of {done['state']}, fitted on "
            f"{words.counted(done['rows'], 'row')}: on held-out rows the error is {points(done['after']['value'])}; "
            f"it was {points(done['before']['value'])}."
        )


class StrategyBoard:
    """One strategy: verdict, diagram, bins, calibration. ``refit(strategy)`` fits it again and says what came of it."""

    def __init__(self, number: int, strategy: str, refit: Callable[[str], Awaitable[str]]) -> None:
        self._strategy, self._asked, self._enough = strategy, refit, False
        with Node("section", "card", aria_labelledby=f"strategy-{number}", data_strategy=strategy):
            Node("h2", "", strategy, id=f"strategy-{number}")
            self._verdict = Node("p", "lead", words.DASH, data_testid="verdict")
            self._picture = Picture()
            with Node("details"):
                Node("summary", "", "The same as a table")
                self._table = Table(f"Bins of {strategy}", COLUMNS, empty="No rows yet.")
            self._calibration = Node("p", "quiet note", words.DASH, data_testid="calibration")
            with Node("div", "tools", hidden=True) as self._tools:
                self._button = Node("button", "small", "Fit again", type="button", data_testid="refit")
                self._button.on("click", self._refit, [])
                self._supply = Node("span", "quiet note", words.DASH)
            self._said = Node("p", "note", "", role="status", data_testid="refit-said")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it from what control tells."""
        rows = f" From {words.counted(found['rows'], 'row')}." if found["rows"] else ""
        self._verdict.say(verdict(found) + rows)
        self._picture.show(diagram(found))
        self._table.show([_line(each) for each in found["bins"]])
        self._calibration.say(calibration(found))
        refit = found["refit"]
        self._tools.put(hidden=refit is None)
        if refit is not None:
            self._supply.say(supply(refit))
            self._enough = refit["rows"] >= refit["needed"]
            self._button.put(disabled=not self._enough)

    async def _refit(self) -> None:
        self._button.put(disabled=True)
        self._said.say("Fitting …")
        try:
            self._said.say(await self._asked(self._strategy))
        finally:
            self._button.put(disabled=not self._enough)


def _line(found: Mapping[str, Any]) -> Line:
    start, stop, right = found["from"], found["to"], found["accuracy"]
    between = limits(start, stop, words.percent)
    return Line(
        f"{start:.6f}",
        [
            between,
            words.percent(found["confidence"]),
            Cell(
                words.percent(right),
                limits(found["low"], found["high"], words.percent),
                span=(found["low"], right, found["high"], None),
            ),
            f"{found['rows']:,}",
        ],
    )
