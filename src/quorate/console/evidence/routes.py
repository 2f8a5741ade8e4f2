"""The routes of the pages of evidence, and what their forms and links need besides."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from nicegui import ui
from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.evidence.captured import CapturedPage
from quorate.console.evidence.importing import ImportForm
from quorate.console.evidence.outcomes import OutcomesPage
from quorate.console.evidence.replays import ReplayPage
from quorate.console.evidence.switches import SwitchesPage
from quorate.console.parts.frame import frame
from quorate.console.parts.looking import refused
from quorate.console.session import Session, Sessions
from quorate.errors import QuorateError
from quorate.web.limits import ClientDisconnected, read_body

Opened = tuple[Session, tuple[Endpoint, ...], str] | Response
PAGE_TIMEOUT_S = 10.0
TOLD_EVERY_S = 3.0
MAX_IMPORT = 64 * 1024 * 1024
"""Bytes of a file of outcomes; the command takes larger ones."""


def evidence_pages(
    app: FastAPI,
    apis: Apis,
    sessions: Sessions,
    open_page: Callable[[Request, str | None], Awaitable[Opened]],
    reloading: Callable[[Session, Client], None],
    nothing: Callable[[], None],
) -> None:
    """Outcomes, replay, switches and captured data."""
    imports: dict[str, tuple[Session, ImportForm]] = {}

    async def opened(place: str, request: Request, client: Client, endpoint: str | None, build: Build) -> Any:
        found = await open_page(request, endpoint)
        if isinstance(found, Response):
            return found
        session, endpoints, name = found
        reloading(session, client)
        with frame(place, [each.name for each in endpoints], name, logged_in=session.key is not None):
            chosen = next((each for each in endpoints if each.name == name), None)
            if chosen is None:
                nothing()
            else:
                await build(session, chosen)
                if not chosen.told:
                    _until_told(apis, session, client)
        return None

    @ui.page("/outcomes", title="Outcomes – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def outcomes(request: Request, client: Client, endpoint: str | None = None, period: str = "week") -> Any:
        async def build(session: Session, chosen: Endpoint) -> None:
            page = OutcomesPage(apis, session, chosen.name, period, time.monotonic, time.time)
            name = secrets.token_urlsafe(16)
            with page.below:
                imports[name] = session, ImportForm(f"/import/{name}", client)
            client.on_delete(lambda: imports.pop(name, None))
            await page.looking.again()

        return await opened("/outcomes", request, client, endpoint, build)

    @ui.page("/replay", title="Replay – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def replay(request: Request, client: Client, endpoint: str | None = None) -> Any:
        async def build(session: Session, chosen: Endpoint) -> None:
            await ReplayPage(apis, session, chosen, time.monotonic).looking.again()

        return await opened("/replay", request, client, endpoint, build)

    @ui.page("/switches", title="Switches – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def switches(request: Request, client: Client, endpoint: str | None = None) -> Any:
        async def build(session: Session, chosen: Endpoint) -> None:
            await SwitchesPage(apis, session, chosen, time.monotonic).looking.again()

        return await opened("/switches", request, client, endpoint, build)

    @ui.page("/captures", title="Captured data – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def captures(request: Request, client: Client, endpoint: str | None = None) -> Any:
        async def build(session: Session, chosen: Endpoint) -> None:
            await CapturedPage(apis, session, chosen, time.monotonic, time.time).looking.again()

        return await opened("/captures", request, client, endpoint, build)

    @app.get("/datasets/{id}")
    async def download(request: Request, id: str) -> Response:
        """A data set's file, as control hands it out."""
        session = sessions.find(request.cookies.get(sessions.cookie))
        if session is None:
            return RedirectResponse("/login", 303)
        if not re.fullmatch("[0-9a-f]{32}", id):
            return PlainTextResponse("There is no such data set.", 404)
        try:
            pieces = await apis.control.pieces(f"/v1/datasets/{id}/file", session.key)
        except ControlGone:
            return PlainTextResponse("Control is not reachable; try once more in a moment.", 503)
        except ControlRefused as error:
            return PlainTextResponse(refused(error), error.status)
        named = {"content-disposition": f'attachment; filename="{id}.zip"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=named)

    @app.post("/import/{page}")
    async def take(request: Request, page: str) -> Response:
        """Take a file of outcomes; what becomes of it is told over the page's socket."""
        session, form = imports.get(page, (None, None))
        if session is None or form is None:
            return JSONResponse({"detail": "The page is not known any more; load it again."}, 410)
        if session is not sessions.find(request.cookies.get(sessions.cookie)):
            return JSONResponse({"detail": "You are logged out."}, 401)
        length = dict(request.scope["headers"]).get(b"content-length")
        try:
            body = await read_body(request.receive, limit=MAX_IMPORT, content_length=length)
        except ClientDisconnected:
            return Response(status_code=400)
        except QuorateError as error:
            return JSONResponse({"detail": f"{error.message} Larger files: quorate outcomes import."}, 413)
        wrong = await form.take(body, dict(request.query_params), apis.client(session.key))
        return JSONResponse({"detail": wrong}, 422 if wrong else 200)


def _until_told(apis: Apis, session: Session, client: Client) -> None:
    """Load the page again once control tells of strategies and members what it could not when it was opened."""

    async def look() -> None:
        opens = (await apis.doors(session.key)).control
        if opens is not None:
            timer.deactivate()
        if opens:
            client.run_javascript("location.reload()")

    timer = ui.timer(TOLD_EVERY_S, look)


Build = Callable[[Session, Endpoint], Awaitable[None]]
