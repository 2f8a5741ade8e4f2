"""Control as pages see it, without a server: answers that a test gives, and what was asked."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from nicegui import Client
from nicegui.page import page

REPORT = json.loads((Path(__file__).parent / "report.json").read_text("utf-8"))
"""A decided experiment of a real server, as control reports it; three of its looks."""


class Apis:
    """Stands in for control: ``answers`` by method and path, an exception is raised; ``asked`` is what came."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any, int | None]] = []
        self.control = SimpleNamespace(get=self.get, send=self.send, fetch=self.fetch)

    async def shared(self, what: Any, look: Callable[[], Awaitable[Any]]) -> Any:
        return await look()

    async def get(self, path: str, key: str | None) -> Any:
        return self._answer(f"GET {path}")

    async def fetch(self, path: str, key: str | None, *, accept: str, timeout_s: float) -> bytes:
        return json.dumps(self._answer(f"GET {path}")).encode()

    async def send(
        self, method: str, path: str, key: str | None, *, body: Any = None, version: int | None = None, timeout_s: float
    ) -> Any:
        self.asked.append((f"{method} {path}", body, version))
        return self._answer(f"{method} {path}")

    def _answer(self, what: str) -> Any:
        found = self.answers[what]
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)


@pytest.fixture
def apis() -> Apis:
    return Apis()


@pytest.fixture
def report() -> dict[str, Any]:
    return copy.deepcopy(REPORT)


@pytest.fixture
def on_page() -> Callable[[Callable[[Any], Any]], Any]:
    """``on_page(scenario)`` runs ``async scenario(client)`` on a page of its own, whose scripts are kept."""

    def run(scenario: Callable[[Any], Any]) -> Any:
        async def inside() -> Any:
            client = Client(page("/"), request=None)
            client.scripts = []  # type: ignore[attr-defined]
            client.run_javascript = client.scripts.append  # type: ignore[method-assign, assignment, attr-defined]
            with client:
                found = await scenario(client)
            client.delete()
            return found

        return asyncio.run(inside())

    return run


@pytest.fixture
def experiment() -> Callable[..., dict[str, Any]]:
    """``experiment(**changes)``: that of the report, as lists and its own route show it."""
    return _experiment


@pytest.fixture
def said() -> Callable[[Any], str]:
    """``said(node)``: all that a node says and does not hide, in one text."""
    return lambda node: "\n".join(_texts(node))


def _experiment(**changes: Any) -> dict[str, Any]:
    report = copy.deepcopy(REPORT)
    names = ("id", "name", "endpoint", "state", "author", "created", "started", "ended", "registration", "verdict")
    found = {name: report[name] for name in (*names, "conclusion", "base_revision", "revision")}
    return {**found, "version": 3, "latest": report["looks"][-1], **changes}


def _texts(node: Any) -> Iterator[str]:
    if node.props.get("hidden") or node.tag == "dialog":
        return
    if getattr(node, "text", ""):
        yield node.text
    for child in node.default_slot.children:
        yield from _texts(child)
