"""Where the pages of experiments are, and the download of their reports."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from nicegui import ui
from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments.list_page import ExperimentsPage
from quorate.console.experiments.page import READERS, REPORT_TIMEOUT_S, ExperimentPage
from quorate.console.experiments.plan_page import PlanPage
from quorate.console.parts.frame import frame
from quorate.console.parts.looking import problem_of
from quorate.console.session import Session, Sessions

Open = Callable[[Request, str | None], Awaitable[tuple[Session, tuple[Endpoint, ...], str] | Response]]
"""Finds the session and the endpoints it may ask, or says where to go instead."""

PLACE = "/experiments"
ID = re.compile("[0-9a-f]{16}")
STYLE = f"<style>{(Path(__file__).parents[1] / 'static' / 'experiments.css').read_text('utf-8')}</style>"
AGAIN_S = 2.0
FIRST_LOOK_S = 4.0
KINDS = {
    "manager": ("?for=manager", "text/html", "html"),
    "statistician": ("?for=statistician", "text/html", "html"),
    "json": ("", "application/json", "json"),
}


def experiment_pages(
    app: FastAPI,
    apis: Apis,
    sessions: Sessions,
    open_page: Open,
    watch: Callable[[Session, Client], None],
    timeout_s: float,
) -> None:
    """Add them to the console; ``watch`` has a page loaded again when its session ends."""

    def framed(session: Session, endpoints: tuple[Endpoint, ...], name: str, client: Client) -> Node:
        watch(session, client)
        ui.add_head_html(STYLE)
        return frame(PLACE, [each.name for each in endpoints], name, logged_in=session.key is not None, chooses=False)

    @ui.page(PLACE, title="Experiments – Quorate", response_timeout=timeout_s)
    async def listed(request: Request, client: Client, endpoint: str | None = None) -> Response | None:
        opened = await open_page(request, endpoint)
        if isinstance(opened, Response):
            return opened
        session, endpoints, name = opened
        with framed(session, endpoints, name, client):
            await _first(ExperimentsPage(apis, session, name, time.monotonic, time.time).look)
        return None

    @ui.page(f"{PLACE}/new", title="Plan an experiment – Quorate", response_timeout=timeout_s)
    async def plan(
        request: Request, client: Client, endpoint: str | None = None, like: str = "", revise: str = ""
    ) -> Response | None:
        opened = await open_page(request, endpoint)
        if isinstance(opened, Response):
            return opened
        session, endpoints, name = opened
        with framed(session, endpoints, name, client):
            await _plan(apis, session, endpoints, name, client, like=like, revise=revise)
        return None

    @ui.page(PLACE + "/{id}", title="Experiment – Quorate", response_timeout=timeout_s)
    async def one(request: Request, client: Client, id: str) -> Response | None:
        opened = await open_page(request, None)
        if isinstance(opened, Response):
            return opened
        session, endpoints, name = opened
        reader = request.query_params.get("for", "manager")
        with framed(session, endpoints, name, client):
            if ID.fullmatch(id):
                known = reader if reader in dict(READERS) else "manager"
                await _first(ExperimentPage(apis, session, id, known, client, time.monotonic, time.time).look)
            else:
                _unavailable("There is no such experiment.")
        return None

    @app.get(PLACE + "/{id}/download")
    async def download(request: Request, id: str) -> Response:
        """A report as a file, or everything in it as JSON, as control gives it to the session's key."""
        session = sessions.find(request.cookies.get(sessions.cookie))
        kind = KINDS.get(request.query_params.get("as", ""))
        if session is None or kind is None or not ID.fullmatch(id):
            return Response("Log in, and choose a report on the experiment's page.", 404 if session else 401)
        query, media, ending = kind
        try:
            body = await apis.control.fetch(
                f"/v1/experiments/{id}/report{query}", session.key, accept=media, timeout_s=REPORT_TIMEOUT_S
            )
        except ControlGone as error:
            return Response(problem_of(error), 503, media_type="text/plain")
        except ControlRefused as error:
            return Response(problem_of(error), error.status, media_type="text/plain")
        name = f"experiment-{id}-{request.query_params['as']}.{ending}".replace("-json.json", ".json")
        return Response(body, media_type=media, headers={"content-disposition": f'attachment; filename="{name}"'})


async def _first(look: Callable[[], Awaitable[None]]) -> None:
    """Look before the page is sent, so that it comes complete; what takes longer comes with a later look."""
    with suppress(TimeoutError):
        await asyncio.wait_for(look(), FIRST_LOOK_S)


async def _plan(
    apis: Apis,
    session: Session,
    endpoints: tuple[Endpoint, ...],
    name: str,
    client: Client,
    *,
    like: str,
    revise: str,
) -> None:
    """The form; or why there can be none now."""
    if not name:
        _unavailable("No endpoint is served. Describe one in quorate.yaml and run `quorate apply`.")
        return
    if not next(each for each in endpoints if each.name == name).told:
        _wait(apis, session, client)
        return
    found: dict[str, Any] | None = None
    wanted = revise or like
    if ID.fullmatch(wanted):
        try:
            found = await apis.control.get(f"/v1/experiments/{wanted}", session.key)
        except ControlGone:
            _wait(apis, session, client)
            return
        except ControlRefused as error:
            _unavailable(problem_of(error))
            return
        if revise and found is not None and found["state"] != "registered":
            _unavailable(
                "This experiment has started. What was registered stays as it is; stop it, and plan another like it."
            )
            return
    PlanPage(apis, session, endpoints, name, client, like=found, revises=bool(revise) and found is not None)


def _unavailable(text: str) -> None:
    Node("h1", "", "Nothing to show")
    Node("p", "", text)
    Node("a", "button", "All experiments", href=PLACE)


def _wait(apis: Apis, session: Session, client: Client) -> None:
    """Say that control is away, or the key may not; load the page again once control tells what it needs."""
    Node("h1", "", "Plan an experiment")
    line = Node("p", "status", "Control is not reachable; trying again.", role="status")

    async def look() -> None:
        opens = (await apis.doors(session.key)).control
        if opens is False:
            line.say("Experiments need a key with the role operate.")
            timer.deactivate()
        if opens:
            client.run_javascript("location.reload()")

    timer = ui.timer(AGAIN_S, look)
