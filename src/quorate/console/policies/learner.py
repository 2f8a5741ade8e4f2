"""The page of a learner: what a policy has learned, its guard rails, shares over time, reset and warm start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.looking import Looking
from quorate.console.policies.beginning import FOCUS, BeginBoard
from quorate.console.policies.learner_boards import ArmsBoard, CombinersBoard, GuardBoard, SharesBoard
from quorate.console.session import Session

EVERY_S = 2.0


class LearnerPage:
    """One open page about one endpoint; ``wall()`` is Unix seconds."""

    def __init__(
        self,
        apis: Apis,
        session: Session,
        endpoint: str,
        client: Client,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._apis = apis
        self._session = session
        self._path = f"/v1/endpoints/{endpoint}/learner"
        self._wall = wall
        Node("h1", "", f"What the policy of {endpoint} has learned")
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board", hidden=True) as self._board:
            self._arms = ArmsBoard()
            self._combiners = CombinersBoard(endpoint)
            self._guard = GuardBoard()
            self._shares = SharesBoard(self.looking.again)

            def focus(id_: str) -> None:
                client.run_javascript(FOCUS.format(id_))

            self._begin = BeginBoard(self._send, wall, focus)

    async def _look(self) -> str:
        try:
            learned = await self._read("")
        except ControlRefused as error:
            if error.status != 404:
                raise
            self._board.put(hidden=True)
            return "The policy of this endpoint does not learn; the page of rules, or the overview, says what it does."
        shares, newest = await asyncio.gather(self._read(f"/shares?hours={self._shares.hours}"), self._newest())
        now = self._wall()
        self._arms.show(learned)
        self._combiners.show(learned.get("combiners", {}))
        self._guard.show(learned, now)
        self._shares.show(shares)
        self._begin.show(learned, newest)
        self._board.put(hidden=False)
        return f"Live: policy '{learned['policy']}', looked at every {EVERY_S:g} s."

    async def _newest(self) -> dict[str, Any] | None:
        try:
            return await self._read("/warm-start")
        except ControlRefused as error:
            if error.status == 404:
                return None
            raise

    async def _read(self, below: str) -> dict[str, Any]:
        path, key = self._path + below, self._session.key
        found: dict[str, Any] = await self._apis.shared((path, key), lambda: self._apis.control.get(path, key))
        return found

    async def _send(self, below: str) -> Any:
        return await self._apis.control.send("POST", self._path + below, self._session.key)
