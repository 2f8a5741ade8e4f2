import pytest

from quorate.errors import MalformedRequest
from quorate.web.headers import check, idempotency_key, request_id, traceparent

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_sane_request_id_is_kept():
    assert request_id(b"req_01:A/b-C.d=") == "req_01:A/b-C.d="


@pytest.mark.parametrize("header", [None, b"", b"a b", b"a\r\nSet-Cookie: x", b"\xff", b"a" * 129, b"<script>"])
def test_another_is_replaced(header):
    made = request_id(header)
    assert len(made) == 32
    assert made != request_id(header)


def test_a_valid_traceparent_is_passed_on():
    assert traceparent(TRACE) == TRACE.decode()
    later = b"01" + TRACE[2:] + b"-more"
    assert traceparent(later) == later.decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"garbage",
        TRACE.upper(),
        TRACE + b"-more",
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        TRACE + b"\n",
        b"01" + TRACE[2:] + b"more",
    ],
)
def test_an_invalid_one_is_ignored(header):
    assert traceparent(header) is None


def test_idempotency_keys():
    assert idempotency_key(None) is None
    assert idempotency_key(b"!" * 255) == "!" * 255


@pytest.mark.parametrize("header", [b"", b"a b", b"\xe9", b"x" * 256, b"a\n"])
def test_an_impossible_idempotency_key_is_malformed(header):
    with pytest.raises(MalformedRequest) as caught:
        idempotency_key(header)
    assert caught.value.path == "Idempotency-Key"


def both(*received):
    return list(received), dict(received)


def test_a_head_is_read_one_way_only():
    check(*both((b"host", b"a"), (b"accept", b"x"), (b"accept", b"y"), (b"content-length", b"2")))
    check(*both())


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"host", "Host"),
        (b"content-length", "Content-Length"),
        (b"content-type", "Content-Type"),
        (b"x-api-key", "X-Api-Key"),
        (b"authorization", "Authorization"),
        (b"idempotency-key", "Idempotency-Key"),
        (b"inference-header-content-length", "Inference-Header-Content-Length"),
    ],
)
def test_headers_that_decide_are_sent_once(name, path):
    with pytest.raises(MalformedRequest) as caught:
        check(*both((name, b"1"), (b"accept", b"x"), (name, b"1")))
    assert caught.value.path == path
