"""The page of trust: whose word counts where, now, and how that moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from quorate.console.apis import Apis
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.chart import Axis, Dot, Series, chart
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.wording import when
from quorate.console.parts.looking import Looking
from quorate.console.selection.choice import Choice
from quorate.console.selection.shares import OTHERS, Field, Group, SharesTable, foremost, gathered
from quorate.console.selection.times import times
from quorate.console.selection.trust_words import MEANS, described, lead, left_out
from quorate.console.session import Session
from quorate.console.words import percent

EVERY_S = 5.0
PATIENCE_S = 8.0
"""Seconds that control may take; fewer than a page may take to open."""
NARROW = 5
"""So many members beside the groups fit into half of the page."""
LINES, POINTS = 6, 80
"""Experts whose trust is drawn over time, and points of each, at most."""


class TrustPage:
    """One open page about one endpoint; ``now`` is monotonic seconds."""

    def __init__(self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float]) -> None:
        self._apis, self._session, self._endpoint = apis, session, endpoint
        with Node("div", "heading"):
            Node("h1", "", f"Who is trusted where: {endpoint}")
            with Node("div", "tools"):
                self._strategy = Choice("Strategy", self._other_strategy, "strategy")
                self._by = Choice("Rows by", self._other_way, "by")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        self._none = Node("p", "quiet", "", hidden=True, data_testid="nothing")
        with Node("div", "", hidden=True) as self._all:
            self._lead = Node("p", "lead", " ", data_testid="lead")
            with Node("div", "board"):
                self._overall = OverallBoard()
                self._groups = GroupsBoard()
                self._moved = MovedBoard()
            self._left = Node("p", "quiet note", " ", data_testid="left-out")

    async def _other_strategy(self, _: str) -> None:
        self._by.value = None
        await self.looking.again()

    async def _other_way(self, _: str) -> None:
        await self.looking.again()

    async def _look(self) -> str:
        path, key, control = "", self._session.key, self._apis.control
        try:
            while path != self._path():  # somebody may choose anew meanwhile
                path = self._path()
                found = await self._apis.shared((path, key), partial(control.get, path, key, timeout_s=PATIENCE_S))
        except ControlRefused as error:
            if error.status not in (404, 409, 422):
                raise
            self._strategy.value = self._by.value = None  # it may be gone since it was chosen
            self._all.put(hidden=True)
            self._none.say(error.message)
            self._none.put(hidden=False)
        else:
            self._show(found)
        return f"Looked at every {EVERY_S:g} s."

    def _path(self) -> str:
        asked = {"strategy": self._strategy.value, "by": self._by.value}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"/v1/endpoints/{self._endpoint}/trust" + (f"?{query}" if query else "")

    def _show(self, found: Mapping[str, Any]) -> None:
        self._none.put(hidden=True)
        self._all.put(hidden=False)
        listed = [(each["name"], f"{each['name']} ({each['kind']})") for each in found["strategies"]]
        self._strategy.offer(listed, found["strategy"])
        self._by.offer([(way["by"], f"by {way['title']}") for way in found["ways"]], found["by"])
        self._lead.say(lead(found))
        self._overall.show(found)
        self._groups.show(found)
        self._moved.show(found)
        self._left.say(left_out(found["left_out"]) or " ")


class OverallBoard:
    """Each member's share, or the trust in each expert."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="overall-title"):
            self._title = Node("h2", "", "Over all rows", id="overall-title")
            self._table = SharesTable("Overall")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it."""
        experts = found["experts"]
        shares = found["overall"] if experts is None else experts["trust"]
        self._title.say("Over all rows" if experts is None else "Trust now")
        if found["means"] == "answered":  # these do not add up to one whole
            self._table.show({name: shares[name] for name in foremost(shares)}, "Member", MEANS["answered"])
        else:
            kind = "Member" if experts is None else "Expert"
            self._table.show(gathered(shares, foremost(shares)), kind, MEANS[found["means"]])


class GroupsBoard:
    """The shares by groups of rows; hidden where the combiner trusts alike everywhere."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="groups-title") as self._card:
            self._title = Node("h2", "", "By group", id="groups-title")
            self._field = Field("Shares by group")

    def show(self, found: Mapping[str, Any]) -> None:
        """Draw the field."""
        self._card.put(hidden=not found["groups"])
        if not found["groups"]:
            return
        way = next((each["title"] for each in found["ways"] if each["by"] == found["by"]), found["by"])
        self._title.say(f"By {way}")
        names = foremost(found["overall"])
        self._card.flag("wide", len(names) > NARROW)
        whole = found["means"] == "answered"
        groups = [
            Group(each["name"], each["rows"], each["shares"] if whole else gathered(each["shares"], names))
            for each in found["groups"]
        ]
        more = not whole and len(found["overall"]) > len(names)
        self._field.show(f"{way[:1].upper()}{way[1:]}", [*names, OTHERS] if more else names, groups)


class MovedBoard:
    """Trust in the foremost experts over time; hidden where there is no such history."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="moved-title", hidden=True) as self._card:
            Node("h2", "", "How trust moved", id="moved-title")
            self._picture = Picture()
            Node("p", "quiet note", "A point is what was known after a minute in which something was learned (UTC).")

    def show(self, found: Mapping[str, Any]) -> None:
        """Draw the lines."""
        experts = found["experts"]
        history = [] if experts is None else experts["history"]
        self._card.put(hidden=len(history) < 2)
        if len(history) >= 2:
            self._picture.show(over_time(history, foremost(experts["trust"], LINES)))


def over_time(history: list[Mapping[str, Any]], names: list[str]) -> str:
    """The chart of the trust in ``names``, by time; of many points every so many are drawn, the newest always."""
    history = history[::-1][:: -(-len(history) // POINTS)][::-1]
    lines = [
        Series(
            name,
            [
                Dot(each["at"], each["trust"].get(name, 0.0), None, None,
                    f"{name}, {when(each['at'])}: {percent(each['trust'].get(name, 0.0))}")
                for each in history
            ],
        )
        for name in names
    ]  # fmt: skip
    y = Axis(0.0, 1.0, [(share, f"{share * 100:.0f} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    return chart(lines, times(history[0]["at"], history[-1]["at"]), y, label=described(names, history))
