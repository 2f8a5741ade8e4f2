"""The page of one decision: who was asked, in which stage, what they said, and why others were not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console.apis import Apis
from quorate.console.elements import Node
from quorate.console.policies.decided import DecidedBoard
from quorate.console.session import Session


class DecisionPage:
    """One open page; any other decision can be looked up on it."""

    def __init__(self, apis: Apis, session: Session) -> None:
        self._apis, self._session = apis, session
        Node("h1", "", "One decision")
        with Node("div", "board"):
            self._board = DecidedBoard(self._find, wide=True)

    async def begin(self, id_: str | None) -> None:
        """Show the one that was asked for, if any was."""
        if id_:
            self._board.fill(id_)
            await self._board.look(id_)

    async def _find(self, id_: str) -> Mapping[str, Any]:
        found: dict[str, Any] = await self._apis.control.get(f"/v1/decisions/{id_}", self._session.key)
        return found
