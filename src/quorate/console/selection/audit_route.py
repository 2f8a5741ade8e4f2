"""The route of the page of pool audits."""

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
from quorate.console.selection.audit import AuditPage
from quorate.console.selection.tabs import PLACE, tabs
from quorate.console.session import Session

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
PAGE_TIMEOUT_S = 10.0


def audit_page(
    apis: Apis,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """Pool audits."""

    @ui.page("/selection/audit", title="Pool audit – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def audit(request: Request, client: Client, endpoint: str | None = None) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, name = found
        reloading(session, client)
        with frame(PLACE, [each.name for each in endpoints], name, logged_in=session.key is not None):
            tabs("audit", name or None)
            chosen = next((each for each in endpoints if each.name == name), None)
            if chosen is None:
                nothing()
            else:
                await AuditPage(apis, session, chosen, time.monotonic).looking.again()
        return None
