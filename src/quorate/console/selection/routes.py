"""The routes of the pages of selection."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from nicegui import ui
from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.parts.frame import frame
from quorate.console.parts.looking import Looking
from quorate.console.selection.frontier import FrontierPage
from quorate.console.selection.regret import RegretPage
from quorate.console.selection.tabs import PLACE, tabs
from quorate.console.selection.trust import TrustPage
from quorate.console.session import Session

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
Make = Callable[[Session, str], Looking]
PAGE_TIMEOUT_S = 10.0


def selection_pages(
    app: FastAPI,
    apis: Apis,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """Trust, regret and frontier, behind one place in the navigation."""

    async def opened(name: str, request: Request, client: Client, endpoint: str | None, make: Make) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, chosen = found
        reloading(session, client)
        with frame(PLACE, [each.name for each in endpoints], chosen, logged_in=session.key is not None):
            tabs(name, chosen)
            if chosen:
                await make(session, chosen).again()
            else:
                nothing()
        return None

    @app.get("/selection")
    async def selection(endpoint: str | None = None) -> Response:
        """The first of the pages."""
        return RedirectResponse(PLACE + (f"?{urlencode({'endpoint': endpoint})}" if endpoint else ""), 307)

    @ui.page(PLACE, title="Who is trusted – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def trust(request: Request, client: Client, endpoint: str | None = None) -> Any:
        def make(session: Session, name: str) -> Looking:
            return TrustPage(apis, session, name, time.monotonic).looking

        return await opened("trust", request, client, endpoint, make)

    @ui.page("/selection/regret", title="Regret – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def regret(request: Request, client: Client, endpoint: str | None = None) -> Any:
        def make(session: Session, name: str) -> Looking:
            return RegretPage(apis, session, name, time.monotonic).looking

        return await opened("regret", request, client, endpoint, make)

    @ui.page("/selection/frontier", title="Frontier – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def frontier(request: Request, client: Client, endpoint: str | None = None) -> Any:
        def make(session: Session, name: str) -> Looking:
            return FrontierPage(apis, session, name, time.monotonic).looking

        return await opened("frontier", request, client, endpoint, make)
