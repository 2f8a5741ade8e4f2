"""The inference port's ASGI application, without a socket: routes, gates, errors, idempotency."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs.snapshot import KeyRoute, Limits, PolicyRoute, Routing, StrategyRoute
from quorate.errors import MemberCrashed, Overloaded
from quorate.serving import outcome_requests
from quorate.serving.generation import Generation, Model
from quorate.serving.http import Reply, Request
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.rest import RestApp
from quorate.web.auth import Keyring
from quorate.web.limits import ClientDisconnected

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
BOTH = StrategyRoute("both", "mean", ("a", "b"), 2)
PREDICT = "/v1/endpoints/main/predict"
INFER = "/v2/models/main/infer"
ROWS = {"instances": [[1, 2]]}
TENSORS = {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


@dataclass(frozen=True)
class Answer:
    """A response as sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Desk:
    """An outcome desk that rejects items without a truth."""

    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []

    async def accept(self, items: list[Mapping[str, Any]]) -> dict[str, Any]:
        self.items += items
        wrong = [
            {"index": i, "code": "invalid_input", "detail": "No truth.", "path": f"[{i}].truth"}
            for i, item in enumerate(items)
            if "truth" not in item
        ]
        return {"accepted": len(items) - len(wrong), "duplicate": 0, "pending": 0, "rejected": wrong}


class Port:
    """The application over a house of fakes; ``ask`` is one request, shown to ``prompt`` first as a connection does."""

    def __init__(self, house: Any, root: Path, *, fused: bool = False) -> None:
        self.house = house
        self.prompt = 0
        """Requests that were answered promptly."""
        self.desk = Desk()
        self.ready = True
        self.table = IdempotencyTable(root / "idempotency.db", slot=0, boot=0, clock=house.clock)
        self.app = RestApp(
            house.plane,
            host="127.0.0.1",
            outcomes=self.desk,  # type: ignore[arg-type]
            idempotency=self.table,
            ready=lambda: self.ready,
            telemetry=root,
        )
        self.pool = house.fused(a=0.9, b=0.7) if fused else house.pool(a=house.inline(0.9), b=house.inline(0.7))
        self.publish(self.pool)

    def publish(
        self,
        pool: Any,
        *strategies: StrategyRoute,
        policy: PolicyRoute | None = None,
        settings: Mapping[str, Any] | None = None,
        **routing: Any,
    ) -> None:
        """Serve an endpoint ``main`` on a pool, and its members as models."""
        endpoint = self.house.endpoint(
            pool, strategies or (MEAN,), policy, **{"caller_may_choose": True, **(settings or {})}
        )
        models = {member.name: {1: Model(pool, i)} for i, member in enumerate(pool.members)}
        version = self.house.plane.generation.version + 1
        self.house.plane.generation = Generation(
            version,
            Routing(version=version, **routing),
            (pool,),
            {"main": endpoint},
            models,
            Keyring(routing.get("keys", ())),
        )
        self.house.plane.generation.acquire()

    def ask(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
        """Send one request and read its answer."""
        (found,) = self.together(self.request(path, body, method, **headers))
        return found

    def together(self, *requests: Any) -> list[Answer]:
        """Run requests at once on one event loop."""

        async def main() -> list[Answer]:
            return list(await asyncio.gather(*requests))

        answers: list[Answer] = self.house.run(main())
        return answers

    async def request(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, sent, answer = await self.exchange(path, [(content, False)], method, **headers)
        found = {name.decode(): value.decode() for name, value in sent}
        assert len(found) == len(sent)  # none is sent twice
        assert isinstance(answer, bytes)
        return Answer(status, found, answer)

    async def exchange(
        self, path: str, chunks: list[tuple[bytes, bool]], method: str = "POST", **headers: str
    ) -> Reply:
        """The reply to a body in ``chunks``; after the last the client is gone."""
        path, _, query = path.partition("?")
        named = {"host": "localhost", "content_type": "application/json", **headers}
        received = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        messages = self._messages(chunks)

        async def receive() -> dict[str, Any]:
            return await anext(messages)

        together = len(chunks) == 1 and not chunks[0][1] and "content_length" not in headers
        whole = chunks[0][0] if together else None
        arrived = self.house.clock.now()
        request = Request(method, path, query.encode(), received, receive, arrived, whole)
        told: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        asked = self.app.prompt(request, told.set_result)
        if isinstance(asked, tuple):
            self.prompt += 1
            return asked
        if asked is not None:
            try:
                reply = await asyncio.shield(told)
            except asyncio.CancelledError:
                asked.cancel()
                raise
            if reply is not None:
                self.prompt += 1
                return reply
        return await self.app.handle(request)

    @staticmethod
    async def _messages(chunks: list[tuple[bytes, bool]]) -> AsyncIterator[dict[str, Any]]:
        for body, more in chunks:
            yield {"type": "http.request", "body": body, "more_body": more}
        while True:
            yield {"type": "http.disconnect"}

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter."""
        return float(self.house.counters.counter(name, **labels).value)


@pytest.fixture(params=["members", "graph"])
def port(house: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Port]:
    """Over members that run one by one, and over a graph that answers in the next turn of the loop."""
    found = Port(house, tmp_path, fused=request.param == "graph")
    yield found
    found.table.close()


def _error(answer: Answer, status: int, path: str | None) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json.get("path") == path


# --- answers --------------------------------------------------------------------------------------


def test_a_prediction_and_the_headers_that_go_with_it(port: Port) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = port.ask(PREDICT, ROWS, x_request_id="r1", traceparent=trace)
    assert answer.status == 200
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "x-request-id": "r1",
        "traceparent": trace,
    }
    assert answer.json["predictions"][0]["label"] == "yes"
    (decision,) = port.house.journal.decisions
    assert (decision.id, decision.request_id, decision.traceparent) == (answer.json["id"], "r1", trace)
    assert decision.input_digest == hashlib.sha256(json.dumps(ROWS).encode()).digest()


def test_an_inference_is_the_same_decision_in_another_dress(port: Port) -> None:
    answer = port.ask(INFER, {**TENSORS, "parameters": {"binary_data_output": True, "context.user": "u"}})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    head = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    (decision,) = port.house.journal.decisions
    assert head["parameters"] == {"decision_id": decision.id, "strategy": "average", "degraded": False}
    assert decision.context == {"user": "u"}


def test_a_model_answers_without_a_decision(port: Port) -> None:
    answer = port.ask("/v2/models/a/versions/1/infer", TENSORS)
    assert answer.json["outputs"][0]["data"] == pytest.approx([0.1, 0.9])
    assert port.house.journal.decisions == []


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/health/live", "/v2/models/main", "/openapi.json", "/docs"])
def test_head_has_the_headers_of_get(port: Port, path: str) -> None:
    got, head = port.ask(path, method="GET"), port.ask(path, method="HEAD")
    assert (got.status, head.status) == (200, 200)
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.body))


def test_a_body_may_come_in_pieces(port: Port) -> None:
    content = json.dumps(ROWS).encode()
    chunks = [(content[:5], True), (b"", True), (content[5:], True), (b"", False)]
    status, _, _ = port.house.run(port.exchange(PREDICT, chunks))
    assert status == 200


def test_nobody_is_answered_who_has_gone_away(port: Port) -> None:
    with pytest.raises(ClientDisconnected):
        port.house.run(port.exchange(PREDICT, [(b"{", True)]))
    assert port.house.journal.decisions == []


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "method", "status", "where"),
    [
        ("/", "GET", 404, "path"),
        ("/v1", "GET", 404, "path"),
        ("/v1/endpoints/main/predict/", "POST", 404, "path"),
        ("/v1/endpoints/main/explain", "POST", 404, "path"),
        ("/v1/endpoints//predict", "POST", 404, "endpoint"),
        (PREDICT, "GET", 405, "method"),
        ("/v1/outcomes", "DELETE", 405, "method"),
        ("/docs", "POST", 405, "method"),
    ],
)
def test_what_is_not_there_is_a_problem(port: Port, path: str, method: str, status: int, where: str) -> None:
    answer = port.ask(path, method=method)
    _error(answer, status, where)
    if status == 405:
        assert method not in answer.headers["allow"].split(", ")
    assert port.count("quorate_requests_total", endpoint="-", strategy="-", status="4xx") == 1


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/models", "GET", 404),
        ("/v2/models/", "GET", 404),
        ("/v2/models/main/versions", "GET", 404),
        ("/v2/models/main/versions/2", "GET", 404),
        ("/v2/models/main/versions/01", "GET", 404),
        ("/v2/models/a/versions/2", "GET", 404),
        ("/v2/models/a/versions/x", "GET", 404),
        ("/v2/models/nope", "GET", 404),
        ("/v2/models/main/ready/now", "GET", 404),
        ("/v2/health/ready", "POST", 405),
        (INFER, "GET", 405),
        ("/v2/repository/index", "GET", 405),
    ],
)
def test_the_protocol_has_its_own_form_of_errors(port: Port, path: str, method: str, status: int) -> None:
    answer = port.ask(path, method=method)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize(
    ("headers", "status", "where"),
    [
        ({"host": "evil.example"}, 403, "Host"),
        ({"origin": "http://evil.example"}, 403, "Origin"),
        ({"content_type": "text/csv"}, 415, "Content-Type"),
        ({"content_type": "image/png"}, 415, "Content-Type"),
        ({"content_type": "multipart/form-data; boundary=b"}, 400, "body"),
        ({"content_encoding": "br"}, 415, "Content-Encoding"),
        ({"content_length": "99999999"}, 413, "body"),
        ({"idempotency_key": "ä"}, 400, "Idempotency-Key"),
    ],
)
def test_headers_are_checked(port: Port, headers: dict[str, str], status: int, where: str) -> None:
    _error(port.ask(PREDICT, ROWS, **headers), status, where)
    assert port.house.journal.decisions == []


def test_the_limits_of_the_snapshot_hold(port: Port) -> None:
    port.publish(port.pool, limits=Limits(body_bytes=40, rows=1, json_depth=3))
    _error(port.ask(PREDICT, {"instances": [[1, 2], [3, 4]]}), 413, "instances")
    _error(port.ask(PREDICT, {"instances": [[[1]]]}), 413, "body")
    _error(port.ask(PREDICT, {"instances": [[1.00000001, 2.000000001]]}), 413, "body")


def test_the_names_of_the_snapshot_hold(port: Port) -> None:
    _error(port.ask(PREDICT, ROWS, host="models.example"), 403, "Host")
    port.publish(port.pool, hosts=("models.example",))
    assert port.ask(PREDICT, ROWS, host="models.example").status == 200
    port.publish(port.pool)
    _error(port.ask(PREDICT, ROWS, host="models.example"), 403, "Host")


def test_the_keys_of_the_snapshot_hold(port: Port) -> None:
    keys = tuple(KeyRoute(role, hashlib.sha256(role.encode()).hexdigest(), (role,)) for role in ("predict", "outcome"))
    port.publish(port.pool, keys=keys)
    answer = port.ask(PREDICT, ROWS)
    _error(answer, 401, "Authorization")
    assert "www-authenticate" in answer.headers
    _error(port.ask(PREDICT, ROWS, x_api_key="outcome"), 403, "Authorization")
    _error(port.ask("/v1/outcomes", {"truth": 1}, x_api_key="predict"), 403, "Authorization")
    assert port.ask(PREDICT, ROWS, authorization="Bearer predict").status == 200
    for path in ("/v2/models/main", "/v2/models/nope"):  # nobody learns without a key what there is
        assert port.ask(path, method="GET").status == 401
    for path in ("/v2/health/ready", "/v2/health/live", "/openapi.json", "/docs"):
        assert port.ask(path, method="GET").status == 200


def test_while_not_ready_only_life_is_shown(port: Port) -> None:
    port.ready = False
    _error(port.ask(PREDICT, ROWS), 503, None)
    _error(port.ask("/v1/outcomes", {"truth": 1}), 503, None)
    for path in ("/v2/health/ready", "/v2/models/main", "/v2/models/main/ready"):
        assert port.ask(path, method="GET").status == 503
    assert port.ask("/v2/health/live", method="GET").status == 200


def test_an_error_of_ours_shows_nothing_of_its_inside(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    def broken(items: Any) -> Any:
        raise RuntimeError("the secret is 42")

    port.desk.accept = broken  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.ERROR):
        answer = port.ask("/v1/outcomes", {"truth": 1}, x_request_id="r9")
    _error(answer, 500, None)
    assert "42" not in answer.body.decode()
    assert "r9" in caplog.text
    assert "the secret is 42" in caplog.text
    assert port.count("quorate_requests_total", endpoint="-", strategy="-", status="5xx") == 1


def test_no_quorum_is_a_504_and_one_decision(port: Port) -> None:
    pool = port.house.pool(a=port.house.inline(0.9), b=port.house.inline(port.house.raises(MemberCrashed("broken."))))
    port.publish(pool, BOTH)
    _error(port.ask(PREDICT, ROWS), 504, None)
    assert len(port.house.journal.decisions) == 1
    assert port.count("quorate_requests_total", endpoint="main", strategy="-", status="5xx") == 1
    assert port.count("quorate_requests_total", endpoint="-", strategy="-", status="5xx") == 0


# --- idempotency ----------------------------------------------------------------------------------


def test_what_is_shed_is_told_at_once_and_counted(port: Port) -> None:
    port.publish(port.pool, settings={"max_in_flight": 0})
    answer = port.ask(PREDICT, ROWS)
    _error(answer, 429, None)
    assert port.prompt == 1
    assert port.count("quorate_shed_total", endpoint="main", reason="limit") == 1
    assert port.count("quorate_requests_total", endpoint="-", strategy="-", status="4xx") == 1
    assert port.house.journal.records == []
    wrong = port.ask(PREDICT, ROWS, host="evil.example")  # who may not ask is not told how busy it is
    assert wrong.status == 403


def test_a_retry_gets_the_first_answer_headers_and_all(port: Port) -> None:
    for path, body in ((PREDICT, ROWS), (INFER, {**TENSORS, "parameters": {"binary_data_output": True}})):
        first = port.ask(path, body, idempotency_key=path, x_request_id="r1")
        again = port.ask(path, body, idempotency_key=path, x_request_id="r2")
        assert again.body == first.body
        assert again.headers == {**first.headers, "x-request-id": "r2", "idempotency-replayed": "true"}
    assert len(port.house.journal.decisions) == 2


def test_a_key_is_for_one_request_only(port: Port) -> None:
    assert port.ask(PREDICT, ROWS, idempotency_key="k").status == 200
    _error(port.ask(PREDICT, {"instances": [[1, 3]]}, idempotency_key="k"), 422, "Idempotency-Key")


def test_callers_have_keys_of_their_own(port: Port) -> None:
    keys = tuple(KeyRoute(name, hashlib.sha256(name.encode()).hexdigest(), ("predict",)) for name in ("one", "two"))
    port.publish(port.pool, keys=keys)
    first = port.ask(PREDICT, ROWS, idempotency_key="k", x_api_key="one")
    other = port.ask(PREDICT, ROWS, idempotency_key="k", x_api_key="two")
    assert (first.status, other.status) == (200, 200)
    assert first.json["id"] != other.json["id"]


def test_a_failed_request_gives_its_key_back(port: Port) -> None:
    asked = {**ROWS, "options": {"strategy": "nope"}}
    for _ in range(2):
        _error(port.ask(PREDICT, asked, idempotency_key="k"), 404, "options.strategy")
    assert port.ask(PREDICT, ROWS, idempotency_key="k").status == 200


def test_a_request_under_way_is_a_conflict(port: Port) -> None:
    port.publish(port.house.pool(a=port.house.hosted(0.9, delay=0.05), b=port.house.inline(0.7)))
    answers = port.together(*(port.request(PREDICT, ROWS, idempotency_key="k") for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    assert len(port.house.journal.decisions) == 1
    for answer in answers:
        if answer.status == 409:
            _error(answer, 409, "Idempotency-Key")


def test_a_request_with_a_key_goes_on_when_its_client_leaves(port: Port) -> None:
    port.publish(port.house.pool(a=port.house.hosted(0.9, delay=0.1), b=port.house.inline(0.7)))

    async def main() -> Answer:
        task = asyncio.ensure_future(port.request(PREDICT, ROWS, idempotency_key="k"))
        while not port.house.plane.meters.in_flight.value:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await port.app.finish()
        return await port.request(PREDICT, ROWS, idempotency_key="k")

    answer = port.house.run(main())
    assert (answer.status, answer.headers["idempotency-replayed"]) == (200, "true")
    assert len(port.house.journal.decisions) == 1


def test_a_request_without_a_key_is_counted_also_where_its_client_leaves_at_the_last_moment(port: Port) -> None:
    kept: asyncio.Future[Any] | None = None

    def append(payload: Any, kind: Any = None, *, on_full: str) -> asyncio.Future[Any]:
        nonlocal kept
        kept = asyncio.get_running_loop().create_future()
        return kept

    def append_group(payloads: Any, promise: Any, *, on_full: str) -> None:
        append(payloads, on_full=on_full).add_done_callback(lambda written: promise.set_result(written.result()))

    port.house.journal.append, port.house.journal.append_group = append, append_group

    async def main() -> None:
        task = asyncio.ensure_future(port.request(PREDICT, ROWS))
        while kept is None:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not kept.done():
            kept.set_result(1)  # the record was on its way
        await asyncio.sleep(0)

    port.house.run(main())
    assert port.count("quorate_requests_total", endpoint="main", strategy=MEAN.name, status="2xx") == 1


# --- outcomes -------------------------------------------------------------------------------------


def test_outcomes_come_alone_or_as_a_list_and_are_counted(port: Port) -> None:
    assert port.ask("/v1/outcomes", {"truth": 1}).status == 202
    answer = port.ask("/v1/outcomes", [{"truth": 1}, {"id": 2}])
    assert answer.status == 202
    assert (answer.json["accepted"], [wrong["index"] for wrong in answer.json["rejected"]]) == (1, [1])
    assert port.desk.items == [{"truth": 1}, {"truth": 1}, {"id": 2}]
    assert port.count("quorate_outcomes_total", result="accepted") == 2
    assert port.count("quorate_outcomes_total", result="rejected") == 1


def test_outcomes_come_as_lines(port: Port) -> None:
    lines = [b'{"truth": 1}', b"", b'{"id": 2}', b"nonsense", b'{"truth": 2}', b"[]", b'  {"truth": 3}\t']
    answer = port.ask("/v1/outcomes", b"\n".join(lines), content_type="application/x-ndjson")
    assert answer.status == 202
    assert port.desk.items == [{"truth": 1}, {"id": 2}, {"truth": 2}, {"truth": 3}]
    assert (answer.json["accepted"], answer.json["more_rejected"]) == (3, 0)
    assert [(r["index"], r["code"], r["path"]) for r in answer.json["rejected"]] == [
        (1, "invalid_input", "[1].truth"),
        (2, "malformed_request", "[2]"),
        (4, "invalid_input", "[4]"),
    ]
    assert port.count("quorate_outcomes_total", result="rejected") == 3
    _error(port.ask("/v1/outcomes", b"\n \n", content_type="application/x-ndjson"), 422, "body")


def test_of_many_bad_lines_some_are_named_and_all_are_counted(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_requests, "LISTED", 5)
    monkeypatch.setattr(outcome_requests, "AT_ONCE", 3)
    body = b'{"truth": 1}\n{}\n' * 10
    answer = port.ask("/v1/outcomes", body, content_type="application/x-ndjson").json
    assert [r["index"] for r in answer["rejected"]] == [1, 3, 5, 7, 9]
    assert [r["path"] for r in answer["rejected"][:2]] == ["[1].truth", "[3].truth"]
    assert (answer["accepted"], answer["more_rejected"]) == (10, 5)


def test_lines_that_cannot_be_recorded_say_how_far_it_came(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_requests, "AT_ONCE", 2)
    taken = port.desk.accept

    async def full(items: list[Mapping[str, Any]]) -> dict[str, Any]:
        if len(port.desk.items) >= 4:
            raise Overloaded("The disk is full.")
        return await taken(items)

    monkeypatch.setattr(port.desk, "accept", full)
    answer = port.ask("/v1/outcomes", b'{"truth": 1}\n' * 9, content_type="application/x-ndjson")
    _error(answer, 429, None)
    assert answer.json["detail"] == "The disk is full; 4 lines were taken before. Send all of them again."


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"id": 1}, 422, "truth"),
        ([], 422, "body"),
        ([1], 422, "body"),
        ("x", 422, "body"),
        (b"{", 400, "body"),
        ([{}] * 10_001, 413, "body"),
    ],
)
def test_bad_outcomes_are_problems(port: Port, body: Any, status: int, where: str) -> None:
    _error(port.ask("/v1/outcomes", body), status, where)


# --- the index ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": false}', b" "])
def test_the_index_lists_what_is_served(port: Port, body: bytes) -> None:
    found = port.ask("/v2/repository/index", body).json
    assert [(entry["name"], entry["version"]) for entry in found] == [("main", "1"), ("a", "1"), ("b", "1")]


class Repository:
    """Remembers what it was asked, and marks an endpoint as a real one does."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.asked: list[str] = []

    async def load(self, name: str, by: str | None = None) -> None:
        self.asked.append(f"load {name}" + (f" by {by}" if by else ""))
        self.port.house.plane.generation.endpoints[name].unloaded = False

    async def unload(self, name: str, by: str | None = None) -> None:
        self.asked.append(f"unload {name}" + (f" by {by}" if by else ""))
        self.port.house.plane.generation.endpoints[name].unloaded = True


def test_what_is_unloaded_says_so_until_it_is_loaded(port: Port) -> None:
    port.app._protocol._repository = repository = Repository(port)  # type: ignore[assignment]
    assert port.ask("/v2/repository/models/main/unload", b"").json == {}
    for path, body, method in (
        (PREDICT, ROWS, "POST"),
        (INFER, TENSORS, "POST"),
        ("/v2/models/main/ready", None, "GET"),
    ):
        refused = port.ask(path, body, method)
        assert refused.status == 503
        assert "/v2/repository/models/main/load" in str(refused.json)
    index = {entry["name"]: (entry["state"], entry["reason"]) for entry in port.ask("/v2/repository/index").json}
    assert index["main"] == ("UNAVAILABLE", "It was unloaded on request.")
    assert index["a"] == ("READY", "")
    assert "main" not in {entry["name"] for entry in port.ask("/v2/repository/index", b'{"ready": true}').json}
    assert port.ask("/v2/repository/models/main/load", b"{}").status == 200
    assert port.ask(PREDICT, ROWS).status == 200
    assert repository.asked == ["unload main", "load main"]


@pytest.mark.parametrize("body", [b"[]", b'{"parameters": {"config": "{}"}}', b'{"unload_dependents": true}', b"{"])
def test_a_load_has_no_parameters(port: Port, body: bytes) -> None:
    port.app._protocol._repository = repository = Repository(port)  # type: ignore[assignment]
    assert port.ask("/v2/repository/models/main/load", body).status in (400, 422)
    assert repository.asked == []


def test_only_an_admin_unloads(port: Port) -> None:
    keys = tuple(KeyRoute(role, hashlib.sha256(role.encode()).hexdigest(), (role,)) for role in ("operate", "admin"))
    port.publish(port.pool, keys=keys)
    port.app._protocol._repository = repository = Repository(port)  # type: ignore[assignment]
    for role, status in (("operate", 403), ("admin", 200)):
        assert port.ask("/v2/repository/models/main/unload", b"", x_api_key=role).status == status
    assert repository.asked == ["unload main by admin"]


@pytest.mark.parametrize("body", [b"[]", b'{"ready": 1}', b'{"name": "a"}', b"{"])
def test_a_bad_index_request_is_refused(port: Port, body: bytes) -> None:
    assert port.ask("/v2/repository/index", body).status in (400, 422)


@pytest.mark.parametrize(
    ("path", "body", "broken"), [(PREDICT, ROWS, "answers.encode"), (INFER, TENSORS, "oip_responses.encode")]
)
def test_an_error_after_the_decision_is_logged_with_its_id(
    port: Port, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, path: str, body: Any, broken: str
) -> None:
    def fail(*_: Any, name: str = "main", **__: Any) -> Any:
        if name:  # a protocol request is tried on a blank answer first, without a name
            raise RuntimeError("cannot be encoded")

    monkeypatch.setattr(f"quorate.serving.{broken}", fail)
    with caplog.at_level(logging.ERROR):
        assert port.ask(path, body, x_request_id="r9").status == 500
    (record,) = caplog.records
    assert record.request_id == "r9"  # type: ignore[attr-defined]
    assert record.decision == port.house.journal.decisions[-1].id  # type: ignore[attr-defined]


# --- statistics -----------------------------------------------------------------------------------


def _durations(model: Any) -> dict[str, int]:
    return {name: spent["count"] for name, spent in model["inference_stats"].items() if spent["count"]}


def test_statistics_of_an_endpoint_and_of_a_member(port: Port) -> None:
    for _ in range(3):
        assert port.ask(PREDICT, ROWS).status == 200
    for path in ("/v2/models/main/stats", "/v2/models/main/versions/1/stats"):
        answer = port.ask(path, method="GET")
        assert answer.status == 200
        (found,) = answer.json["model_stats"]
        assert (found["name"], found["version"]) == ("main", "1")
        assert (found["inference_count"], found["execution_count"]) == (3, 3)
        assert _durations(found) == {"success": 3, "queue": 3, "compute_infer": 3}
        assert set(found["inference_stats"]) == {
            *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
        }
    (member,) = port.ask("/v2/models/a/stats", method="GET").json["model_stats"]
    assert (member["name"], member["inference_count"]) == ("a", 3)
    everything = port.ask("/v2/models/stats", method="GET").json["model_stats"]
    assert [one["name"] for one in everything] == ["main", "a", "b"]
    assert "statistics" in port.ask("/v2", method="GET").json["extensions"]


def test_statistics_of_what_there_is_only(port: Port) -> None:
    for path in ("/v2/models/nobody/stats", "/v2/models/a/versions/7/stats", "/v2/models/main/versions/2/stats"):
        answer = port.ask(path, method="GET")
        assert (answer.status, list(answer.json)) == (404, ["error"])
    assert port.ask("/v2/models/main/stats").status == 405
    port.publish(port.house.pool(stats=port.house.inline(0.9)), StrategyRoute("s", "mean", ("stats",), 1))
    assert port.ask("/v2/models/stats", method="GET").json["platform"] == "quorate_fake"  # a model of that name
    assert port.ask("/v2/models/stats/stats", method="GET").json["model_stats"][0]["name"] == "stats"


def test_statistics_are_for_operators(port: Port) -> None:
    keys = tuple(KeyRoute(role, hashlib.sha256(role.encode()).hexdigest(), (role,)) for role in ("predict", "operate"))
    port.publish(port.pool, keys=keys)
    for role, status in (("predict", 403), ("operate", 200)):
        assert port.ask("/v2/models/main/stats", method="GET", x_api_key=role).status == status
