"""The methods of the inference service: gates, deadlines, errors, idempotency, cancellation."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
from typing import Any

import grpc
import numpy as np
import pytest

from quorate.codecs.snapshot import FrontRoute, FrontRule, KeyRoute, Limits, PolicyRoute, StrategyRoute
from quorate.errors import NotFound
from quorate.serving.facts import Surroundings
from quorate.serving.fronts import loaded
from quorate.serving.grpc import open_inference_pb2 as messages
from quorate.serving.grpc import service
from quorate.serving.grpc.service import sooner

BOTH = StrategyRoute("both", "mean", ("a", "b"), 2)
KEYS = (
    KeyRoute("p", hashlib.sha256(b"predicts").hexdigest(), ("predict",)),
    KeyRoute("o", hashlib.sha256(b"operates").hexdigest(), ("operate",)),
    KeyRoute("a", hashlib.sha256(b"administers").hexdigest(), ("admin",)),
)
ASKS = {
    "ServerLive": messages.ServerLiveRequest(),
    "ServerReady": messages.ServerReadyRequest(),
    "ServerMetadata": messages.ServerMetadataRequest(),
    "ModelReady": messages.ModelReadyRequest(name="main"),
    "ModelMetadata": messages.ModelMetadataRequest(name="main"),
    "RepositoryIndex": messages.RepositoryIndexRequest(),
    "ModelStatistics": messages.ModelStatisticsRequest(name="main"),
    "RepositoryModelLoad": messages.RepositoryModelLoadRequest(model_name="a"),
    "RepositoryModelUnload": messages.RepositoryModelUnloadRequest(model_name="a"),
}


def test_every_method_of_the_protocol_is_served(port: Any) -> None:
    (declared,) = messages.DESCRIPTOR.services_by_name.values()
    methods = port.service.methods
    assert set(methods) == {method.name for method in declared.methods}
    for method in declared.methods:
        assert methods[method.name].request.DESCRIPTOR is method.input_type


# --- about the server -----------------------------------------------------------------------------


def test_what_the_server_says_of_itself(port: Any) -> None:
    assert port.call("ServerLive", ASKS["ServerLive"])[0].live
    assert port.call("ServerReady", ASKS["ServerReady"])[0].ready
    about, _ = port.call("ServerMetadata", ASKS["ServerMetadata"])
    assert about.name == "quorate"
    assert list(about.extensions) == ["model_repository", "statistics"]


def test_endpoints_and_models_by_name_and_version(port: Any) -> None:
    metadata, _ = port.call("ModelMetadata", messages.ModelMetadataRequest(name="main"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("main", ["1"], "quorate_ensemble")
    (given,) = metadata.inputs
    assert (given.name, given.datatype, list(given.shape)) == ("input", "FP32", [-1, 2])
    assert [output.name for output in metadata.outputs] == ["probabilities", "label", "confidence"]
    model, _ = port.call("ModelMetadata", messages.ModelMetadataRequest(name="a", version="1"))
    assert (model.name, model.platform) == ("a", "quorate_fake")
    index, _ = port.call("RepositoryIndex", ASKS["RepositoryIndex"])
    assert [(one.name, one.version, one.state) for one in index.models] == [
        ("main", "1", "READY"),
        ("a", "1", "READY"),
        ("b", "1", "READY"),
    ]


@pytest.mark.parametrize(("name", "version"), [("nobody", ""), ("main", "7"), ("a", "2"), ("a", "x")])
@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelInfer", "ModelStatistics"])
def test_what_is_not_there_is_not_found(port: Any, infer: Any, method: str, name: str, version: str) -> None:
    if method == "ModelInfer":
        request = infer(name, model_version=version)
    else:
        request = getattr(messages, f"{method}Request")(name=name, version=version)
    _, ended = port.call(method, request)
    assert ended.code is grpc.StatusCode.NOT_FOUND
    assert ended.trailing["quorate-code"] == "not_found"


def test_a_worker_that_is_not_ready_says_so(port: Any, infer: Any) -> None:
    port.ready = False
    assert port.call("ServerLive", ASKS["ServerLive"])[0].live
    assert not port.call("ServerReady", ASKS["ServerReady"])[0].ready
    assert not port.call("ModelReady", ASKS["ModelReady"])[0].ready
    _, ended = port.call("ModelInfer", infer())
    assert ended.code is grpc.StatusCode.UNAVAILABLE


# --- repository -----------------------------------------------------------------------------------


class Repository:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def load(self, name: str, by: str | None = None) -> None:
        if name == "nobody":
            raise NotFound("There is no model 'nobody'.", path="model_name")
        self.done.append(f"load {name}" + (f" by {by}" if by else ""))

    async def unload(self, name: str, by: str | None = None) -> None:
        self.done.append(f"unload {name}" + (f" by {by}" if by else ""))


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_without_a_repository_nothing_is_loaded_on_request(port: Any, method: str) -> None:
    _, ended = port.call(method, ASKS[method])
    assert ended.code is grpc.StatusCode.UNIMPLEMENTED
    assert "quorate.yaml" in ended.details


@pytest.mark.parametrize("field", ["model_name", "repository_name"])  # KServe's clients send the other one
def test_a_repository_loads_and_unloads(port: Any, field: str) -> None:
    repository = Repository()
    port.hook(repository)
    loaded, _ = port.call("RepositoryModelLoad", messages.RepositoryModelLoadRequest(**{field: "a"}))
    assert (loaded.model_name, loaded.isLoaded) == ("a", True)
    gone, _ = port.call("RepositoryModelUnload", messages.RepositoryModelUnloadRequest(**{field: "a"}))
    assert (gone.model_name, gone.isUnloaded) == ("a", True)
    assert repository.done == ["load a", "unload a"]
    _, ended = port.call("RepositoryModelLoad", messages.RepositoryModelLoadRequest(**{field: "nobody"}))
    assert ended.code is grpc.StatusCode.NOT_FOUND


def test_a_repository_is_told_who_asks(port: Any) -> None:
    port.publish(port.pool, keys=KEYS)
    repository = Repository()
    port.hook(repository)
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        _, ended = port.call(method, ASKS[method], ("x-api-key", "administers"))
        assert ended.code is grpc.StatusCode.OK
    assert [done.partition(" by ")[2] for done in repository.done] == ["a", "a"]  # the id of that key


# --- inference ------------------------------------------------------------------------------------


def test_an_answer_and_its_decision(port: Any, infer: Any) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = infer(id="7")
    request.parameters["context.user"].string_param = "u"
    answer, ended = port.call("ModelInfer", request, ("x-request-id", "mine"), ("traceparent", trace))
    assert (answer.model_name, answer.model_version, answer.id) == ("main", "1", "7")
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[0], "<f4"), [0.2, 0.8], atol=1e-6)
    assert ended.trailing == {"x-request-id": "mine", "traceparent": trace}
    (decision,) = port.house.journal.decisions
    assert answer.parameters["decision_id"].string_param == decision.id
    assert answer.parameters["strategy"].string_param == "average"
    assert answer.parameters["degraded"].bool_param is False
    assert (decision.request_id, decision.traceparent, decision.context) == ("mine", trace, {"user": "u"})
    assert decision.input_digest == hashlib.sha256(request.SerializeToString()).digest()


def test_a_model_answers_for_itself_without_a_decision(port: Any, infer: Any) -> None:
    answer, _ = port.call("ModelInfer", infer("a"))
    assert (answer.model_name, dict(answer.parameters)) == ("a", {})
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[0], "<f4"), [0.1, 0.9], atol=1e-6)
    assert not port.house.journal.decisions


def test_a_blind_endpoint_tells_the_label(port: Any, infer: Any) -> None:
    policy = PolicyRoute("fixed", {"strategy": "both"}, blind=True)
    port.publish(port.pool, BOTH, policy=policy)
    metadata, _ = port.call("ModelMetadata", ASKS["ModelMetadata"])
    assert [output.name for output in metadata.outputs] == ["label"]
    answer, ended = port.call("ModelInfer", infer())
    assert [output.name for output in answer.outputs] == ["label"]
    assert set(answer.parameters) == {"decision_id"}
    assert set(ended.trailing) == {"x-request-id"}
    for change in ("outputs", "strategy"):
        request = infer()
        if change == "outputs":
            request.outputs.add(name="probabilities")
        else:
            request.parameters["strategy"].string_param = "both"
        _, ended = port.call("ModelInfer", request)
        assert ended.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED)
        assert "both" not in ended.details


def test_no_quorum_is_a_passed_deadline(port: Any, infer: Any) -> None:
    port.publish(port.house.pool(a=port.house.inline(0.9), b=port.house.hosted(0.7, port.house.HANG)), BOTH)
    before = port.house.clock.monotonic()
    _, ended = port.call("ModelInfer", infer())
    assert ended.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended.trailing["quorate-code"] == "no_quorum"
    assert port.house.clock.monotonic() - before == pytest.approx(0.2, abs=1e-3)
    assert port.house.journal.decisions[0].error == "no_quorum"


def test_the_clients_deadline_counts_less_the_way_back(port: Any, infer: Any) -> None:
    port.publish(port.house.pool(a=port.house.inline(0.9), b=port.house.hosted(0.7, port.house.HANG)))
    request = infer()
    request.parameters["max_ms"].int64_param = 150
    before = port.house.clock.monotonic()
    answer, _ = port.call("ModelInfer", request, remaining=0.1)
    assert port.house.clock.monotonic() - before == pytest.approx(0.094, abs=1e-3)
    assert answer.parameters["degraded"].bool_param is True


@pytest.mark.parametrize(
    ("max_ms", "remaining", "expected"),
    [
        (None, None, None),
        (7.0, None, 7.0),
        (None, 0.01, 9.0),
        (None, 10.0, 9895.0),
        (7.0, 0.01, 7.0),
        (70.0, 0.01, 9.0),
        (None, 0.0, 0.0),
    ],
)
def test_the_sooner_deadline_counts(max_ms: float | None, remaining: float | None, expected: float | None) -> None:
    assert sooner(max_ms, remaining) == (None if expected is None else pytest.approx(expected))


# --- gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*ASKS, "ModelInfer"])
@pytest.mark.parametrize("key", [None, "unknown", "predicts", "operates", "administers"])
def test_keys_and_their_roles(port: Any, infer: Any, method: str, key: str | None) -> None:
    port.publish(port.pool, keys=KEYS)
    port.hook(Repository())
    role = port.service.methods[method].role
    metadata = [] if key is None else [("x-api-key", key)]
    _, ended = port.call(method, ASKS.get(method) or infer(), *metadata)
    allowed = {
        None: {None, "unknown", "predicts", "operates", "administers"},
        "predict": {"predicts", "operates", "administers"},
        "operate": {"operates", "administers"},
        "admin": {"administers"},
    }
    if key in allowed[role]:
        assert ended.code is grpc.StatusCode.OK
    elif key in (None, "unknown"):
        assert ended.code is grpc.StatusCode.UNAUTHENTICATED
    else:
        assert ended.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_key_may_come_as_authorization(port: Any, infer: Any) -> None:
    port.publish(port.pool, keys=KEYS)
    _, ended = port.call("ModelInfer", infer(), ("authorization", "Bearer predicts"), ("x-api-key", "unknown"))
    assert ended.code is grpc.StatusCode.OK


def test_a_message_is_not_read_for_one_without_a_key(port: Any, infer: Any) -> None:
    port.publish(port.pool, keys=KEYS)
    context = port.context(infer().SerializeToString(), (), None)
    port.house.run(port.handle("ModelInfer", context))
    assert context.ended.code is grpc.StatusCode.UNAUTHENTICATED
    assert context.reads == 0


def test_calls_at_once_are_bounded(port: Any, infer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CALLS", 1)

    async def main() -> Any:
        waiting = port.context(b"", (), None, hold=True)
        first = asyncio.ensure_future(port.handle("ModelInfer", waiting))
        while not waiting.reads:
            await asyncio.sleep(0)
        second = port.context(infer().SerializeToString(), (), None)
        await port.handle("ModelInfer", second)
        first.cancel()
        await asyncio.wait([first])
        third = port.context(infer().SerializeToString(), (), None)
        await port.handle("ModelInfer", third)
        assert third.ended.code is grpc.StatusCode.OK
        return second

    ended = port.house.run(main()).ended
    assert ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(ended.trailing["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("raw", "details"),
    [
        (b"\xff\xff\xff", "no ModelInferRequest"),
        (b"\x0a\x02\xff\xfe", "no ModelInferRequest"),  # a name that is not UTF-8
        (grpc.aio.EOF, "no message"),
    ],
)
def test_what_is_no_message_is_refused(port: Any, raw: Any, details: str) -> None:
    _, ended = port.call("ModelInfer", raw)
    assert ended.code is grpc.StatusCode.INVALID_ARGUMENT
    assert details in ended.details


def test_a_message_that_does_not_come_is_not_waited_for(port: Any) -> None:
    context = port.context(b"", (), None, hold=True)
    port.house.run(port.handle("ModelInfer", context))
    assert context.ended.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "within 30 s" in context.ended.details


def test_a_message_above_the_limit_of_now_is_refused(port: Any, infer: Any) -> None:
    port.publish(port.pool, limits=Limits(body_bytes=16))
    _, ended = port.call("ModelInfer", infer())
    assert ended.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "limits.body_bytes" in ended.details


def test_our_own_fault_shows_nothing_of_its_inside(
    port: Any, infer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> Any:
        raise ValueError("secret")

    monkeypatch.setattr(port.house.plane, "predict", broken)
    with caplog.at_level(logging.ERROR):
        _, ended = port.call("ModelInfer", infer(), ("x-request-id", "mine"))
    assert ended.code is grpc.StatusCode.INTERNAL
    assert "secret" not in ended.details
    assert "Call ModelInfer failed (mine)" in caplog.text


# --- once -----------------------------------------------------------------------------------------


def test_a_retry_is_one_decision(port: Any, infer: Any) -> None:
    request = infer(id="7")
    for name in ("a", "b", "c", "d"):
        request.parameters[f"context.{name}"].string_param = name
    first, ended = port.call("ModelInfer", request, ("idempotency-key", "k"))
    assert "idempotency-replayed" not in ended.trailing
    again = messages.ModelInferRequest.FromString(request.SerializeToString())
    second, ended = port.call("ModelInfer", again, ("idempotency-key", "k"))
    assert ended.trailing["idempotency-replayed"] == "true"
    assert first == second
    (decision,) = port.house.journal.decisions
    assert decision.idempotency_key == "k"
    _, ended = port.call("ModelInfer", infer(id="8"), ("idempotency-key", "k"))
    assert ended.code is grpc.StatusCode.INVALID_ARGUMENT


def test_who_left_finds_the_one_decision_when_it_comes_back(port: Any, infer: Any) -> None:
    port.publish(port.house.pool(a=port.house.hosted(0.9, 0.05)), StrategyRoute("only", "single", ("a",), 1))

    async def main() -> Any:
        left = port.context(infer().SerializeToString(), [("idempotency-key", "k")], None)
        first = asyncio.ensure_future(port.handle("ModelInfer", left))
        while not port.service._kept:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await asyncio.wait(port.service._kept)  # not finish(): while a thread works, this loop's timers ring at once
        back = port.context(infer().SerializeToString(), [("idempotency-key", "k")], None)
        await port.handle("ModelInfer", back)
        return back

    ended = port.house.run(main()).ended
    assert ended.code is grpc.StatusCode.OK
    assert ended.trailing["idempotency-replayed"] == "true"
    assert len(port.house.journal.decisions) == 1


def test_a_cancelled_call_stops_and_harms_nobody(port: Any, infer: Any) -> None:
    port.publish(port.house.pool(a=port.house.hosted(0.9, 0.05), b=port.house.inline(0.7)), BOTH)

    async def main() -> Any:
        gone, stays = (port.context(infer().SerializeToString(), (), None) for _ in range(2))
        cancelled = asyncio.ensure_future(port.handle("ModelInfer", gone))
        other = asyncio.ensure_future(port.handle("ModelInfer", stays))
        while port.house.meters.in_flight.value < 2:
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert port.house.meters.in_flight.value == 1
        await other
        return stays

    assert port.house.run(main()).ended.code is grpc.StatusCode.OK
    assert len(port.house.journal.decisions) == 1
    assert port.house.meters.in_flight.value == 0
    assert not port.house.faults


# --- fronts ---------------------------------------------------------------------------------------


def test_a_front_is_served_as_an_endpoint_and_names_the_one_that_answers(port: Any, infer: Any) -> None:
    plane = port.house.plane
    route = FrontRoute("door", 3, (FrontRule('context.secret == "yes"', "main"),), "main")
    around = Surroundings(port.house.clock)
    fronts = loaded([route], plane.generation.endpoints, port.house.clock, around)
    plane.generation = dataclasses.replace(plane.generation, fronts=fronts)
    metadata, _ = port.call("ModelMetadata", messages.ModelMetadataRequest(name="door"))
    assert (metadata.name, list(metadata.versions)) == ("door", ["3"])
    request = infer("door")
    request.parameters["context.secret"].string_param = "yes"
    answer, _ = port.call("ModelInfer", request)
    assert (answer.model_name, answer.parameters["endpoint"].string_param) == ("door", "main")
    (made,) = port.house.journal.decisions
    assert (made.endpoint, made.facts) == ("main", {"front": "door", "front.rule": "1"})
