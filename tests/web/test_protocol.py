import json

import pytest
import uvicorn
from uvicorn.server import ServerState

from quorate.web.protocol import MAX_HEAD, Protocol

GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Transport:
    """What a connection's other end sees."""

    def __init__(self):
        self.sent = b""
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.sent += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    def get_extra_info(self, name, default=None):
        return default


class Loop:
    """Keeps the tasks that requests become, and runs none."""

    def __init__(self):
        self.tasks = []

    def create_task(self, coroutine, **_):
        coroutine.close()
        self.tasks.append(self)
        return self

    def add_done_callback(self, _):
        pass


async def app(scope, receive, send):
    """Never run here."""


@pytest.fixture
def connection():
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    config.load()
    protocol = Protocol(config, ServerState(), {}, Loop())
    protocol.connection_made(Transport())
    return protocol


def refused(connection):
    """The problem that was sent, and the connection closed behind it."""
    assert connection.transport.closed
    head, _, body = connection.transport.sent.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 400 bad request"
    assert "content-type: application/problem+json" in lines
    assert f"content-length: {len(body)}" in lines
    assert "connection: close" in lines
    found = json.loads(body)
    assert (found["code"], found["path"]) == ("malformed_request", "request")
    assert f"x-request-id: {found['request_id']}" in lines
    return True


def test_requests_are_passed_on(connection):
    connection.data_received(GOOD[:9])
    connection.data_received(GOOD[9:])
    assert len(connection.loop.tasks) == 1
    assert connection.transport.sent == b""


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"BREW / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_a_problem(connection, data):
    connection.data_received(data)
    assert refused(connection)
    assert connection.loop.tasks == []


def test_a_long_head_is_refused(connection):
    connection.data_received(b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n")
    assert refused(connection)
    assert connection.loop.tasks == []


def test_a_long_address_is_refused(connection):
    connection.data_received(b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n")
    assert refused(connection)


def test_a_head_without_end_is_refused_in_time(connection):
    connection.data_received(b"GET / HTTP/1.1\r\nA: ")
    for _ in range(MAX_HEAD // 1000 + 1):
        if connection.transport.closed:
            break
        connection.data_received(b"a" * 1000)
    assert refused(connection)


def test_bodies_do_not_count_as_heads(connection):
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
    connection.data_received(b"a" * MAX_HEAD)
    connection.data_received(b"a" * MAX_HEAD)
    assert not connection.transport.closed
