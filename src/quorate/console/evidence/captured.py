"""Captured data: what is kept of inputs, the data sets made of it, and erasing one subject."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node
from quorate.console.evidence.capture_boards import DeclaredBoard, HeldBoard
from quorate.console.evidence.dataset_board import DatasetBoard
from quorate.console.evidence.erasure_board import ErasureBoard
from quorate.console.evidence.outcomes import settings
from quorate.console.parts.looking import Looking
from quorate.console.session import Session

EVERY_S = 3.0
PATIENCE_S = 10.0


class CapturedPage:
    """One open page; ``now`` is monotonic, ``wall`` the time of day, both in seconds."""

    def __init__(
        self,
        apis: Apis,
        session: Session,
        endpoint: Endpoint,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._apis, self._session, self._endpoint, self._wall = apis, session, endpoint, wall
        Node("h1", "", f"Captured data of {endpoint.name}")
        Node(
            "p",
            "quiet lead",
            "Inputs are kept only where quorate.yaml declares it. Raw inputs are personal data more often than not: "
            "keep the smallest share that serves, and days, not years.",
        )
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board"):
            self._declared = DeclaredBoard()
            self._held = HeldBoard()
            self._datasets = DatasetBoard(endpoint, self._send)
            self._erasures = ErasureBoard(endpoint, self._send)

    async def _look(self) -> str:
        history, held, datasets, erasures = await asyncio.gather(
            self._read(f"/v1/endpoints/{self._endpoint.name}"),
            self._read("/v1/captures"),
            self._read("/v1/datasets"),
            self._read("/v1/erasures"),
        )
        declared = settings(history)
        mine = next((each for each in held if each["endpoint"] == self._endpoint.name), None)
        self._declared.show(declared.get("capture"), (declared.get("record") or {}).get("redact"), mine, self._wall())
        self._held.show(held, self._endpoint.name)
        self._datasets.show([each for each in datasets if each["endpoint"] == self._endpoint.name])
        self._erasures.show([each for each in erasures if each["endpoint"] == self._endpoint.name])
        return f"Looked at every {EVERY_S:g} s."

    async def _read(self, path: str) -> Any:
        key = self._session.key
        return await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))

    async def _send(self, method: str, path: str, body: Any = None) -> Any:
        """Change something, and look at what became of it."""
        made = await self._apis.control.send(method, path, self._session.key, body=body, timeout_s=PATIENCE_S)
        for changed in ("/v1/datasets", "/v1/erasures"):
            self._apis.drop(changed, self._session.key)
        await self.looking.again()
        return made
