"""What the caller notes of an answer, and what counts as saying more than it may."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from benchmarks.blind import site
from benchmarks.blind.caller import Seen
from benchmarks.blind.features import label, shape, sight
from benchmarks.blind.traffic import FORMS, Ask, plan
from benchmarks.blind.verdict import says_more, told, unblinded
from quorate.ids import DecisionId

PICTURES = [np.full((8, 8), value, np.uint8) for value in (0, 90, 200)]


def _answer(number: int, *, form: str = "pixels", digit: str = "7", user: str | None = None, **more: object) -> Seen:
    found = str(DecisionId(1_700_000_000_000 + number, 0, 1, number))
    if form == "protocol":
        outputs = [{"name": "label", "datatype": "BYTES", "shape": [1], "data": [digit]}]
        body = {"model_name": "e", "model_version": "1", "outputs": outputs, "parameters": {"decision_id": found}}
    else:
        body = {"id": found, "endpoint": "e", "predictions": [{"label": digit}], **more}
    raw = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\ndate: {number}\r\ncontent-length: {len(raw)}\r\nx-request-id: {number:032x}\r\n\r\n"
    ask = Ask("answer", form, number % 3, user, b"")
    done = number + 0.002
    return Seen(ask, number, 0, 1, 1.7e9, number, number + 0.001, done, (len(head), len(raw)), head.encode(), raw)


def test_every_form_is_asked_and_the_questions_it_should_not_ask_too() -> None:
    asks = plan("graph", PICTURES, 1000, seed=1)
    kinds = Counter(ask.kind for ask in asks)
    assert kinds["answer"] == 1000
    assert set(kinds) == {"answer", "retry", "mistake", "choice", "look-up", "outcome"}
    assert {ask.form for ask in asks if ask.kind == "answer"} == set(FORMS)
    assert plan("graph", PICTURES, 1000, seed=1) == asks
    for ask in asks:
        head, _, body = ask.raw.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        assert lengths == ([len(body)] if body else [])


def test_users_come_equally_often() -> None:
    asks = [ask for ask in plan("sticky", PICTURES, 40, seed=1, users=10) if ask.kind == "answer"]
    assert set(Counter(ask.user for ask in asks).values()) == {4}
    assert all((ask.user or "").encode() in ask.raw for ask in asks)


def test_pictures_are_digits_and_blends() -> None:
    found = site.pictures(10, 1)
    assert len(found) == 10
    assert all(picture.shape == (8, 8) and picture.dtype == np.uint8 for picture in found)


def test_labels_and_ids_are_blanked_out_of_the_shape_and_nothing_else() -> None:
    assert shape(_answer(1, digit="7")) == shape(_answer(2, digit="3"))
    assert shape(_answer(1)) != shape(_answer(1, degraded=True))
    assert shape(_answer(1, form="protocol")) == shape(_answer(2, form="protocol", digit="1"))
    assert [label(_answer(1, form=form, digit="3")) for form in ("pixels", "protocol")] == ["3", "3"]


def test_a_sight_has_every_decision_once_and_all_columns_are_numbers() -> None:
    seen = [_answer(number, form=("pixels", "protocol")[number % 2], user=f"u{number % 4}") for number in range(12)]
    refused = _answer(12)
    refused.head = refused.head.replace(b"200 OK", b"422 No")
    retry = Seen(Ask("retry", "pixels", 0, "u0", b""), 13, 0, 1, 0, 13, 13.1, 13.2, (9,), seen[0].head, seen[0].body)
    found = sight("e", [*seen, refused, retry])
    assert len(found.decision) == len(set(found.decision)) == 12
    assert found.matrix.shape == (12, len(found.columns))
    assert np.isfinite(found.matrix).all()
    assert found.user.tolist() == [0, 1, 2, 3] * 3
    assert set(found.shape.tolist()) == {0, 1}
    assert found.columns["sequence step"][1:].tolist() == [1.0] * 11
    assert found.columns["gap to the answer before"][1:] == pytest.approx([0.998] * 11)


def test_an_answer_may_hold_id_endpoint_and_label() -> None:
    fine = [_answer(1), _answer(2, form="protocol")]
    assert [says_more(seen) for seen in fine] == [None, None]
    named = _answer(3)
    named.head += b"x-debug: arm-vote\r\n"
    assert says_more(named) == "it names arm-vote"
    assert says_more(_answer(4, latency_ms=1)) == "fields"
    wrong = _answer(5, form="protocol")
    wrong.body = wrong.body.replace(b'"name":"label"', b'"name":"confidence"')
    assert says_more(wrong) == "fields"
    assert unblinded([*fine, named, wrong]) == 2
    assert told({"b 404": 1, "a 200": 2}) == "2 a 200, 1 b 404"
