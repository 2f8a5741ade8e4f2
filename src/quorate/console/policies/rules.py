"""The page of rules: what an endpoint or front decides by, what an example would fire, why a decision went its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quorate.console.apis import Apis
from quorate.console.elements import Node
from quorate.console.parts.looking import Looking
from quorate.console.policies.decided import DecidedBoard
from quorate.console.policies.example import ExampleForm
from quorate.console.policies.rule_boards import RulesBoard
from quorate.console.session import Session

EVERY_S = 5.0
TRY_S = 20.0
"""Seconds that control may take to look into rows."""


class RulesPage:
    """One open page about one endpoint or front."""

    def __init__(self, apis: Apis, session: Session, name: str, now: Callable[[], float]) -> None:
        self._apis = apis
        self._session = session
        self._name = name
        Node("h1", "", f"Rules of {name}")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board"):
            self._rules = RulesBoard()
            self._example = ExampleForm(self._explain)
            DecidedBoard(self._decision)

    async def _look(self) -> str:
        path, key = f"/v1/endpoints/{self._name}/rules", self._session.key
        found = await self._apis.shared((path, key), lambda: self._apis.control.get(path, key))
        self._rules.show(found)
        self._example.ask(found)
        kind = "front" if found["kind"] == "front" else f"policy '{found['policy']}'"
        return f"Live: revision {found['revision']}, {kind}."

    async def _explain(self, example: Mapping[str, Any]) -> Mapping[str, Any]:
        path = f"/v1/endpoints/{self._name}/rules/explain"
        tried: dict[str, Any] = await self._apis.control.send(
            "POST", path, self._session.key, body=example, timeout_s=TRY_S
        )
        return tried

    async def _decision(self, id_: str) -> Mapping[str, Any]:
        found: dict[str, Any] = await self._apis.control.get(f"/v1/decisions/{id_}", self._session.key)
        return found
