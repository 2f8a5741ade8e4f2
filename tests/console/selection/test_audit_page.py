"""The page of pool audits without a browser: asked, shown, refused, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from nicegui import Client
from nicegui.page import page

from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlRefused
from quorate.console.selection.audit import AuditPage
from quorate.console.selection.tabs import tabs
from quorate.console.session import Session

from .test_audit_words import answer, audit

HIDDEN = "Endpoint 'e' is under experiment 'trial', which hides its arms until the verdict."


class Server:
    """Answers as control does; ``sent`` is what was asked for."""

    def __init__(self) -> None:
        self.audits: list[dict[str, Any]] = []
        self.sent: list[tuple[str, str, Any]] = []
        self.refuses: ControlRefused | None = None
        self.control = SimpleNamespace(get=self._get, send=self._send)

    async def shared(self, what: Any, look: Callable[[], Any]) -> Any:
        return await look()

    def drop(self, *what: Any) -> None:
        pass

    async def _get(self, path: str, key: str | None, *, timeout_s: float) -> Any:
        return self.audits

    async def _send(self, method: str, path: str, key: str | None, *, body: Any = None, timeout_s: float = 0.0) -> Any:
        self.sent.append((method, path, body))
        if self.refuses is not None:
            raise self.refuses
        return {"id": "2"}


def on_a_page(scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        client = Client(page("/"), request=None)
        with client:
            await scenario(client)
        client.delete()

    asyncio.run(run())


def texts(client: Client) -> str:
    """Everything that the page would show."""
    return " ".join(f"{getattr(e, 'text', '')} {e.props}" for e in client.elements.values())


def opened(server: Server) -> AuditPage:
    endpoint = Endpoint("e", "array", strategies=("mean", "vote"), members=("a", "b", "c"))
    return AuditPage(server, Session("t", None, 0.0), endpoint, lambda: 0.0)  # type: ignore[arg-type]


def test_it_shows_the_newest_audit_and_follows_those_under_way() -> None:
    async def scenario(client: Client) -> None:
        server = Server()
        shown = opened(server)
        await shown.looking.again()
        assert "No audit was asked for yet" in texts(client)
        server.audits = [audit(answer=answer()), audit(id="9", name="other", state="running")]
        await shown.looking.again()
        told = texts(client)
        for said in ("Drop b and c.", "redundant", "harmful", "the best single one", "without c", "1 under way"):
            assert said in told, said
        assert "0.99" in told
        shown._answer._matrix._chosen(SimpleNamespace(args="double_fault"))
        assert "both get wrong" in texts(client)
        shown._answer._matrix._chosen(SimpleNamespace(args="nonsense"))
        assert "both get wrong" in texts(client)

    on_a_page(scenario)


def test_it_asks_and_says_what_is_refused() -> None:
    async def scenario(client: Client) -> None:
        server = Server()
        shown = opened(server)
        typed = {"strategy": "vote", "metric": "accuracy", "margin": "1", "costs": "", "since": None}
        await shown._form._submitted(SimpleNamespace(args=typed))
        body = {"name": "e", "strategy": "vote", "metric": "accuracy", "margin": 0.01}
        assert server.sent == [("POST", "/v1/pool-audits", body)]
        server.refuses = ControlRefused(HIDDEN, 409, path="name")
        await shown._form._submitted(SimpleNamespace(args=typed))
        assert HIDDEN in texts(client)
        await shown._form._submitted(SimpleNamespace(args=typed | {"margin": "x"}))
        assert "'x' is not a number." in texts(client)
        assert HIDDEN not in texts(client)

    on_a_page(scenario)


def test_one_that_runs_can_be_stopped_and_one_that_failed_says_why() -> None:
    async def scenario(client: Client) -> None:
        server = Server()
        server.audits = [audit("running")]
        shown = opened(server)
        await shown.looking.again()
        assert "This audit runs." in texts(client)
        await shown._answer._stopped()
        assert server.sent == [("DELETE", "/v1/pool-audits/1", None)]
        server.audits = [audit("failed", error={"message": "Too few decisions.", "code": "x", "path": None})]
        await shown.looking.again()
        assert "No answer: Too few decisions." in texts(client)

    on_a_page(scenario)


def test_tabs_lead_to_the_five_pages() -> None:
    async def scenario(client: Client) -> None:
        tabs("audit", "e")
        told = texts(client)
        for name in ("trust", "regret", "frontier", "reliability", "audit"):
            assert f"/selection/{name}?endpoint=e" in told
        assert told.count("'aria-current': 'page'") == 1

    on_a_page(scenario)
