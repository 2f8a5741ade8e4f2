"""Metadata of a call."""

from __future__ import annotations

import pytest

from quorate.errors import MalformedRequest
from quorate.serving.grpc.heads import Heads

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_rest_has_as_headers() -> None:
    heads = Heads(
        [
            ("authorization", "Bearer k"),
            ("x-api-key", "other"),
            ("x-request-id", "mine"),
            ("traceparent", TRACE),
            ("idempotency-key", "once"),
            ("user-agent", "grpc"),
            ("grpc-trace-bin", b"\x00\xff"),
        ]
    )
    heads.check()
    assert (heads.authorization, heads.api_key) == (b"Bearer k", b"other")
    assert heads.idempotency_key == "once"
    assert heads.echo == (("x-request-id", "mine"), ("traceparent", TRACE))


def test_a_request_id_is_made_where_there_is_none() -> None:
    one, other = Heads([]), Heads([("x-request-id", "not harmless\n")])
    assert one.request_id != other.request_id
    assert one.echo == (("x-request-id", one.request_id),)
    assert one.idempotency_key is None
    assert one.authorization is None


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "idempotency-key"])
def test_what_must_be_said_once_is_refused_twice(name: str) -> None:
    with pytest.raises(MalformedRequest, match="2 times"):
        Heads([(name, "a"), (name, "b")]).check()


def test_an_idempotency_key_must_be_one() -> None:
    heads = Heads([("idempotency-key", "two words")])
    heads.check()
    with pytest.raises(MalformedRequest):
        _ = heads.idempotency_key
