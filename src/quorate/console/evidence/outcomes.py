"""Outcomes: how answers turned out, how complete that is, how late outcomes come, and what they were worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.delay_board import DelayBoard
from quorate.console.evidence.source_boards import CompletenessBoard, ContestedBoard, SourcesBoard
from quorate.console.evidence.time_board import TimeBoard
from quorate.console.evidence.value_board import ValueBoard
from quorate.console.evidence.wording import lasting
from quorate.console.parts.looking import Looking
from quorate.console.session import Session

EVERY_S = 10.0
PATIENCE_S = 15.0
"""Seconds that control may take: it looks through days of decisions."""
POINTS = 30
"""Stretches of time that a chart has at most."""
CONTESTED_EVERY = 6
"""Looks after which contested values are read again, which takes reads of the journal."""
PERIODS = {
    "hour": (3600.0, "the last hour"),
    "day": (86_400.0, "the last 24 hours"),
    "week": (7 * 86_400.0, "the last 7 days"),
    "month": (30 * 86_400.0, "the last 30 days"),
}
CHOOSE = """(event) => {
  const query = new URLSearchParams(location.search);
  query.set('period', event.target.value);
  location.search = query;
}"""
TILES = (("rows", "Rows answered"), ("known", "With a truth"), ("complete", "Complete"), ("half", "Half have it after"))


class OutcomesPage:
    """One open page; ``now`` is monotonic, ``wall`` the time of day, both in seconds."""

    def __init__(
        self,
        apis: Apis,
        session: Session,
        endpoint: str,
        period: str,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._apis, self._session, self._endpoint, self._wall = apis, session, endpoint, wall
        self._looks = 0
        self._length, self._said = PERIODS.get(period, PERIODS["week"])
        with Node("div", "heading"):
            Node("h1", "", f"Outcomes of {endpoint}")
            with Node("select", "", aria_label="Decisions of").on("change", js_handler=CHOOSE):
                for name, (_, title) in PERIODS.items():
                    chosen = {"selected": True} if title == self._said else {}
                    Node("option", "", title, value=name, **chosen)
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("dl", "tiles"):
            self._tiles = {key: _tile(title) for key, title in TILES}
        with Node("div", "board") as self.below:
            self._time = TimeBoard()
            self._complete = CompletenessBoard()
            self._sources = SourcesBoard()
            self._delays = DelayBoard()
            self._value = ValueBoard()
            self._contested = ContestedBoard()

    async def _look(self) -> str:
        since = (self._wall() - self._length) // 60 * 60
        here = f"/v1/endpoints/{self._endpoint}"
        found, revisions = await asyncio.gather(self._read(f"{here}/outcomes?since={since:.0f}"), self._read(here))
        self._tell(found)
        for board in (self._complete, self._delays, self._sources):
            board.show(found)
        declared = settings(revisions)
        try:
            series, report = await asyncio.gather(
                self._read(f"{here}/outcomes/timeline?since={since:.0f}&points={POINTS}"),
                self._read(f"{here}/report?since={since:.0f}"),
            )
        except ControlRefused as error:
            if error.status != 409:
                raise
            self._time.hide(error.message)
            self._value.show(declared.get("value"), None)
        else:
            self._time.show(series, report)
            self._value.show(declared.get("value"), report)
        if self._looks % CONTESTED_EVERY == 0:
            self._contested.show(await self._read(f"{here}/outcomes/contested"))
        self._looks += 1
        return f"Decisions of {self._said}, looked at every {EVERY_S:g} s."

    async def _read(self, path: str) -> Any:
        key = self._session.key
        return await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))

    def _tell(self, found: dict[str, Any]) -> None:
        truth = next((each for each in found["metrics"] if each["metric"] == "truth"), None)
        horizon = lasting(found["horizon_s"])
        figures = {"rows": (f"{found['rows']:,}", f"in {self._said}")}
        if truth is None:
            figures |= dict.fromkeys(("known", "complete", "half"), (words.DASH, "no truth was told"))
        else:
            figures["known"] = (words.percent(truth["share"]), words.counted(truth["known_rows"], "row"))
            figures["complete"] = (words.percent(truth["completeness"]), f"of the truths expected within {horizon}")
            slow = truth["p90_s"]
            later = f"90 % after {lasting(slow)}" if slow is not None else "10 % or more never have one"
            figures["half"] = (lasting(truth["p50_s"]), later if truth["p50_s"] is not None else "half never have one")
        for key, (figure, note) in figures.items():
            self._tiles[key][0].say(figure)
            self._tiles[key][1].say(note)


def settings(history: dict[str, Any]) -> dict[str, Any]:
    """What is declared of an endpoint, as it is served now; of its newest revision where it is served no more."""
    served = history["served"]
    number = served["revision"] if served else None
    found = next((each for each in history["revisions"] if each["number"] == number), history["revisions"][0])
    declared: dict[str, Any] = found["content"].get("endpoint", {})
    return declared


def _tile(title: str) -> tuple[Node, Node]:
    with Node("div", "card tile"):
        Node("dt", "", title)
        figure = Node("dd", "", words.DASH)
        note = Node("dd", "small", " ")
    return figure, note
