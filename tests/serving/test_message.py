"""Heads and bodies of HTTP/1.1 messages, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.serving.http import Request
from quorate.serving.message import framed, reply_head, target, without_offer
from quorate.serving.turn import Turn

DATE = b"date: now\r\n"


async def nothing() -> dict[str, object]:
    return {}


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (b"/v1/a%20b?x=%201", "/v1/a b", b"x=%201"),
        (b"http://host:80/a?b", "/a", b"b"),
        (b"http://host", "/", b""),
        (b"/?", "/", b""),
    ],
)
def test_a_target_is_a_path_and_a_query(url: bytes, path: str, query: bytes) -> None:
    assert target(url) == (path, query)


def test_an_offer_is_left_out_and_the_rest_stays_as_it_came() -> None:
    received = [
        (b"host", b"a"),
        (b"connection", b"Upgrade, HTTP2-Settings"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AA"),
    ]
    request = Request("POST", "/a", b"b=1", received, nothing, 0.0)
    assert without_offer(request, b"/a?b=1") == b"POST /a?b=1 HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n"
    received[1] = (b"connection", b"Upgrade, Close")
    assert b"connection: close\r\n" in without_offer(Request("GET", "/", b"", received, nothing, 0.0), b"/")


@pytest.mark.parametrize(
    ("keep_alive", "http10", "line"),
    [(True, False, b""), (True, True, b"connection: keep-alive\r\n"), (False, False, b"connection: close\r\n")],
)
def test_a_head_says_what_becomes_of_the_connection(keep_alive: bool, http10: bool, line: bytes) -> None:
    turn = Turn(None, None)
    turn.keep_alive, turn.http10 = keep_alive, http10
    head = reply_head(turn, 404, [(b"content-length", b"0")], DATE)
    assert head == b"HTTP/1.1 404 Not Found\r\ndate: now\r\ncontent-length: 0\r\n" + line + b"\r\n"


@pytest.mark.parametrize(("chunked", "sent"), [(True, [b"2\r\nab\r\n", b"0\r\n\r\n"]), (False, [b"ab"])])
def test_a_body_in_pieces_is_framed_and_closed(chunked: bool, sent: list[bytes]) -> None:
    closed = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"ab"
            yield b""  # in chunks it would be the end
        finally:
            closed.append(True)

    async def main() -> None:
        assert [piece async for piece in framed(body(), chunked=chunked)] == sent
        pieces = framed(body(), chunked=chunked)
        await anext(pieces)
        await pieces.aclose()

    asyncio.run(main())
    assert closed == [True, True]
