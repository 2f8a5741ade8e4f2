"""HTTP/1.1 on real sockets: a server on a free loopback port, and clients that write what they like."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator

import pytest

from quorate.clock import SystemClock
from quorate.serving.connection import MAX_HEAD, PIPELINED
from quorate.serving.listening import ConnectionLimits
from quorate.serving.server import HttpServer
from quorate.web.limits import read_body

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


def post(body, path=b"/", *headers):
    head = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n%b\r\n%b" % (path, len(body), head, body)


async def echo(request):
    """What was understood of a request, as JSON."""
    whole = request.whole
    if whole is None:
        whole = await read_body(request.receive, limit=1 << 20)
    about = {"method": request.method, "path": request.path, "query": request.query.decode(), "body": whole.decode()}
    body = json.dumps(about).encode()
    return 200, [(b"content-length", b"%d" % len(body))], body


class Peer:
    """A server and what a test needs to talk to it."""

    def __init__(self, server, port):
        self.server = server
        self.port = port
        self._writers = []

    async def open(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self):
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def say(self, *pieces, until_close=True):
        """Send pieces one by one; everything that comes until the server closes, or one answer."""
        reader, writer = await self.open()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        data = await asyncio.wait_for(reader.read() if until_close else answer(reader), 20)
        writer.close()
        return data


async def answer(reader):
    """One answer with a Content-Length or chunks: (status, headers, body)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split()[1])
    headers = dict(re.findall(r"(?m)^([^:\r\n]+): ([^\r\n]*)", head))
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return status, headers, body


class Prompting:
    """Answers what is there as a whole promptly, where the handler replies bytes; the rest is handled."""

    def __init__(self, handle):
        self._handle = handle
        self._done = {}
        self.told = 0

    async def handle(self, request):
        task = self._done.pop(request, None)
        return await (task or self._handle(request))

    def prompt(self, request, tell):
        task = asyncio.ensure_future(self._handle(request))
        task.add_done_callback(lambda task: self._tell(request, task, tell))
        return task

    def _tell(self, request, task, tell):
        if not task.cancelled() and task.exception() is None and isinstance(task.result()[2], bytes):
            self.told += 1
            tell(task.result())
        else:
            self._done[request] = task
            tell(None)


@pytest.fixture(autouse=True, params=["handled", "prompt"])
def road(request, monkeypatch):
    """Every test runs twice: with and without prompt answers."""
    monkeypatch.setattr(Peer, "road", request.param, raising=False)
    return request.param


def run(main, handle=echo, **limits):
    async def whole():
        both = Prompting(handle)
        prompt = {"prompt": both.prompt} if Peer.road == "prompt" else {}
        server = HttpServer(both.handle, clock=SystemClock(), limits=ConnectionLimits(**limits), **prompt)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        await server.start(listener)
        peer = Peer(server, listener.getsockname()[1])
        peer.both = both
        try:
            return await main(peer)
        finally:
            await peer.close()
            await server.drain(0.3)
            await asyncio.sleep(0)  # what was aborted is closed in the next turn

    return asyncio.run(whole())


def answers(data):
    """The JSON bodies of answers, one after the other."""
    return [json.loads(body) for body in re.findall(rb"\r\n\r\n(\{.*?\})(?=HTTP/1\.1|$)", data, re.S)]


def test_what_is_whole_is_prompt_also_in_a_pipeline(road):
    async def main(peer):
        said = await peer.say(post(b"1") + post(b"2") + post(b"3", b"/", b"connection: close"))
        return said, peer.both.told

    said, told = run(main)
    assert [answer["body"] for answer in answers(said)] == ["1", "2", "3"]
    assert told == (3 if road == "prompt" else 0)


def test_replies_at_once_follow_one_another_however_many():
    async def main(peer):
        refused = (429, [(b"content-length", b"1")], b"x")
        peer.server.prompt = lambda request, tell: refused if request.whole == b"1" else None
        said = await peer.say(post(b"1") * 400 + post(b"2", b"/", b"connection: close"))
        return said.count(b"HTTP/1.1 429"), answers(said)[-1]["body"]

    assert run(main) == (400, "2")


# --- requests -------------------------------------------------------------------------------------


def test_requests_follow_each_other_on_one_connection():
    async def main(peer):
        reader, writer = await peer.open()
        found = []
        for i in range(3):
            writer.write(post(b"%d" % i, b"/a%20b?x=1"))
            status, headers, body = await answer(reader)
            assert (status, "connection" in headers) == (200, False)
            assert headers["date"].endswith("GMT")
            found.append(json.loads(body))
        writer.close()
        return found

    assert run(main) == [{"method": "POST", "path": "/a b", "query": "x=1", "body": str(i)} for i in range(3)]


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_bytes_may_come_in_any_pieces(size):
    data = post(b"hello", b"/x", b"connection: close")
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    (found,) = answers(run(lambda peer: peer.say(*pieces)))
    assert (found["path"], found["body"]) == ("/x", "hello")


def test_pipelined_requests_are_answered_in_order():
    count = 3 * PIPELINED
    data = b"".join(post(b"%d" % i) for i in range(count)) + post(b"last", b"/", b"connection: close")

    async def slow(request):
        await asyncio.sleep(0 if (request.whole or b"0")[-1:] in b"13579" else 0.002)
        return await echo(request)

    found = answers(run(lambda peer: peer.say(data), slow))
    assert [one["body"] for one in found] == [*map(str, range(count)), "last"]


def test_chunked_bodies_and_pieces_that_come_late():
    head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    (found,) = answers(run(lambda peer: peer.say(head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")))
    assert found["body"] == "abcde"


def test_a_client_that_asks_whether_to_continue_is_told_to():
    async def main(peer):
        reader, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        status, _, body = await answer(reader)
        writer.close()
        return status, json.loads(body)["body"]

    assert run(main) == (200, "ok")


def test_http_10_is_closed_unless_it_asks_to_be_kept():
    async def main(peer):
        closed = await peer.say(b"GET / HTTP/1.0\r\n\r\n")
        reader, writer = await peer.open()
        writer.write(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        _, kept, _ = await answer(reader)
        writer.close()
        return closed, kept

    closed, kept = run(main)
    assert b"connection: close" in closed
    assert kept["connection"] == "keep-alive"


def test_an_offer_of_another_protocol_is_passed_over():
    data = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    body = b"POST / HTTP/1.1\r\nhost: h\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    body += b"http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\ncontent-length: 3\r\n\r\nabc"

    async def main(peer):
        reader, writer = await peer.open()
        found = []
        for request in (data, body, data + body):
            writer.write(request)
            found += [await answer(reader) for _ in range(request.count(b" HTTP/1.1"))]
        return found

    found = run(main)
    assert [status for status, _, _ in found] == [200] * 4
    assert [json.loads(body)["body"] for _, _, body in found] == ["", "abc", "", "abc"]


def test_head_gets_a_head_only_also_for_an_error():
    async def handle(request):
        return (405 if request.path == "/no" else 200), [(b"content-length", b"4")], b"body"

    async def main(peer):
        reader, writer = await peer.open()
        writer.write(b"HEAD /no HTTP/1.1\r\nhost: h\r\n\r\nHEAD / HTTP/1.1\r\nhost: h\r\n\r\n" + GET)
        heads = [await reader.readuntil(b"\r\n\r\n") for _ in range(3)]
        assert await reader.readexactly(4) == b"body"
        return [int(head.split()[1]) for head in heads]

    assert run(main, handle) == [405, 200, 200]


@pytest.mark.parametrize("endless", [b"x: " + b"y" * 4096, b"x: y\r\n" * 500])
def test_trailers_are_dropped_and_bounded(endless):
    head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"

    async def main(peer):
        reader, writer = await peer.open()
        writer.write(head + b"1\r\na\r\n0\r\nx-sum: 1\r\nhost: other\r\n\r\n")
        status, _, body = await answer(reader)
        assert (status, json.loads(body)["body"]) == (200, "a")
        writer.write(head + b"1\r\na\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(endless)
                await writer.drain()
                await asyncio.sleep(0)
        return await reader.read()

    assert run(main).startswith(b"HTTP/1.1 400")


def test_the_next_head_may_begin_in_the_packet_that_ends_a_large_body():
    data = post(b"x" * 100_000) + GET
    first, second = answers(run(lambda peer: peer.say(data[:-10], data[-10:-2], data[-2:]), idle_s=0.3))
    assert (len(first["body"]), second["method"]) == (100_000, "GET")


def test_replies_that_nobody_reads_end_also_pipelined_connections():
    async def large(request):
        return 200, [(b"content-length", b"200000")], b"x" * 200_000

    async def main(peer):
        _, writer = await peer.open()
        writer.write(GET * 8)
        while not peer.server.connections:
            await asyncio.sleep(0.01)
        while peer.server.connections:
            await asyncio.sleep(0.05)

    run(main, large, write_s=0.3, idle_s=0.3)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"identity"])
def test_codings_that_are_not_undone_are_refused(coding):
    data = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
    assert run(lambda peer: peer.say(data)).startswith(b"HTTP/1.1 400")


def test_a_target_may_be_a_whole_address():
    data = b"GET http://elsewhere/p%41th?q HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    (found,) = answers(run(lambda peer: peer.say(data)))
    assert (found["path"], found["query"]) == ("/pAth", "q")


# --- what is no request ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nbad header: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n",
        b"GET /" + b"y" * MAX_HEAD + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 2 * MAX_HEAD,
    ],
)
def test_what_is_no_request_is_a_problem_and_the_end(data):
    found = run(lambda peer: peer.say(data))
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"connection: close" in head
    assert json.loads(body)["code"] == "malformed_request"


def test_a_body_that_breaks_off_is_a_problem_too():
    head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    for pieces in ((head + b"3\r\nabc\r\nNONSENSE\r\n",), (head, b"3\r\nabc\r\n", b"NONSENSE\r\n")):
        found = run(lambda peer, pieces=pieces: peer.say(*pieces))
        assert found.startswith(b"HTTP/1.1 400")
        assert found.count(b"HTTP/1.1 ") - found.count(b"no HTTP/1.1 ") == 1


def test_a_head_that_is_too_large_is_refused_although_its_client_has_said_all_it_will():
    async def main(peer):
        reader, writer = await peer.open()
        writer.write(GET[:-2] + b"x: " + b"y" * 70_000)
        writer.write_eof()
        return await reader.read()

    assert run(main).startswith(b"HTTP/1.1 400")


def test_requests_before_the_bad_bytes_are_answered_first():
    found = run(lambda peer: peer.say(post(b"1") + post(b"2") + b"NONSENSE\r\n\r\n"))
    assert found.count(b"HTTP/1.1 200") == 2
    assert found.rindex(b"HTTP/1.1 400") > found.rindex(b"HTTP/1.1 200")


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"GET / HT", GET + b"GET"])
def test_a_head_that_does_not_come_ends_the_connection(start):
    found = run(lambda peer: peer.say(start), head_s=0.2, idle_s=0.2)
    assert found.count(b"HTTP/1.1 200") == start.count(b"\r\n\r\n")
    assert (b"HTTP/1.1 400" in found) == bool(start)


def test_an_idle_connection_is_closed():
    assert run(lambda peer: peer.say(GET), idle_s=0.2).startswith(b"HTTP/1.1 200")


def test_a_reply_that_nobody_reads_ends_the_connection_and_not_the_server():
    async def endless(request):
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 65536

        return 200, [], pieces()

    async def main(peer):
        _, writer = await peer.open()
        writer.write(GET)
        while not peer.server.connections:
            await asyncio.sleep(0.01)
        while peer.server.connections:
            await asyncio.sleep(0.05)
        writer.close()
        assert peer.server.sent < 64 << 20

    run(main, endless, write_s=0.3)


def test_a_body_that_nobody_reads_stops_the_reading():
    async def never(request):
        await asyncio.sleep(3600)

    async def main(peer):
        _, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000000\r\n\r\n")
        sent = 0
        try:
            while sent < 200 << 20:
                writer.write(b"x" * 65536)
                sent += 65536
                await asyncio.wait_for(writer.drain(), 0.5)
        except TimeoutError:
            pass
        assert peer.server.received < 8 << 20
        writer.transport.abort()

    run(main, never)


def test_a_refused_body_is_thrown_away_so_that_the_answer_can_be_read():
    async def refuse(request):
        return 413, [(b"content-length", b"2")], b"no"

    async def main(peer):
        reader, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(b"x" * 100_000)
        data = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return data

    found = run(main, refuse)
    assert found.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in found
    assert found.endswith(b"no")


def test_connections_are_limited():
    async def main(peer):
        kept = [await peer.open() for _ in range(3)]
        while len(peer.server.connections) < 3:
            await asyncio.sleep(0.01)
        assert await peer.say(GET) == b""
        assert peer.server.refused == 1
        for _, writer in kept:
            writer.close()

    run(main, connections=3)


# --- comings and goings ---------------------------------------------------------------------------


def test_a_client_that_leaves_cancels_its_request():
    cancelled = []

    async def handle(request):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(request.path)
            raise

    async def main(peer):
        _, writer = await peer.open()
        writer.write(GET)
        while not peer.server.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        writer.close()
        while not cancelled:
            await asyncio.sleep(0.01)

    run(main, handle)
    assert cancelled == ["/"]


def test_a_client_that_leaves_in_the_middle_of_its_body_is_nobodys_error():
    async def main(peer):
        _, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc")
        await writer.drain()
        while not peer.server.connections:
            await asyncio.sleep(0.01)
        writer.close()
        while peer.server.connections:
            await asyncio.sleep(0.01)
        return await peer.say(GET, until_close=False)

    assert run(main)[0] == 200


def test_draining_answers_what_has_come_and_closes():
    entered, leave = [], []

    async def handle(request):
        entered.append(request.path)
        while not leave:
            await asyncio.sleep(0.01)
        return 200, [(b"content-length", b"2")], b"ok"

    async def main(peer):
        _, idle = await peer.open()
        reader, writer = await peer.open()
        writer.write(GET)
        while not entered:
            await asyncio.sleep(0.01)
        draining = asyncio.ensure_future(peer.server.drain(10))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await peer.open()
        leave.append(True)
        data = await asyncio.wait_for(reader.read(), 10)
        assert await draining
        idle.close()
        writer.close()
        return data

    data = run(main, handle)
    assert b"connection: close" in data
    assert data.endswith(b"ok")


def test_retiring_waits_for_who_has_just_connected_but_not_for_who_has_been_answered():
    async def main(peer):
        reader, writer = await peer.open()
        other, answered = await peer.open()
        answered.write(GET)
        assert (await answer(other))[0] == 200
        while len(peer.server.connections) < 2:
            await asyncio.sleep(0.01)
        retiring = asyncio.ensure_future(peer.server.retire(0.0))
        await asyncio.sleep(0.05)
        assert not retiring.done()
        writer.write(GET)
        status, headers, _ = await answer(reader)
        await asyncio.wait_for(retiring, 10)
        writer.close()
        answered.close()
        return status, headers["connection"]

    assert run(main) == (200, "close")


def test_draining_has_an_end():
    async def handle(request):
        await asyncio.sleep(3600)

    async def main(peer):
        _, writer = await peer.open()
        writer.write(GET)
        while not peer.server.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not await peer.server.drain(0.2)
        writer.close()
        while peer.server.connections:
            await asyncio.sleep(0.01)

    run(main, handle)


# --- streams --------------------------------------------------------------------------------------


async def doubled(request):
    async def pieces() -> AsyncIterator[bytes]:
        async for piece in request.stream():
            yield piece * 2

    return 200, [(b"content-type", b"text/plain")], pieces()


def test_a_body_is_read_and_answered_while_it_comes():
    async def main(peer):
        reader, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        for piece in (b"a", b"bc"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            assert await reader.readuntil(b"\r\n") == b"%x\r\n" % (2 * len(piece))
            assert await reader.readuntil(b"\r\n") == piece * 2 + b"\r\n"
        writer.write(b"0\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        writer.write(post(b"z"))
        _, _, body = await answer(reader)
        writer.close()
        return body

    assert run(main, doubled) == b"zz"


def test_whoever_waits_to_go_on_is_told_so_before_a_streamed_answer_begins():
    async def main(peer):
        reader, writer = await peer.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        _, _, body = await answer(reader)
        return body

    assert run(main, doubled) == b"abab"


def test_http_10_gets_a_stream_up_to_the_close():
    data = run(lambda peer: peer.say(b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nab"), doubled)
    assert data.endswith(b"\r\n\r\nabab")


def test_a_stream_that_fails_breaks_the_connection_off(caplog):
    async def handle(request):
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            raise RuntimeError("in the middle")

        return 200, [], pieces()

    async def main(peer):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await peer.say(GET, until_close=False)

    run(main, handle)
    assert "in the middle" in caplog.text


def test_a_handler_that_fails_breaks_the_connection_off(caplog):
    async def handle(request):
        raise RuntimeError("never raise here")

    async def main(peer):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await peer.say(GET, until_close=False)
        return len(peer.server.connections)

    assert run(main, handle) == 0
    assert "never raise here" in caplog.text
