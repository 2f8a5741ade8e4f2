import json

import pytest

from quorate import errors
from quorate.web.problem import INTERNAL_DETAIL, TABLE, oip_problem, problem


def _all(base: type) -> list[type]:
    return [base, *(found for child in base.__subclasses__() for found in _all(child))]


def test_every_error_that_may_reach_a_client_has_a_row():
    member = set(_all(errors.MemberError))
    reachable = {
        kind.code for kind in _all(errors.QuorateError) if kind.__module__ == "quorate.errors" and kind not in member
    }
    assert reachable == set(TABLE)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedRequest("x"), 400),
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.MethodNotAllowed("x", allow=("GET",)), 405),
        (errors.Conflict("x"), 409),
        (errors.TooLarge("x"), 413),
        (errors.UnsupportedMediaType("x"), 415),
        (errors.InvalidInput("x"), 422),
        (errors.ConfigError("x"), 422),
        (errors.Overloaded("x"), 429),
        (errors.NotReady("x"), 503),
        (errors.NoQuorum("x"), 504),
    ],
)
def test_problem_has_status_code_and_request_id(error, status):
    answer = problem(error, request_id="r-1")
    body = json.loads(answer.body)
    headers = dict(answer.headers)
    assert (answer.status, body["status"], body["code"], body["detail"]) == (status, status, error.code, "x")
    assert body["request_id"] == "r-1"
    assert headers[b"x-request-id"] == b"r-1"
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(answer.body)).encode()
    assert "path" not in body


def test_path_names_the_field_and_config_errors_the_line():
    body = json.loads(problem(errors.InvalidInput("x", path="instances[3]"), request_id="r").body)
    assert body["path"] == "instances[3]"
    body = json.loads(problem(errors.ConfigError("is wrong", path="pools.a", line=7), request_id="r").body)
    assert body["detail"] == "quorate.yaml:7: is wrong"


def test_retry_after_is_whole_seconds_and_never_zero():
    for seconds, header in ((0.0, b"1"), (0.2, b"1"), (2.1, b"3")):
        assert (
            dict(problem(errors.Overloaded("x", retry_after=seconds), request_id="r").headers)[b"retry-after"] == header
        )


def test_method_not_allowed_lists_the_allowed_ones_and_unauthenticated_names_the_scheme():
    assert (
        dict(problem(errors.MethodNotAllowed("x", allow=("GET", "POST")), request_id="r").headers)[b"allow"]
        == b"GET, POST"
    )
    assert dict(problem(errors.Unauthenticated("x"), request_id="r").headers)[b"www-authenticate"].startswith(b"Bearer")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret path /home/me"),
        errors.MemberCrashed("secret", path="cnn-a"),
        errors.QuorateError("secret", path="p"),
    ],
)
def test_what_is_not_for_clients_shows_nothing(error):
    for make in (problem, oip_problem):
        answer = make(error, request_id="r")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert INTERNAL_DETAIL in answer.body.decode()
        assert b"cnn-a" not in answer.body


def test_oip_errors_are_as_the_protocol_says():
    answer = oip_problem(errors.InvalidInput("wrong shape", path="inputs[0].shape"), request_id="r")
    assert json.loads(answer.body) == {"error": "inputs[0].shape: wrong shape"}
    assert dict(answer.headers)[b"content-type"] == b"application/json"


def test_quoted_client_bytes_cannot_break_the_answer():
    answer = problem(errors.NotFound("no '\ud800'", path="\udfff"), request_id="r\u2028")
    assert json.loads(answer.body)["detail"] == "no '?'"
    assert len(problem(errors.NotFound("x" * 10**6), request_id="r").body) < 4000
