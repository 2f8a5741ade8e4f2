"""The gate, with an application behind it that answers everything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.console.gate import SAYS, Gate


async def _open(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    if "cookie" in scope["path"]:
        scope["state"]["set_cookie"] = "a=b"
    headers = [(b"content-type", b"text/plain"), (b"Access-Control-Allow-Origin", b"*")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(type: str = "http", method: str = "GET", path: str = "/", **headers: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    given = [(name.encode(), value.encode()) for name, value in {"host": "localhost:8002", **headers}.items()]
    scope = {"type": type, "method": method, "path": path, "headers": given, "state": {}}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(Gate(_open, "127.0.0.1", ["page.example"])(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_our_own_pages_come_through_with_rules_for_the_browser() -> None:
    start, _ = ask()
    assert start["status"] == 200
    names = [name.lower() for name, _ in start["headers"]]
    assert {name for name, _ in SAYS} <= set(names)
    assert not [name for name in names if name.startswith(b"access-control")]
    assert b"set-cookie" not in names


def test_a_cookie_that_a_handler_wants_is_sent() -> None:
    assert (b"set-cookie", b"a=b") in ask(path="/cookie")[0]["headers"]


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example"])
def test_another_host_is_refused(name: str) -> None:
    assert ask(host=name)[0]["status"] == 403
    assert ask("websocket", host=name) == [{"type": "websocket.close", "code": 1008}]


def test_an_allowed_host_and_its_pages_come_through() -> None:
    assert ask(method="POST", host="page.example", origin="https://page.example")[0]["status"] == 200


def test_another_origin_may_look_but_neither_send_nor_listen() -> None:
    foreign = {"origin": "http://evil.example"}
    assert ask(**foreign)[0]["status"] == 200
    assert ask(method="POST", **foreign)[0]["status"] == 403
    assert ask(path="/_nicegui_ws/socket.io/", **foreign)[0]["status"] == 403
    assert ask("websocket", path="/_nicegui_ws/socket.io/", **foreign)[0]["type"] == "websocket.close"
    own = {"origin": "http://localhost:8002"}
    assert ask("websocket", path="/_nicegui_ws/socket.io/", **own) == [{"type": "websocket.accept"}]
