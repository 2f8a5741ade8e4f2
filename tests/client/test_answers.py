"""The server's answers as typed values; what is no answer is said to be none."""

from __future__ import annotations

import dataclasses
import json

import pytest

from quorate.client import answers
from quorate.client.answers import OutcomeReceipt, Rejected
from quorate.client.errors import ServerFailed
from quorate.errors import InvalidInput

ANSWER = {
    "id": "d1", "endpoint": "digits", "strategy": "vote", "degraded": True, "missing": ["svm"], "latency_ms": 2,
    "predictions": [{"label": "7", "confidence": 0.75, "probabilities": {"7": 0.75, "1": 0.25}}],
    "from a later release": {},
}  # fmt: skip


def test_an_answer_of_one_row() -> None:
    answer = answers.answer(json.dumps(ANSWER).encode(), {"x-request-id": "r1"})
    assert (answer.id, answer.endpoint, answer.strategy) == ("d1", "digits", "vote")
    assert (answer.degraded, answer.missing, answer.latency_ms) == (True, ("svm",), 2.0)
    assert (answer.label, answer.confidence, answer.value) == ("7", 0.75, None)
    assert answer.predictions[0].probabilities == {"7": 0.75, "1": 0.25}
    assert (answer.replayed, answer.request_id) == (False, "r1")
    assert answer.raw == ANSWER
    assert "from a later" not in repr(answer)
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.id = "d2"  # type: ignore[misc]


def test_a_blind_answer_has_a_label_only() -> None:
    body = {"id": "d1", "endpoint": "digits", "predictions": [{"label": "7"}]}
    answer = answers.answer(json.dumps(body).encode(), {"idempotency-replayed": "true"})
    assert answer.label == "7"
    assert answer.replayed
    assert (answer.confidence, answer.strategy, answer.degraded, answer.missing, answer.latency_ms) == (None,) * 5


def test_several_rows_are_iterated_and_have_no_single_label() -> None:
    body = ANSWER | {"predictions": [{"value": 1}, {"values": {"a": 1.5, "b": 2}}]}
    answer = answers.answer(json.dumps(body).encode(), {})
    assert len(answer) == 2
    first, second = answer
    assert first.value == 1.0
    assert second.values == {"a": 1.5, "b": 2.0}
    with pytest.raises(InvalidInput, match="has 2 rows"):
        _ = answer.label


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"id": 5}', b'{"id": "d", "endpoint": "e", "predictions": [1]}', b"\xff"]
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ServerFailed, match="no answer of a Quorate inference port") as caught:
        answers.answer(body, {})
    assert caught.value.code == "bad_reply"


def test_receipts_of_parts_are_added_up() -> None:
    wrong = Rejected(3, "invalid_input", "No.", "[3].truth")
    total = OutcomeReceipt(1, 2, 3).plus(OutcomeReceipt(4, 5, 6, (wrong,)), offset=1000)
    assert (total.accepted, total.duplicate, total.pending) == (5, 7, 9)
    assert [each.index for each in total.rejected] == [1003]


def test_an_index_names_each_once() -> None:
    body = json.dumps([{"name": n, "version": "1", "state": "READY"} for n in ("digits", "svm", "svm")]).encode()
    assert answers.index(body) == ("digits", "svm")
