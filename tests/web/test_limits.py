import asyncio
import gzip
import random
import zlib

import pytest

from quorate.errors import MalformedRequest, TooLarge, UnsupportedMediaType
from quorate.web.limits import ClientDisconnected, read_body


def _read(chunks: list[bytes], *, limit: int = 1000, end: str = "done", **options) -> bytes:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if end == "done":
        messages[-1]["more_body"] = False
    elif end == "disconnect":
        messages.append({"type": "http.disconnect"})

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return asyncio.run(read_body(receive, limit=limit, **options))


def test_chunks_are_joined_and_a_lone_one_is_not_copied():
    assert _read([b"a", b"", b"bc"]) == b"abc"
    whole = bytes(500)
    assert _read([whole]) is whole


def test_the_limit_is_exact():
    assert len(_read([bytes(400), bytes(600)])) == 1000
    with pytest.raises(TooLarge, match=r"limits\.body_bytes"):
        _read([bytes(400), bytes(601)])


def test_content_length_is_believed_at_once():
    for length in (b"1001", b"9" * 5000):
        with pytest.raises(TooLarge, match="1000 bytes"):
            _read([], end="never", content_length=length)
    assert _read([b"x"], content_length=b"nonsense") == b"x"


def test_a_stream_without_end_stops_at_the_limit():
    with pytest.raises(TooLarge):
        _read([bytes(100)] * 100, end="never")


def test_a_slow_body_is_given_up():
    with pytest.raises(MalformedRequest, match="did not arrive"):
        _read([b"x"], end="never", timeout_s=0.01)


def test_a_client_that_left_is_not_answered():
    with pytest.raises(ClientDisconnected):
        _read([b"x"], end="disconnect")


def _bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (b"gzip", gzip.compress),
        (b"X-GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", _bare),
        (b"identity", bytes),
        (b"", bytes),
    ],
)
def test_encodings(encoding, compress):
    data = random.Random(1).randbytes(700) + bytes(300)
    packed = compress(data)
    assert _read([packed[:99], packed[99:]], limit=max(1000, len(packed)), encoding=encoding) == data


@pytest.mark.parametrize(
    ("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", _bare)]
)
def test_a_bomb_is_stopped_at_the_limit(encoding, compress):
    packed = compress(bytes(50_000_000))
    with pytest.raises(TooLarge, match="100000 bytes"):
        _read([packed], limit=100_000, encoding=encoding)
    assert len(_read([compress(bytes(1000))], encoding=encoding)) == 1000


@pytest.mark.parametrize(
    ("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", _bare)]
)
def test_broken_compression_is_malformed(encoding, compress):
    packed = compress(b"some text" * 9)
    for body in (packed[:-1], packed[: len(packed) // 2], b"", packed + b"x", b"\xff" * 50):
        with pytest.raises(MalformedRequest):
            _read([body], encoding=encoding)


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"\xff"])
def test_other_encodings_are_unsupported(encoding):
    with pytest.raises(UnsupportedMediaType):
        _read([b"x"], encoding=encoding)
