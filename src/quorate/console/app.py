"""The console's application: its routes and pages, put together."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from nicegui import ui
from nicegui.client import Client

from quorate.client import QuorateClientError
from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node
from quorate.console.evidence.routes import evidence_pages
from quorate.console.experiments.routes import experiment_pages
from quorate.console.gate import Gate
from quorate.console.pages.login import login_page, waiting_page
from quorate.console.pages.overview import Watch
from quorate.console.pages.try_it import Desk
from quorate.console.parts.frame import frame
from quorate.console.policies.routes import policy_pages
from quorate.console.selection.routes import selection_pages
from quorate.console.session import Session, Sessions
from quorate.console.settings import ConsoleSettings
from quorate.console.style import HEAD
from quorate.errors import QuorateError
from quorate.web.limits import ClientDisconnected, read_body

MAX_UPLOAD = 64 * 1024 * 1024
"""Bytes; what the endpoint takes is decided by ``limits.body_bytes``, which its server says in words."""
MAX_LOGIN = 4096
KEY = re.compile("[!-~]{1,512}")
PAGE_TIMEOUT_S = 10.0
"""Seconds until a page must be built: more than it takes to find out that both ports are silent."""
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="13" fill="#3b5bdb"/>'
    '<path d="M9 17l5 5 9-11" fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round"/></svg>'
)


def create_app(settings: ConsoleSettings, *, on_ready: Callable[[], None]) -> Gate:
    """The ASGI application; ``on_ready`` is called once pages can be answered."""
    apis = Apis(settings.inference, settings.control, time.monotonic)
    sessions = Sessions(settings.port, time.monotonic, apis.forget)
    desks: dict[str, tuple[Session, Desk]] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_ready()
        yield
        await apis.aclose()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    login_routes(app, apis, sessions)

    @app.post("/ask/{page}")
    async def ask(
        request: Request, page: str, strategy: str = "", max_ms: str = "", min_confidence: str = "", coverage: str = ""
    ) -> Response:
        """Take an encoded picture, and what was typed of wishes; its answer goes over the page's socket."""
        session, desk = desks.get(page, (None, None))
        if session is None or desk is None:
            return JSONResponse({"detail": "The page is not known any more; it is loaded again."}, 410)
        if session is not sessions.find(request.cookies.get(sessions.cookie)):
            return JSONResponse({"detail": "You are logged out."}, 401)
        try:
            body = await read_body(
                request.receive, limit=MAX_UPLOAD, content_length=_header(request, b"content-length"), encoding=None
            )
        except ClientDisconnected:
            return Response(status_code=400)
        except QuorateError as error:
            return JSONResponse({"detail": error.message}, 413)
        content_type = request.headers.get("content-type", "application/octet-stream")
        wishes = {"max_ms": max_ms, "min_confidence": min_confidence, "coverage": coverage}
        return JSONResponse({"number": await desk.ask_image(body, content_type, strategy, wishes)})

    async def open_page(request: Request, name: str | None) -> tuple[Session, tuple[Endpoint, ...], str] | Response:
        """The session, what it may ask, and which endpoint is meant; or where to go instead."""
        session = sessions.find(request.cookies.get(sessions.cookie))
        if session is None:
            doors = await apis.doors(None)
            if doors.inference is False or doors.control is False:
                return RedirectResponse("/login", 303)
            if doors.inference is None and doors.control is None:
                return HTMLResponse(waiting_page(), 503)
            session = sessions.begin(None)
            request.state.set_cookie = sessions.set_cookie(session)
        try:
            endpoints = await apis.endpoints(session.key)
        except QuorateClientError as error:
            if error.status in (401, 403):
                sessions.end(session)
                return RedirectResponse("/login", 303)
            return HTMLResponse(waiting_page(), 503)
        names = [endpoint.name for endpoint in endpoints]
        return session, endpoints, name if name in names else (names[0] if names else "")

    ui.add_head_html(HEAD, shared=True)

    def reloading(session: Session, client: Client) -> None:
        """Have the page loaded again when its session ends."""

        def reload() -> None:
            client.run_javascript("location.reload()")

        session.pages[id(client)] = reload
        client.on_delete(lambda: session.pages.pop(id(client), None))

    @ui.page("/", title="Try it – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def try_it(request: Request, client: Client, endpoint: str | None = None) -> Response | None:
        opened = await open_page(request, endpoint)
        if isinstance(opened, Response):
            return opened
        session, endpoints, name = opened
        reloading(session, client)
        with frame("/", [each.name for each in endpoints], name, logged_in=session.key is not None):
            chosen = next((each for each in endpoints if each.name == name), None)
            if chosen is None:
                _nothing()
                return None
            page = secrets.token_urlsafe(16)
            desks[page] = session, Desk(apis, session, chosen, client, f"/ask/{page}")
            client.on_delete(lambda: desks.pop(page, None))
        return None

    @ui.page("/overview", title="Overview – Quorate", response_timeout=PAGE_TIMEOUT_S)
    async def overview(request: Request, client: Client, endpoint: str | None = None) -> Response | None:
        opened = await open_page(request, endpoint)
        if isinstance(opened, Response):
            return opened
        session, endpoints, name = opened
        reloading(session, client)
        with frame("/overview", [each.name for each in endpoints], name, logged_in=session.key is not None):
            if name:
                await Watch(apis, session, name, time.monotonic).look()
            else:
                _nothing()
        return None

    policy_pages(apis, open_page, reloading, _nothing)
    selection_pages(app, apis, open_page, reloading, _nothing)
    experiment_pages(app, apis, sessions, open_page, reloading, PAGE_TIMEOUT_S)
    evidence_pages(app, apis, sessions, open_page, reloading, _nothing)
    ui.run_with(
        app,
        title="Quorate",
        favicon=ICON,
        dark=False,
        language="en-US",
        tailwind=False,
        gzip_middleware_factory=None,  # it would compress the same files again and again, at the cost of first paint
        reconnect_timeout=10.0,
        show_welcome_message=False,
        binding_refresh_interval=None,
    )
    return Gate(app, settings.host, settings.allowed_hosts)


def login_routes(app: FastAPI, apis: Apis, sessions: Sessions) -> None:
    """Logging in and out: plain forms."""

    @app.get("/login")
    async def ask_for_key(request: Request) -> Response:
        """The login page; where no keys are needed there is nothing to log in to."""
        if (await apis.doors(None)).inference:
            return RedirectResponse("/", 303)
        return HTMLResponse(login_page())

    @app.post("/login")
    async def log_in(request: Request) -> Response:
        """Check a key against both ports and begin a session with it."""
        # Nobody is known yet: no more is read than a key needs, and nothing of it is sent back.
        try:
            body = await read_body(
                request.receive, limit=MAX_LOGIN, content_length=_header(request, b"content-length"), encoding=None
            )
        except ClientDisconnected:
            return Response(status_code=400)
        except QuorateError:
            body = b""
        found = parse_qs(body.decode("latin-1")).get("key", [""])[-1].strip()
        if not KEY.fullmatch(found):
            return HTMLResponse(login_page("That is not a key: keys are letters, digits, - and _."), 403)
        doors = await apis.doors(found)
        if doors.inference or doors.control:
            cookie = sessions.set_cookie(sessions.begin(found))
            return RedirectResponse("/", 303, headers={"set-cookie": cookie})
        if doors.inference is None and doors.control is None:
            return HTMLResponse(login_page("The servers cannot be reached to check the key; try again."), 503)
        return HTMLResponse(login_page("This key is not known here, or has neither the role predict nor operate."), 403)

    @app.post("/logout")
    async def log_out(request: Request) -> Response:
        """End the session; its open pages go back to the login page."""
        session = sessions.find(request.cookies.get(sessions.cookie))
        if session is not None:
            sessions.end(session)
        return RedirectResponse("/login", 303, headers={"set-cookie": sessions.clear_cookie()})


def _nothing() -> None:
    Node("h1", "", "Nothing to try yet")
    Node("p", "", "No endpoint is served. Describe one in quorate.yaml and run `quorate apply`.")


def _header(request: Request, name: bytes) -> bytes | None:
    return dict(request.scope["headers"]).get(name)
