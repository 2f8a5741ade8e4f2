"""Errors as gRPC statuses."""

from __future__ import annotations

from urllib.parse import quote

import grpc
import pytest

from quorate.errors import InvalidInput, MemberCrashed, NoQuorum, NotFound, Overloaded, QuorateError
from quorate.serving.grpc.status import MAX_DETAILS, TABLE, failure, fitting
from quorate.web import problem


def test_every_code_that_http_has_is_in_the_table() -> None:
    assert set(TABLE) == set(problem.TABLE)


@pytest.mark.parametrize("code", TABLE)
def test_only_our_own_faults_are_internal(code: str) -> None:
    fault = TABLE[code] in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert fault == (problem.TABLE[code][0] == 500)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (NoQuorum("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (ValueError("secret"), grpc.StatusCode.INTERNAL),
        (MemberCrashed("secret"), grpc.StatusCode.INTERNAL),
    ],
)
def test_errors_have_their_status(error: Exception, code: grpc.StatusCode) -> None:
    found = failure(error)
    assert found.code is code
    assert "secret" not in found.details


def test_the_sentence_is_that_of_rest() -> None:
    found = failure(InvalidInput("It is wrong.", path="inputs[0].shape"))
    assert found.details == "inputs[0].shape: It is wrong."
    assert dict(found.trailing) == {"quorate-code": "invalid_input"}


def test_shedding_says_when_to_come_again() -> None:
    trailing = dict(failure(Overloaded("Later.", retry_after=1.2)).trailing)
    assert trailing == {"quorate-code": "overloaded", "retry-after": "2", "grpc-retry-pushback-ms": "2000"}


@pytest.mark.parametrize("text", ["short", "é%" * 3000, "😀" * 2000, "\ud800" * 2000, "x" * 9000])
def test_a_message_fits_into_the_metadata_that_clients_take(text: str) -> None:
    found = fitting(text)
    assert len(quote(found.encode("utf-8", "replace"), safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")) <= MAX_DETAILS
    assert found == text or (found.endswith("…") and text.startswith(found[:-1]))
    assert isinstance(failure(QuorateError(text)).details, str)
