"""Replay: ask what another strategy or policy would have earned, follow it, read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.replay_answer import ReplayAnswer
from quorate.console.evidence.replay_form import Candidate, ReplayForm
from quorate.console.evidence.replay_words import OPEN, line, scales
from quorate.console.evidence.table import Column, Table
from quorate.console.parts.looking import Looking, refused
from quorate.console.session import Session

EVERY_S = 2.0
PATIENCE_S = 10.0
REMEMBERED = 100
"""Replays of all endpoints that are looked at."""
EMPTY = "No replay was asked for yet. Choose a strategy above, and say which decisions are to be replayed."
COLUMNS = (
    Column("What if"),
    Column("How it stands", "text"),
    Column("Would have been"),
    Column("Was"),
    Column("Difference, with 95 % interval"),
    Column("Decisions", "figure"),
    Column("Effective", "figure"),
)


class ReplayPage:
    """One open page; ``now`` is monotonic seconds. The newest replay is shown until another one is chosen."""

    def __init__(self, apis: Apis, session: Session, endpoint: Endpoint, now: Callable[[], float]) -> None:
        self._apis, self._session, self._endpoint = apis, session, endpoint
        self._found: dict[str, Mapping[str, Any]] = {}
        self._shown: str | None = None
        self._chosen = False
        Node("h1", "", f"Replay of {endpoint.name}")
        Node(
            "p",
            "quiet lead",
            "What would have been if another strategy or policy had been live: recorded outputs are combined anew, or "
            "decisions weighted by how likely they were. No model is run and nothing is changed.",
        )
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board one"):
            self._form = ReplayForm(endpoint, self._ask)
            with Node("section", "card", aria_labelledby="replays-title"):
                Node("h2", "", "Replays", id="replays-title")
                self._table = Table("Replays", COLUMNS, empty=EMPTY, on_pick=self._pick)
            self._answer = ReplayAnswer(self._cancel)

    async def _look(self) -> str:
        key, path = self._session.key, f"/v1/replays?limit={REMEMBERED}"
        found, outcomes = await asyncio.gather(
            self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S)),
            self._metrics(),
        )
        mine = [each for each in found if each["endpoint"] == self._endpoint.name]
        self._form.offer(outcomes)
        self._found = {each["id"]: each for each in mine}
        self._table.show([line(each, place) for each, place in zip(mine, scales(mine), strict=True)])
        if self._shown not in self._found or not self._chosen:
            self._shown = mine[0]["id"] if mine else None
        self._show()
        waiting = sum(each["state"] in OPEN for each in found)
        if not waiting:
            return "No replay is under way."
        return f"{waiting} under way; one runs at a time, with the lowest priority."

    async def _metrics(self) -> list[str]:
        """The rewards that were told of, which are metrics of replays."""
        key, path = self._session.key, f"/v1/endpoints/{self._endpoint.name}/outcomes"
        if self._form.offered:
            return self._form.offered
        found = await self._apis.control.get(path, key, timeout_s=PATIENCE_S)
        return [each["metric"] for each in found["metrics"] if each["metric"] != "truth"]

    def _pick(self, replay_id: str) -> None:
        self._shown, self._chosen = replay_id, True
        self._show()
        self._answer.focus()

    def _show(self) -> None:
        self._table.mark(self._shown)
        self._answer.show(self._found.get(self._shown or ""))

    async def _ask(self, asked: list[Candidate], common: Mapping[str, Any]) -> list[tuple[Candidate, ControlRefused]]:
        """Start a replay of each; those that were refused, with what was said."""
        wrong = []
        for each in asked:
            body = {"endpoint": self._endpoint.name, each.kind: each.what, **common}
            try:
                made = await self._apis.control.send(
                    "POST", "/v1/replays", self._session.key, body=body, timeout_s=PATIENCE_S
                )
            except ControlRefused as error:
                wrong.append((each, error))
            else:
                self._shown, self._chosen = made["id"], False
        self._apis.drop(f"/v1/replays?limit={REMEMBERED}", self._session.key)
        await self.looking.again()
        return wrong

    async def _cancel(self, replay_id: str) -> str:
        try:
            await self._apis.control.send("DELETE", f"/v1/replays/{replay_id}", self._session.key)
        except ControlRefused as error:
            return refused(error)
        self._apis.drop(f"/v1/replays?limit={REMEMBERED}", self._session.key)
        await self.looking.again()
        return ""
