"""All experiments: those that run or wait for somebody first, with how far they are and what they say so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.elements import Node
from quorate.console.experiments import said
from quorate.console.parts.looking import Looking
from quorate.console.session import Session

EVERY_S = 3.0
PAGE = 100
FOLLOWED = 40
"""Experiments whose newest look is read; of those that are over the list says enough."""
ACTIVE = ("running", "decided")
ORDER = ("decided", "running", "registered", "ended")
FILTERS = (("", "All"), *((state, said.STATES[state]) for state in ("running", "decided", "registered", "ended")))


class ExperimentsPage:
    """The list; :meth:`look` refreshes it."""

    def __init__(
        self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._apis = apis
        self._session = session
        self._wall = wall
        self._filter = ""
        self._older: list[dict[str, Any]] = []
        self._rows: dict[str, _Row] = {}
        self._found: list[dict[str, Any]] = []
        with Node("div", "head"):
            Node("h1", "", "Experiments")
            Node(
                "a",
                "button primary",
                "Plan an experiment",
                href=f"/experiments/new?{urlencode({'endpoint': endpoint})}",
            )
        self._looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "modes filters", role="group", aria_label="Which experiments", hidden=True) as self._filters:
            self._buttons = {state: self._button(state, title) for state, title in FILTERS}
        self._none = Node("div", "card empty", hidden=True, data_testid="empty")
        with self._none:
            Node("h2", "", "No experiments yet")
            Node(
                "p",
                "",
                "An experiment splits an endpoint's traffic between strategies at random and says, in a verdict that "
                "holds however often one looks, which of them is better. Plan one to see how long it would take; "
                "that starts nothing.",
            )
        self._nobody = Node("p", "quiet note", "None of them is in this state.", hidden=True)
        self._list = Node("ol", "experiments", data_testid="experiments")
        self._more = Node("button", "", "Older ones", type="button", hidden=True)
        self._more.on("click", self._show_older, [])

    def _button(self, state: str, title: str) -> Node:
        button = Node("button", "", title, type="button", aria_pressed="true" if state == "" else "false")
        button.on("click", lambda: self._choose(state), [])
        return button

    async def look(self) -> None:
        """Read the list again and show it."""
        await self._looking.again()

    async def _look(self) -> str:
        newest: list[dict[str, Any]] = await self._get(f"/v1/experiments?limit={PAGE}")
        known = {each["id"] for each in newest}
        older = [each for each in self._older if each["id"] not in known]
        listed = [*newest, *older]
        followed = [each for each in listed if each["state"] in ACTIVE][:FOLLOWED]
        looks = await asyncio.gather(*(self._get(f"/v1/experiments/{each['id']}") for each in followed))
        by_id = {each["id"]: each for each in looks}
        self._more.put(hidden=len(newest) < PAGE or bool(self._older and len(self._older) % PAGE))
        self._found = sorted((by_id.get(each["id"], each) for each in listed), key=_order)
        self._show()
        running = sum(each["state"] == "running" for each in self._found)
        return f"Live: {words.counted(running, 'experiment')} running, looked at every {EVERY_S:g} s."

    async def _get(self, path: str) -> Any:
        key = self._session.key
        return await self._apis.shared((path, key), lambda: self._apis.control.get(path, key))

    async def _show_older(self) -> None:
        oldest = min(self._found, key=lambda each: (each["created"], each["id"]))

        async def look() -> str:
            self._older += await self._get(f"/v1/experiments?limit={PAGE}&before={oldest['id']}")
            return await self._look()

        await self._looking.again(look)

    def _choose(self, state: str) -> None:
        self._filter = state
        for name, button in self._buttons.items():
            button.put(aria_pressed="true" if name == state else "false")
        self._show()

    def _show(self) -> None:
        found = self._found
        self._none.put(hidden=bool(found))
        self._filters.put(hidden=not found)
        for state, title in FILTERS:
            count = sum(each["state"] == state for each in found) if state else len(found)
            self._buttons[state].say(f"{title} {count}")
        ids = [each["id"] for each in found]
        if ids != [*self._rows]:
            self._arrange(found)
        shown = 0
        for each in found:
            row = self._rows[each["id"]]
            row.fill(each, self._wall())
            wanted = self._filter in ("", each["state"])
            row.item.put(hidden=not wanted)
            shown += wanted
        self._nobody.put(hidden=not found or shown > 0)

    def _arrange(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Rows in the order of ``found``; those that are there stay what they are, so that nobody loses their place."""
        ids = {each["id"] for each in found}
        for gone in [name for name in self._rows if name not in ids]:
            self._rows.pop(gone).item.delete()
        kept = self._rows
        self._rows = {}
        for place, each in enumerate(found):
            row = kept.get(each["id"])
            if row is None:
                with self._list:
                    row = _Row(each)
            row.item.move(self._list, place)
            self._rows[each["id"]] = row


def _order(each: Mapping[str, Any]) -> tuple[int, float]:
    return ORDER.index(each["state"]), -float(each["created"])


class _Row:
    def __init__(self, found: Mapping[str, Any]) -> None:
        with Node("li", "card experiment", data_experiment=found["name"]) as self.item:
            with Node("div", "what"):
                self._name = Node("a", "name", "", href=f"/experiments/{found['id']}")
                self._about = Node("p", "quiet note", "")
            with Node("div", "says"):
                self._state = Node("span", "pill", "")
                self._verdict = Node("span", "said", "")
                self._so_far = Node("p", "quiet note", "")
            with Node("div", "far"):
                self._units = Node("span", "", "")
                with Node("span", "share", aria_hidden="true") as self._share:
                    self._fill = Node("span", "fill")
                self._left = Node("p", "quiet note", "")

    def fill(self, found: Mapping[str, Any], now: float) -> None:
        registration = found["registration"]
        self._name.say(found["name"])
        arms = f"{words.listed(registration['treatments'])} against {registration['control']}"
        self._about.say(f"{found['endpoint']} · {arms} · {said.metric(registration['metric'])}")
        state = found["state"]
        self._state.say("Waits for a decision" if state == "decided" else said.STATES[state])
        for name in said.STATES:
            self._state.flag(name, name == state)
        verdict, tone = said.verdict(found)
        self._verdict.say("" if state == "registered" else verdict)
        for name in ("good", "bad", "warn"):
            self._verdict.flag(name, name == tone)
        active = state in ACTIVE
        self._so_far.say(said.so_far(found) if active else _done(found))
        known, most = said.units(found)
        self._units.say(f"{known:,} of {words.counted(most, 'unit')}" if active else "")
        self._share.put(hidden=not active)
        self._fill.grow(known / most)
        left = said.days_left(found, now)
        self._left.say(_when(found) if left is None else f"{said.span(left)} left")


def _done(found: Mapping[str, Any]) -> str:
    if found["state"] == "registered":
        return "Look it over and start it."
    did = {"promote": "The winner was promoted.", "keep": "What was served before was kept."}
    return did.get((found["conclusion"] or {}).get("did", ""), "")


def _when(found: Mapping[str, Any]) -> str:
    if found["state"] == "registered":
        return f"registered {said.moment(found['created'])}"
    lasted = (found["ended"] or found["created"]) - (found["started"] or found["created"])
    return f"ended {said.moment(found['ended'])} after {said.span(lasted / said.DAY)}"
