"""The gate before the control port: Host, Origin, keys and request ids, for every request alike."""

from __future__ import annotations

import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quorate.codecs import snapshot
from quorate.codecs.snapshot import Routing
from quorate.control import keys
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.store.database import Database
from quorate.web import headers as header
from quorate.web.auth import Keyring, is_loopback
from quorate.web.hosts import SAFE_METHODS, HostPolicy
from quorate.web.problem import problem

OPEN = frozenset({"/openapi.json", "/docs"})
OPEN_ON_LOOPBACK = frozenset({"/metrics", "/v1/health"})
ASKING = re.compile(r"/v1/models/[^/]+/preview")
"""Routes that ask about an input, as a prediction does, and change nothing."""

WORKING = re.compile(
    r"/v1/(jobs|replays|pool-audits|experiments)(/.*)?|/v1/endpoints/[^/]+/(switches/plan|rules/explain)"
)
"""Routes that operators use: jobs, replays, pool audits, experiments, plans, examples. What an experiment may serve an
administrator has applied."""


class Access:
    """Who may come in, as the newest snapshot says; before the first apply, as the store does."""

    def __init__(self, home: Home, database: Database, host: str) -> None:
        self._home = home
        self._database = database
        self._host = host
        self._version: int | None = -1
        self._hosts = HostPolicy(host)
        self._keyring = Keyring(())

    def check(self, method: str, path: str, headers: dict[bytes, bytes]) -> str | None:
        """The id of the caller's key, None where none is needed; raises what refuses the request."""
        self._follow()
        self._hosts.check(method, headers.get(b"host"), headers.get(b"origin"))
        if path in OPEN or (path in OPEN_ON_LOOPBACK and is_loopback(self._host)):
            return None
        operates = method in SAFE_METHODS or WORKING.fullmatch(path)
        role = "predict" if ASKING.fullmatch(path) else "operate" if operates else "admin"
        return self._keyring.authorise(headers.get(b"authorization"), headers.get(b"x-api-key"), role)

    def routing(self) -> Routing:
        """The newest snapshot; before the first apply an empty one with the keys that the store has."""
        if snapshot.current_version(self._home.snapshot) is not None:
            return snapshot.read(self._home.snapshot)
        with self._database.read() as connection:
            return Routing(version=0, keys=keys.routes(connection))

    def _follow(self) -> None:
        version = snapshot.current_version(self._home.snapshot)
        if version is None or version != self._version:
            routing = self.routing()
            self._keyring = Keyring(routing.keys)
            self._hosts = HostPolicy(self._host, routing.hosts)
            self._version = version


class Gate:
    """ASGI middleware: refuses before anything else is done, and puts the request id on every answer.

    Handlers find ``request_id`` and ``key_id`` in the request's state.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = header.request_id(headers.get(b"x-request-id"))
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start" and not _has_id(message["headers"]):
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            header.check(scope["headers"], headers)
            state["key_id"] = self._access.check(scope["method"], scope["path"], headers)
        except QuorateError as error:
            status, refused, body = problem(error, request_id=request_id)
            await send({"type": "http.response.start", "status": status, "headers": refused})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, labelled)


def _has_id(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"x-request-id" for name, _ in headers)
