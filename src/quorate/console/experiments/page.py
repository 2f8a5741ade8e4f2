"""One experiment: its verdict so far, how far it is, the reports, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from nicegui.client import Client

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments import said
from quorate.console.experiments.actions import Action, Actions, possible
from quorate.console.experiments.manager import manager
from quorate.console.experiments.statistician import registered, statistician
from quorate.console.parts.looking import Looking, problem_of
from quorate.console.session import Session

EVERY_S = 2.0
REPORT_TIMEOUT_S = 30.0
PAUSE = 10.0
"""The report, which has every look, is read again after so many times the time that reading it took, at the soonest."""
READERS = (("manager", "Result"), ("statistician", "Method and data"))


class ExperimentPage:
    """One open page of an experiment, for one kind of reader; :meth:`look` refreshes it."""

    def __init__(
        self,
        apis: Apis,
        session: Session,
        id: str,
        reader: str,
        client: Client,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._apis, self._session, self._client = apis, session, client
        self._path = f"/v1/experiments/{id}"
        self._reader = reader
        self._now, self._wall = now, wall
        self._shown: tuple[int, int] | None = None
        self._again_at = now()
        self._found: dict[str, Any] | None = None
        self._busy = False
        self._head(id)
        self._looking = Looking(self._look, now, every_s=EVERY_S)
        self._told = Node("p", "told-line", "", role="status", data_testid="told", hidden=True)
        self._wrong = Node("p", "problem", "", role="alert", data_testid="problem", hidden=True)
        with Node("section", "card verdict-card", aria_label="Verdict") as self._verdict:
            self._sentence = Node("p", "sentence", "Looking …", data_testid="sentence")
            self._so_far = Node("p", "", "", data_testid="so-far", hidden=True)
            self._warnings = Node("div")
            self._progress()
        with Node("nav", "modes", aria_label="Reports"):
            for name, title in READERS:
                current = {"aria_current": "page"} if name == reader else {}
                Node("a", "", title, href=f"/experiments/{id}?for={name}", **current)
        self._report = Node("div", "parts", data_testid="report")

    def _head(self, id: str) -> None:
        with Node("div", "head"):
            with Node("div"):
                self._name = Node("h1", "", "Experiment")
                with Node("p", "quiet"):
                    self._state = Node("span", "pill", words.DASH)
                    self._about = Node("span", "", "")
            with Node("div", "tools"):
                self._actions = Actions(self._do)
                self._edit = Node("a", "button", "Change it", href=f"/experiments/new?revise={id}", hidden=True)
                Node("a", "button", "Plan one like it", href=f"/experiments/new?like={id}")
        with Node("div", "downloads tools"):
            Node("span", "quiet note", "Download:")
            for kind, title in (
                ("manager", "manager's report"),
                ("statistician", "statistician's report"),
                ("json", "everything as JSON"),
            ):
                Node("a", "", title, href=f"/experiments/{id}/download?as={kind}", download=True)

    def _progress(self) -> None:
        with Node("dl", "progress") as self._far:
            with Node("div"):
                Node("dt", "", "Units with an outcome")
                with Node("dd"):
                    self._units = Node("span", "", words.DASH, data_testid="units")
                    with Node("span", "share", aria_hidden="true"):
                        self._units_fill = Node("span", "fill")
            with Node("div"):
                Node("dt", "", "Time")
                with Node("dd"):
                    self._days = Node("span", "", words.DASH)
                    with Node("span", "share", aria_hidden="true"):
                        self._days_fill = Node("span", "fill")
            with Node("div"):
                Node("dt", "", "Looks")
                with Node("dd"):
                    self._looks = Node("span", "", words.DASH, data_testid="looks")

    async def look(self) -> None:
        """Read what is new and show it."""
        await self._looking.again()

    async def _look(self) -> str:
        key, control = self._session.key, self._apis.control
        found = await self._apis.shared((self._path, key), lambda: control.get(self._path, key))
        if self._found is None or found["version"] >= self._found["version"]:
            self._show(found)
        look = found["latest"]
        state = (found["version"], look["number"] if look is not None else 0)
        if state != self._shown and (
            self._now() >= self._again_at or self._shown is None or state[0] != self._shown[0]
        ):
            began = self._now()
            path = f"{self._path}/report"
            # By its state as well: one that was read for the state before would be taken for the newest, and stay.
            raw = await self._apis.shared(
                (path, key, state),
                lambda: control.fetch(path, key, accept="application/json", timeout_s=REPORT_TIMEOUT_S),
            )
            self._again_at = self._now() + PAUSE * (self._now() - began)
            self._shown = state
            self._show_report(decode(raw))
        every = said.span(found["registration"]["look_every_s"] / said.DAY)
        if found["state"] == "running":
            return f"Live: the data are looked at every {every}, this page every {EVERY_S:g} s."
        return f"Live: looked at every {EVERY_S:g} s."

    def _show(self, found: dict[str, Any]) -> None:
        self._found = found
        self._name.say(found["name"])
        state = found["state"]
        self._state.say("Waits for a decision" if state == "decided" else said.STATES[state])
        for name in said.STATES:
            self._state.flag(name, name == state)
        self._about.say(f" {said.metric(found['registration']['metric'])} on {found['endpoint']}")
        self._actions.show(possible(found), busy=self._busy)
        self._edit.put(hidden=state != "registered")
        seen = state == "running" and found["latest"] is not None and not found["latest"]["hidden"]
        self._so_far.put(hidden=not seen)
        self._so_far.say(f"So far, difference of {said.so_far(found)}." if seen else "")
        self._far.put(hidden=state == "registered")
        known, most = said.units(found)
        self._units.say(f"{known:,} of at most {most:,}")
        self._units_fill.grow(known / most)
        self._show_time(found)
        look = found["latest"]
        self._looks.say(f"{look['number']:,}, the newest {said.moment(look['at'])}" if look is not None else "none yet")

    def _show_time(self, found: Mapping[str, Any]) -> None:
        started, most = found["started"], found["registration"]["stop"]["max_days"]
        if started is None:
            return
        gone = ((found["ended"] or self._wall()) - started) / said.DAY
        left = said.days_left(found, self._wall())
        self._days.say(
            f"{said.span(gone)}, {said.span(left)} left" if left is not None else f"{said.span(gone)} in all"
        )
        self._days_fill.grow(gone / most)

    def _show_report(self, report: Mapping[str, Any]) -> None:
        self._sentence.say(report["said"]["sentence"])
        kind = (report["verdict"] or {}).get("verdict", "")
        for tone in ("good", "bad", "warn"):
            self._verdict.flag(tone, said.TONES.get(kind) == tone)
        self._warnings.clear()
        with self._warnings:
            for text in report["said"]["warnings"]:
                Node("p", "warned", text)
            if report["state"] == "decided":
                Node("p", "", _next(report))
        self._report.clear()
        with self._report:
            if self._reader == "statistician":
                statistician(report)
            else:
                manager(report)
                if report["state"] == "registered":
                    registered(report)

    async def _do(self, action: Action) -> None:
        if self._busy or self._found is None:
            return
        self._busy = True
        self._say("", "")
        self._actions.show(possible(self._found), busy=True)
        path = self._path if action.method == "DELETE" else f"{self._path}/{action.name}"
        try:
            found = await self._apis.control.send(
                action.method, path, self._session.key, version=self._found["version"], timeout_s=REPORT_TIMEOUT_S
            )
        except (ControlGone, ControlRefused) as error:
            self._say("", problem_of(error))
        else:
            if action.method == "DELETE":
                query = urlencode({"endpoint": self._found["endpoint"]})
                self._client.run_javascript(f"location.href = '/experiments?{query}'")
                return
            found["latest"] = self._found["latest"]
            self._say(action.done, "")
            self._show(found)
        finally:
            self._busy = False
            if self._found is not None:
                self._actions.show(possible(self._found))
        await self.look()

    def _say(self, told: str, wrong: str) -> None:
        for node, text in ((self._told, told), (self._wrong, wrong)):
            node.say(text)
            node.put(hidden=not text)


def _next(report: Mapping[str, Any]) -> str:
    if report["registration"]["conclude"] == "auto" and not (report["verdict"] or {}).get("warnings"):
        return "It is carried out by itself in a moment."
    split = "The traffic is still split, though what comes now is no part of the result."
    if (report["verdict"] or {}).get("verdict") == "better":
        return f"{split} Promote the winner, or keep what was served before."
    return f"{split} Keep brings back what was served before."


def decode(raw: bytes) -> dict[str, Any]:
    """A report from its JSON."""
    found: dict[str, Any] = msgspec.json.decode(raw)
    return found
