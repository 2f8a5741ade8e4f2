"""Pool audit: ask what the members are worth, follow it, read what can go and what that saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.table import Column, Table
from quorate.console.parts.looking import Looking, refused
from quorate.console.selection.audit_answer import AuditAnswer
from quorate.console.selection.audit_form import AuditForm
from quorate.console.selection.audit_words import OPEN, line
from quorate.console.session import Session

EVERY_S = 2.0
PATIENCE_S = 10.0
REMEMBERED = 100
"""Audits of all endpoints that are looked at."""
PATH = f"/v1/pool-audits?limit={REMEMBERED}"
EMPTY = "No audit was asked for yet. Say above what may be lost, and which decisions count."
COLUMNS = (
    Column("Audit"),
    Column("What came of it", "text"),
    Column("Saves"),
    Column("Gain, replayed"),
    Column("Rows", "figure"),
)


class AuditPage:
    """One open page; ``now`` is monotonic seconds. The newest audit is shown until another one is chosen."""

    def __init__(self, apis: Apis, session: Session, endpoint: Endpoint, now: Callable[[], float]) -> None:
        self._apis, self._session, self._endpoint = apis, session, endpoint
        self._found: dict[str, Mapping[str, Any]] = {}
        self._shown: str | None = None
        self._chosen = False
        Node("h1", "", f"What the members of {endpoint.name} are worth")
        Node(
            "p",
            "quiet lead",
            "Recorded outputs are combined anew without this member or that one. Half of the decisions say which can "
            "go, the other half checks it. No model is run and nothing is changed.",
        )
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board one"):
            self._form = AuditForm(endpoint, self._ask)
            with Node("section", "card", aria_labelledby="audits-title"):
                Node("h2", "", "Audits", id="audits-title")
                self._table = Table("Audits", COLUMNS, empty=EMPTY, on_pick=self._pick)
            self._answer = AuditAnswer(self._cancel)

    async def _look(self) -> str:
        key = self._session.key
        found = await self._apis.shared((PATH, key), lambda: self._apis.control.get(PATH, key, timeout_s=PATIENCE_S))
        mine = [each for each in found if each["name"] == self._endpoint.name]
        self._found = {each["id"]: each for each in mine}
        self._table.show([line(each) for each in mine])
        if self._shown not in self._found or not self._chosen:
            self._shown = mine[0]["id"] if mine else None
        self._show()
        waiting = sum(each["state"] in OPEN for each in found)
        if not waiting:
            return "No audit is under way."
        return f"{waiting} under way; one runs at a time, with the lowest priority."

    def _pick(self, audit_id: str) -> None:
        self._shown, self._chosen = audit_id, True
        self._show()
        self._answer.focus()

    def _show(self) -> None:
        self._table.mark(self._shown)
        self._answer.show(self._found.get(self._shown or ""))

    async def _ask(self, asked: Mapping[str, Any]) -> None:
        body = {"name": self._endpoint.name, **asked}
        made = await self._apis.control.send(
            "POST", "/v1/pool-audits", self._session.key, body=body, timeout_s=PATIENCE_S
        )
        self._shown, self._chosen = made["id"], False
        self._apis.drop(PATH, self._session.key)
        await self.looking.again()

    async def _cancel(self, audit_id: str) -> str:
        try:
            await self._apis.control.send("DELETE", f"/v1/pool-audits/{audit_id}", self._session.key)
        except ControlRefused as error:
            return refused(error)
        self._apis.drop(PATH, self._session.key)
        await self.looking.again()
        return ""
