"""The overview: how an endpoint does, looked at again every two seconds, every figure in a place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quorate.console import words
from quorate.console.apis import Apis
from quorate.console.elements import Node
from quorate.console.experiments.board import ExperimentBoard
from quorate.console.parts.boards import LearnerBoard, MembersBoard, ProblemsBoard, StrategiesBoard, TrafficBoard
from quorate.console.parts.coverage import CoverageBoard
from quorate.console.parts.looking import Looking
from quorate.console.session import Session

EVERY_S = 2.0
TILES = (
    ("requests", "Requests"),
    ("p50", "Median latency"),
    ("p95", "95th percentile"),
    ("p99", "99th percentile"),
    ("errors", "Errors"),
    ("degraded", "Degraded"),
)


class Watch:
    """One open overview: :meth:`look` refreshes it, keeps what it last knew, and says when that was."""

    def __init__(self, apis: Apis, session: Session, endpoint: str, now: Callable[[], float]) -> None:
        self._apis = apis
        self._session = session
        self._endpoint = endpoint
        Node("h1", "unseen", f"How {endpoint} does")
        self._looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("dl", "tiles"):
            self._tiles = {key: _tile(title) for key, title in TILES}
        with Node("div", "board"):
            self._problems = ProblemsBoard()
            self._traffic = TrafficBoard()
            self._strategies = StrategiesBoard()
            self._learner = LearnerBoard()
            self._coverage = CoverageBoard()
            self._experiment = ExperimentBoard(endpoint)
            self._members = MembersBoard()

    async def look(self) -> None:
        """Read the overview and show it."""
        await self._looking.again()

    async def _look(self) -> str:
        key, path = self._session.key, f"/v1/endpoints/{self._endpoint}/overview"
        found = await self._read(path, key)
        learner = await self._read(f"/v1/endpoints/{self._endpoint}/learner", key) if found["learns"] else None
        experiments = await self._read(f"/v1/experiments?endpoint={self._endpoint}&limit=20", key)
        coverage = await self._read(f"/v1/endpoints/{self._endpoint}/coverage", key)
        self._show(found)
        self._learner.show(learner, found["now"])
        self._coverage.show(coverage)
        self._experiment.show(experiments, found["now"])
        return f"Live: the last {found['minutes']} minutes, looked at every {EVERY_S:g} s."

    async def _read(self, path: str, key: str | None) -> Any:
        return await self._apis.shared((path, key), lambda: self._apis.control.get(path, key))

    def _show(self, found: dict[str, Any]) -> None:
        requests = found["requests"]
        last = found["timeline"][-2:]
        figures = {
            "requests": (f"{requests:,}", f"{sum(minute['requests'] for minute in last):,} in the last two minutes"),
            "p50": (words.milliseconds(found["p50_ms"]), "inside the server"),
            "p95": (words.milliseconds(found["p95_ms"]), ""),
            "p99": (words.milliseconds(found["p99_ms"]), ""),
            "errors": (f"{found['errors']:,}", _share(found["errors"], requests)),
            "degraded": (f"{found['degraded']:,}", _share(found["degraded"], requests)),
        }
        for key, (figure, note) in figures.items():
            value, small = self._tiles[key]
            value.say(figure)
            small.say(note or " ")
        self._problems.show(found["problems"])
        self._traffic.show(found["timeline"])
        self._strategies.show(found["strategies"], found["chosen_by_caller"])
        self._members.show(found["members"])


def _share(part: int, whole: int) -> str:
    return words.percent(part / whole) if whole else " "


def _tile(title: str) -> tuple[Node, Node]:
    with Node("div", "card tile"):
        Node("dt", "", title)
        value = Node("dd", "", words.DASH)
        small = Node("dd", "small", " ")
    return value, small
