"""Control as the pages of selection see it: answers that a test gives."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from nicegui import Client
from nicegui.page import page

from quorate.console.session import Session

SESSION = Session("t", None, 0.0)


class Apis:
    """Stands in for control: ``answers`` by path without its query, an exception is raised; ``asked`` are the paths."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.control = SimpleNamespace(get=self._get)

    async def shared(self, what: Any, look: Callable[[], Awaitable[Any]]) -> Any:
        return await look()

    async def _get(self, path: str, key: str | None, *, timeout_s: float) -> Any:
        self.asked.append(path)
        found = self.answers[path.partition("?")[0]]
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)


@pytest.fixture
def apis() -> Any:
    return Apis()


@pytest.fixture
def on_page() -> Callable[[Callable[[Any], Any]], Any]:
    """``on_page(scenario)`` runs ``async scenario(client)`` on a page of its own."""

    def run(scenario: Callable[[Any], Any]) -> Any:
        async def inside() -> Any:
            client = Client(page("/"), request=None)
            with client:
                found = await scenario(client)
            client.delete()
            return found

        return asyncio.run(inside())

    return run


def texts(client: Any) -> str:
    """Everything that is shown: texts, charts and attributes of elements that are not hidden, nor inside such ones."""
    said = []
    for element in client.elements.values():
        each, seen = element, True
        while each is not None:
            seen = seen and not each.props.get("hidden")
            each = each.parent_slot.parent if each.parent_slot is not None else None
        if seen:
            said += [getattr(element, "text", ""), getattr(element, "content", ""), str(element.props)]
    return " ".join(map(str, said))


FRONTIER: dict[str, Any] = {
    "endpoint": "e", "strategy": "steps", "unit": "ms", "promise": {"accuracy": 0.9, "risk": 0.05},
    "expected": {"cost": 2.0, "accuracy": [0.913, 0.9, 0.925], "reached": [1.0, 0.25]},
    "costs": {"small": 1.0, "large": 4.0}, "stages": [["small"], ["large"]], "rows": 1200,
    "frontier": [
        {"name": "small", "kind": "cheapest", "cost": 1.0, "accuracy": 0.8, "low": 0.78, "high": 0.82, "chosen": False},
        {"name": "large", "kind": "best", "cost": 4.0, "accuracy": 0.92, "low": 0.9, "high": 0.94, "chosen": False},
        {"name": "all", "kind": "all", "cost": 5.0, "accuracy": 0.93, "low": 0.91, "high": 0.95, "chosen": False},
        {"name": "cascade 1", "kind": "cascade", "cost": 2.0, "accuracy": 0.913, "low": 0.9, "high": 0.925,
         "chosen": True},
        {"name": "cascade 2", "kind": "cascade", "cost": 3.0, "accuracy": 0.92, "low": 0.91, "high": 0.93,
         "chosen": False},
        {"name": "random 25 %", "kind": "random", "cost": 2.0, "accuracy": 0.83, "low": 0.81, "high": 0.85,
         "chosen": False},
        {"name": "oracle", "kind": "oracle", "cost": 1.6, "accuracy": 0.97, "low": 0.96, "high": 0.98, "chosen": False},
    ],
    "served": {"rows": 4000, "cost": 2.2, "reached": [1.0, 0.3]},
}  # fmt: skip
