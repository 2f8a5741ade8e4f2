"""The routes of the pages of policies."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request, Response
from nicegui import ui
from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.parts.frame import frame
from quorate.console.policies.decision import DecisionPage
from quorate.console.policies.learner import LearnerPage
from quorate.console.policies.rules import RulesPage
from quorate.console.session import Session

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
PAGE_TIMEOUT_S = 10.0


def policy_pages(
    apis: Apis,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """Rules, of endpoints and fronts; one decision; learners."""

    @ui.page("/rules", title="Rules – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def rules(request: Request, client: Client, endpoint: str | None = None) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, name = found
        reloading(session, client)
        fronts = await _fronts(apis, session)
        if endpoint is not None and endpoint in fronts:
            name = endpoint
        with frame("/rules", [*(each.name for each in endpoints), *fronts], name, logged_in=session.key is not None):
            if name:
                await RulesPage(apis, session, name, time.monotonic).looking.again()
            else:
                nothing()
        return None

    @ui.page("/decision", title="One decision – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def decision(request: Request, client: Client, id: str | None = None) -> Any:
        found = await open_page(request, None)
        if isinstance(found, Response):
            return found
        session, _, name = found
        reloading(session, client)
        with frame("/decision", [], name, logged_in=session.key is not None, chooses=False):
            await DecisionPage(apis, session).begin(id)
        return None

    @ui.page("/learner", title="Learner – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def learner(request: Request, client: Client, endpoint: str | None = None) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, name = found
        reloading(session, client)
        with frame("/learner", [each.name for each in endpoints], name, logged_in=session.key is not None):
            if name:
                await LearnerPage(apis, session, name, client, time.monotonic, time.time).looking.again()
            else:
                nothing()
        return None


async def _fronts(apis: Apis, session: Session) -> Sequence[str]:
    """The names of all fronts; none where control does not tell, which the page then says."""
    path, key = "/v1/endpoints", session.key
    try:
        listed = await apis.shared((path, key), lambda: apis.control.get(path, key))
    except (ControlGone, ControlRefused):
        return []
    return [front["name"] for front in listed["fronts"]]
