"""The gate before the page: Host and Origin for every request, sockets too, and what browsers must refuse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from quorate.errors import QuorateError
from quorate.web import headers as header
from quorate.web.hosts import HostPolicy
from quorate.web.problem import problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SOCKET = "/_nicegui_ws/"
POLICY_VIOLATION = 1008

# The framework compiles its templates in the browser, which is what 'unsafe-eval' is for; nothing comes from elsewhere.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAYS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without any, browsers send forms with the Origin "null"
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Gate:
    """ASGI middleware around everything, the framework's own routes and socket included.

    A handler that puts ``set_cookie`` into the request's state has it sent along.
    """

    def __init__(self, app: App, host: str, allowed: Iterable[str]) -> None:
        self.app = app
        self._hosts = HostPolicy(host, allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or connection on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        # A socket carries changes both ways; its polling fallback sends them with GET too.
        socket = scope["type"] == "websocket" or scope["path"].startswith(SOCKET)
        try:
            header.check(scope["headers"], headers)
            method = "POST" if socket else scope["method"]
            self._hosts.check(method, headers.get(b"host"), headers.get(b"origin"))
        except QuorateError as error:
            await _refuse(scope, send, error)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if not name.lower().startswith(b"access-")]
                cookie = scope.get("state", {}).get("set_cookie")
                cookies = [(b"set-cookie", cookie.encode())] if cookie else []
                message["headers"] = [*kept, *SAYS, *cookies]
            await send(message)

        await self.app(scope, receive, guarded)


async def _refuse(scope: Scope, send: Send, error: QuorateError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    status, headers, body = problem(error, request_id=header.request_id(None))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
