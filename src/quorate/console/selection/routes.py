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
from quorate.console.selection.audit import AuditPage
from quorate.console.selection.frontier import FrontierPage
from quorate.console.selection.regret import RegretPage
from quorate.console.selection.reliability import ReliabilityPage
from quorate.console.selection.tabs import PLACE, tabs
from quorate.console.selection.trust import TrustPage
from quorate.console.session import Session

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
Make = Callable[[Session, Endpoint], Looking]
PAGE_TIMEOUT_S = 10.0


def selection_pages(
    app: FastAPI,
    apis: Apis,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """The pages behind one place in the navigation, a tab each."""

    def page(name: str, title: str, make: Make, *, later: bool = False) -> None:
        """A page at ``/selection/NAME``; ``later``: what it shows may take longer than a page may."""

        @ui.page(f"/selection/{name}", title=f"{title} – Quorate", response_timeout=PAGE_TIMEOUT_S)
        async def show(request: Request, client: Client, endpoint: str | None = None) -> Any:
            found = await open_page(request, endpoint)
            if isinstance(found, Response):
                return found
            session, endpoints, chosen = found
            reloading(session, client)
            with frame(PLACE, [each.name for each in endpoints], chosen, logged_in=session.key is not None):
                tabs(name, chosen or None)
                meant = next((each for each in endpoints if each.name == chosen), None)
                if meant is None:
                    nothing()
                elif later:
                    ui.timer(0, make(session, meant).again, once=True)
                else:
                    await make(session, meant).again()
            return None

    @app.get("/selection")
    async def selection(endpoint: str | None = None) -> Response:
        """The first of the pages."""
        return RedirectResponse(PLACE + (f"?{urlencode({'endpoint': endpoint})}" if endpoint else ""), 307)

    now = time.monotonic
    page("trust", "Who is trusted", lambda session, each: TrustPage(apis, session, each.name, now).looking)
    page("regret", "Regret", lambda session, each: RegretPage(apis, session, each.name, now).looking)
    page("frontier", "Frontier", lambda session, each: FrontierPage(apis, session, each.name, now).looking)
    page(
        "reliability",
        "Reliability",
        lambda session, each: ReliabilityPage(apis, session, each.name, now).looking,
        later=True,
    )
    page("audit", "Pool audit", lambda session, each: AuditPage(apis, session, each, now).looking)
