"""Asking endpoints over HTTP: every way to send a row, every option, and what an answer must and must not say."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from quorate.ids import DecisionId

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
SEVEN = (SAMPLES / "7.png").read_bytes()
LABELS = [str(digit) for digit in range(10)]
STRATEGIES = {"soft-vote", "weighted", "stacking"}
ENDPOINTS = """
  {name}:
    pool: digits
    strategies:
      hard: {{kind: vote, voting: hard}}
      best: {{kind: single, member: svm}}
      stacked: {{kind: stack, state: digits-stacking}}
    policy: {{kind: split, weights: {{hard: 1, best: 1, stacked: 1}}{policy}}}
    quorum: 2
    caller_may_choose: {choose}
"""


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    """Two workers that serve ``digits``, and the endpoints ``sticky``, ``hidden`` (blind) and ``closed``."""
    config = module_digits / "quorate.yaml"
    more = [
        ENDPOINTS.format(name="sticky", policy=", sticky: context.user_id", choose="true"),
        ENDPOINTS.format(name="hidden", policy=", blind: true", choose="true"),
        ENDPOINTS.format(name="closed", policy="", choose="false"),
    ]
    config.write_text(config.read_text() + "".join(more))
    return module_server(module_digits, "--workers", "2")


@pytest.fixture
def ask(site: Any) -> Callable[..., httpx.Response]:
    """``ask(body, endpoint, **headers)``: a JSON request."""

    def post(body: Any, endpoint: str = "digits", **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        found: httpx.Response = site.http.post(_url(site, endpoint), json=body, headers=names)
        return found

    return post


@pytest.fixture
def fresh() -> Callable[..., httpx.Response]:
    """A POST on a connection of its own, so that the system chooses a worker for it."""

    def post(url: str, **request: Any) -> httpx.Response:
        with httpx.Client(timeout=30) as client:
            return client.post(url, **request)

    return post


def _url(site: Any, endpoint: str) -> str:
    return f"{site.url}/v1/endpoints/{endpoint}/predict"


def _pixels(path: Path = SAMPLES / "7.png") -> list[list[int]]:
    return np.asarray(Image.open(path).convert("L")).tolist()


def _b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def _labels(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [prediction["label"] for prediction in answer.json()["predictions"]]


# --- ways to send rows ----------------------------------------------------------------------------


def test_one_row_of_pixels(ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()]})
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"id", "endpoint", "predictions", "strategy", "degraded", "missing", "latency_ms"}
    assert body["endpoint"] == "digits"
    assert body["strategy"] in STRATEGIES
    assert body["degraded"] is False
    assert body["missing"] == []
    assert 0 < body["latency_ms"] < 200
    (prediction,) = body["predictions"]
    assert prediction["label"] == "7"
    assert list(prediction["probabilities"]) == LABELS
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert prediction["confidence"] == prediction["probabilities"]["7"] == max(prediction["probabilities"].values())


def test_pixels_bytes_and_colours_in_one_request(ask: Callable[..., httpx.Response]) -> None:
    colours = np.asarray(Image.open(SAMPLES / "0.png").convert("RGB")).tolist()
    rows = [
        _pixels(),
        _b64((SAMPLES / "3.png").read_bytes()),
        colours,
        _b64((SAMPLES / "4-turned.jpg").read_bytes()),
    ]
    assert _labels(ask({"instances": rows})) == ["7", "3", "0", "4"]


def test_the_same_picture_in_every_form_gets_the_same_probabilities(
    site: Any, ask: Callable[..., httpx.Response]
) -> None:
    url = _url(site, "digits")
    options = {"strategy": "soft-vote"}
    answers = [
        ask({"instances": [_pixels()], "options": options}),
        ask({"instances": [_b64(SEVEN)], "options": options}),
        ask({"instances": [{"b64": "data:image/png;base64," + _b64(SEVEN)["b64"]}], "options": options}),
        site.http.post(url + "?strategy=soft-vote", content=SEVEN, headers={"content-type": "image/png"}),
        site.http.post(url, files={"file": SEVEN}, data={"options": '{"strategy": "soft-vote"}'}),
    ]
    found = [answer.json()["predictions"] for answer in answers]
    assert found[1:] == found[:1] * 4


def test_a_raw_image_with_options_and_context_in_the_query(site: Any) -> None:
    answer = site.http.post(
        _url(site, "digits"),
        params={"strategy": "stacking", "max_ms": "150", "context.user_id": "u 1", "context.shop": "Å"},
        content=(SAMPLES / "4-turned.jpg").read_bytes(),
        headers={"content-type": "image/jpeg"},
    )
    assert _labels(answer) == ["4"]
    assert answer.json()["strategy"] == "stacking"
    record = _decision(site, answer.json()["id"])
    assert record["context"] == {"user_id": "u 1", "shop": "Å"}
    assert record["source"] == "caller"


def test_a_form_with_two_files_options_and_context(site: Any) -> None:
    answer = site.http.post(
        _url(site, "digits"),
        files=[
            ("file", ("0.png", (SAMPLES / "0.png").read_bytes())),
            ("file", ("3.png", (SAMPLES / "3.png").read_bytes())),
        ],
        data={"options": '{"strategy": "weighted"}', "context": '{"age": 7, "known": true}'},
    )
    assert _labels(answer) == ["0", "3"]
    assert answer.json()["strategy"] == "weighted"
    record = _decision(site, answer.json()["id"])
    assert record["context"] == {"age": 7, "known": True}
    assert record["rows"] == 2


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["best-single", "hard-vote", "soft-vote", "weighted", "stacking", "forest"])
def test_the_caller_chooses_a_strategy(ask: Callable[..., httpx.Response], strategy: str) -> None:
    answer = ask({"instances": [_pixels()], "options": {"strategy": strategy}})
    assert _labels(answer) == ["7"]
    assert answer.json()["strategy"] == strategy


def test_the_caller_may_not_choose_where_the_endpoint_does_not_let_it(ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()], "options": {"strategy": "best"}}, "closed")
    assert answer.status_code == 403
    assert answer.json()["path"] == "options.strategy"


def test_max_ms_that_nobody_can_meet_is_no_quorum(site: Any, ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()] * 200, "options": {"max_ms": 0.001}})
    assert answer.status_code == 504
    assert answer.json()["code"] == "no_quorum"


def test_the_policy_uses_every_strategy(ask: Callable[..., httpx.Response]) -> None:
    served = {ask({"instances": [_pixels()]}).json()["strategy"] for _ in range(60)}
    assert served == STRATEGIES  # that one is missing among 60 has a probability of 1e-10


# --- headers --------------------------------------------------------------------------------------


def test_request_id_and_trace_context_are_passed_on_and_recorded(site: Any, ask: Callable[..., httpx.Response]) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = ask({"instances": [_pixels()]}, x_request_id="order-17", traceparent=trace)
    assert answer.headers["x-request-id"] == "order-17"
    assert answer.headers["traceparent"] == trace
    record = _decision(site, answer.json()["id"])
    assert record["request_id"] == "order-17"
    assert record["traceparent"] == trace


def test_without_them_a_request_id_is_made_and_no_trace(ask: Callable[..., httpx.Response]) -> None:
    answers = [ask({"instances": [_pixels()]}) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", found) for found in ids)
    assert all("traceparent" not in answer.headers for answer in answers)


def test_a_refusal_has_them_too(ask: Callable[..., httpx.Response]) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = ask({"instances": []}, x_request_id="order-18", traceparent=trace)
    assert answer.status_code == 422
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "order-18"
    assert answer.headers["traceparent"] == trace


# --- idempotency ----------------------------------------------------------------------------------


def test_a_retry_is_answered_by_every_worker_with_the_first_answer(
    site: Any, fresh: Callable[..., httpx.Response]
) -> None:
    url, body = _url(site, "digits"), {"instances": [_pixels()]}
    slots = {DecisionId.parse(fresh(url, json=body).json()["id"]).slot for _ in range(24)}
    assert slots == {0, 1}  # fresh connections do reach both workers
    first = fresh(url, json=body, headers={"idempotency-key": "replay"})
    assert "idempotency-replayed" not in first.headers
    for _ in range(24):
        again = fresh(url, json=body, headers={"idempotency-key": "replay"})
        assert again.status_code == 200
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_the_same_key_for_another_request_is_refused(site: Any, ask: Callable[..., httpx.Response]) -> None:
    first = ask({"instances": [_pixels()]}, idempotency_key="mine")
    assert first.status_code == 200
    for body, endpoint in (({"instances": [_pixels()] * 2}, "digits"), ({"instances": [_pixels()]}, "closed")):
        other = ask(body, endpoint, idempotency_key="mine")
        assert other.status_code == 422
        assert other.json()["path"] == "Idempotency-Key"
    assert ask({"instances": [_pixels()]}, idempotency_key="mine").content == first.content


def test_a_refused_request_leaves_its_key_free(ask: Callable[..., httpx.Response]) -> None:
    assert ask({"instances": [_pixels()], "options": {"strategy": "x"}}, idempotency_key="again").status_code == 404
    assert ask({"instances": [_pixels()]}, idempotency_key="again").status_code == 200


def test_concurrent_requests_with_one_key_are_one_decision(site: Any, fresh: Callable[..., httpx.Response]) -> None:
    url, body = _url(site, "digits"), {"instances": [_pixels()] * 50}

    def send(_: int) -> httpx.Response:
        return fresh(url, json=body, headers={"idempotency-key": "together"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len({answer.content for answer in good}) == 1
    for answer in answers:
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 409:
            assert answer.json()["path"] == "Idempotency-Key"
    assert send(0).content == good[0].content


# --- assignment -----------------------------------------------------------------------------------


def test_a_sticky_endpoint_gives_a_unit_the_same_strategy_always(ask: Callable[..., httpx.Response]) -> None:
    chosen = {}
    for user in range(40):
        body = {"instances": [_pixels()], "context": {"user_id": f"user-{user}"}}
        strategies = {ask(body, "sticky").json()["strategy"] for _ in range(3)}
        assert len(strategies) == 1
        chosen[user] = strategies.pop()
    assert set(chosen.values()) == {"hard", "best", "stacked"}


def test_a_sticky_endpoint_needs_its_unit(ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()]}, "sticky")
    assert answer.status_code == 422
    assert answer.json()["path"] == "context.user_id"


def test_a_blind_answer_is_the_label_only(ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels(), _b64((SAMPLES / "0.png").read_bytes())]}, "hidden")
    assert set(answer.json()) == {"id", "endpoint", "predictions"}
    assert answer.json()["predictions"] == [{"label": "7"}, {"label": "0"}]


def test_a_blind_endpoint_takes_no_strategy_from_the_caller(ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()], "options": {"strategy": "best"}}, "hidden")
    assert answer.status_code == 403
    assert answer.json()["path"] == "options.strategy"


def test_nothing_in_a_blind_answer_depends_on_the_arm(site: Any, ask: Callable[..., httpx.Response]) -> None:
    answers = [ask({"instances": [_pixels()]}, "hidden", x_request_id="same") for _ in range(40)]
    assert {_decision(site, answer.json()["id"])["assigned"] for answer in answers} == {"hard", "best", "stacked"}
    heads = {tuple((name, value) for name, value in answer.headers.items() if name != "date") for answer in answers}
    assert len(heads) == 1
    bodies = {answer.text.replace(answer.json()["id"], "") for answer in answers}
    assert len(bodies) == 1


# --- records --------------------------------------------------------------------------------------


def test_the_control_port_shows_the_decision(site: Any, ask: Callable[..., httpx.Response]) -> None:
    answer = ask({"instances": [_pixels()], "context": {"user_id": "u1"}}).json()
    record = _decision(site, answer["id"])
    assert record["endpoint"] == "digits"
    assert record["revision"] == 1
    assert record["source"] == "policy"
    assert record["assigned"] == record["served"] == answer["strategy"]
    assert record["propensities"] == {
        "best-single": 0,
        "hard-vote": 0,
        **dict.fromkeys(STRATEGIES, pytest.approx(1 / 3)),
    }
    assert record["context"] == {"user_id": "u1"}
    assert [member["name"] for member in record["members"]] == ["logistic", "forest", "extra-trees", "mlp", "svm"]
    assert {member["status"] for member in record["members"]} == {"ok"}
    assert record["degraded"] is False
    assert record["error"] is None


def _decision(site: Any, decision: str) -> dict[str, Any]:
    answer = site.http.get(f"{site.control}/v1/decisions/{decision}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
