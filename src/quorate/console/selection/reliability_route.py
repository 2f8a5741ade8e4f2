"""The route of the page of reliability."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from nicegui import ui
from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.parts.frame import frame
from quorate.console.selection.reliability import ReliabilityPage
from quorate.console.selection.tabs import tabs
from quorate.console.session import Session

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
PAGE_TIMEOUT_S = 10.0
PLACE = "/selection/trust"
"""Selection's place in the navigation."""


def reliability_page(
    apis: Apis,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """Whether confidences come true."""

    @ui.page("/selection/reliability", title="Reliability – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def reliability(request: Request, client: Client, endpoint: str | None = None) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, name = found
        reloading(session, client)
        with frame(PLACE, [each.name for each in endpoints], name, logged_in=session.key is not None):
            tabs("reliability", name or None)
            if name:
                page = ReliabilityPage(apis, session, name, time.monotonic)
                ui.timer(0, page.looking.again, once=True)  # it may take longer than a page may
            else:
                nothing()
        return None
