"""Replies as errors."""

from __future__ import annotations

import pytest

from quorate.client.errors import RequestRefused, ServerFailed, ServerUnavailable, Shed, of_reply
from quorate.errors import NotFound, Overloaded, QuorateError
from quorate.web.problem import oip_problem, problem


def _lower(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def test_everything_in_a_problem_is_kept() -> None:
    reply = problem(NotFound("There is no endpoint 'x'.", path="endpoint"), request_id="r1")
    error = of_reply(reply.status, _lower(reply.headers), reply.body)
    assert type(error) is RequestRefused
    assert isinstance(error, QuorateError)
    found = (error.status, error.code, error.path, error.message, error.request_id, error.retry_after)
    assert found == (404, "not_found", "endpoint", "There is no endpoint 'x'.", "r1", None)
    assert str(error) == error.message


def test_shedding_says_for_how_long() -> None:
    reply = problem(Overloaded("Later.", retry_after=2.2), request_id="r1")
    error = of_reply(reply.status, _lower(reply.headers), reply.body)
    assert (type(error), error.code, error.retry_after) == (Shed, "overloaded", 3)


def test_the_protocols_errors_are_read_too() -> None:
    reply = oip_problem(NotFound("There is no model 'x'.", path="model_name"), request_id="r1")
    error = of_reply(reply.status, _lower(reply.headers), reply.body)
    assert (error.message, error.code) == ("model_name: There is no model 'x'.", "http_404")
    assert error.request_id == "r1"


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RequestRefused), (429, Shed), (502, ServerUnavailable), (503, ServerUnavailable),
                         (500, ServerFailed), (504, ServerFailed), (302, ServerFailed)],
)  # fmt: skip
@pytest.mark.parametrize(
    "body", [b"", b"<h1>Bad\nGateway</h1>" * 100, b"\xff\xfe", b"[1]", b'{"detail": 5, "code": [], "path": {}}']
)
def test_a_gateways_reply_is_shown_shortly(status: int, kind: type, body: bytes) -> None:
    error = of_reply(status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, body)
    assert type(error) is kind
    assert f"has status {status}" in error.message
    assert "\n" not in error.message
    assert len(error.message) < 400
    assert (error.code, error.path, error.retry_after) == (f"http_{status}", None, None)
