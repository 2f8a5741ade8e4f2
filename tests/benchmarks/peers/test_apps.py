"""The peers answer what the members' mean is; called in process, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.peers import asgi, fastapi_app
from benchmarks.peers.check import WrongAnswer, check_answer, difference, expected
from benchmarks.peers.limit import ANSWER_BYTES, echo, runs_per_second
from benchmarks.peers.pool import VARIABLE, FiveSessions, FusedSession, PoolFiles, answer, from_environment
from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.runtimes.compile import compile_pool
from quorate.runtimes.graph import STACKED

CLASSES = tuple("0123456789")
TENSOR = TensorSpec("input", "float32", (None, 64))
OUTPUT = "probabilities"
WEIGHTS = np.random.default_rng(5).normal(size=(5, 64, 10)).astype(np.float32)
ROWS = np.random.default_rng(6).integers(0, 256, (3, 8, 8))


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoolFiles:
    """Five linear members with known weights, alone and fused, where the peers look for them."""
    members = [(f"m{i}", _member(tmp_path / f"m{i}", weights)) for i, weights in enumerate(WEIGHTS)]
    graph = compile_pool(members)
    (tmp_path / "fused.onnx").write_bytes(graph.model)
    files = PoolFiles(
        CLASSES,
        graph.input_name,
        1 / 255,
        {str(artifact.folder / "model.onnx"): OUTPUT for _, artifact in members},
        str(tmp_path / "fused.onnx"),
        (STACKED,),
    )
    files.save(tmp_path / "pool.json")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "pool.json"))
    return files


def _member(folder: Path, weights: np.ndarray) -> Artifact:
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "w"], ["z"]),
            helper.make_node("Softmax", ["z"], [OUTPUT], axis=1),
        ],
        "member",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 10])],
        [numpy_helper.from_array(weights, "w")],
    )
    folder.mkdir()
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    signature = Signature("array", (TENSOR,), OutputSpec("scores", CLASSES))
    return Artifact(folder.name, 1, "onnx", folder, ("model.onnx",), "sha256:0", signature, (TENSOR,), OUTPUT)


def _by_hand(row: np.ndarray) -> np.ndarray:
    z = (row.reshape(64) / 255) @ WEIGHTS.astype(np.float64)
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    return (exp / exp.sum(axis=1, keepdims=True)).mean(axis=0)


def _call(app: Any, body: bytes, *, path: str = asgi.PATH, method: str = "POST") -> tuple[int, bytes]:
    async def request() -> tuple[int, bytes]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
            return answer.status_code, answer.content

    return asyncio.run(request())


PROGRAMS: list[Callable[[], Any]] = [asgi.five, asgi.fused, fastapi_app.five]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_answers_with_the_mean_of_the_members(pool: PoolFiles, program: Callable[[], Any]) -> None:
    status, body = _call(program(), json.dumps({"instances": ROWS.tolist()}).encode())
    assert status == 200
    predictions = json.loads(body)["predictions"]
    assert len(predictions) == len(ROWS)
    for row, found in zip(ROWS, predictions, strict=True):
        wanted = _by_hand(row)
        assert found["label"] == CLASSES[wanted.argmax()]
        assert found["confidence"] == max(found["probabilities"].values())
        assert list(found["probabilities"]) == list(CLASSES)
        assert list(found["probabilities"].values()) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("body", [b"{", b'{"instances": [["a"]]}', b"{}"])
def test_a_program_refuses_what_is_no_row(pool: PoolFiles, program: Callable[[], Any], body: bytes) -> None:
    assert _call(program(), body)[0] in (400, 422)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_has_one_route(pool: PoolFiles, program: Callable[[], Any]) -> None:
    assert _call(program(), b"", path="/other")[0] == 404


def test_the_check_knows_the_right_answer_and_every_wrong_one(pool: PoolFiles) -> None:
    row = ROWS[0].tolist()
    wanted = expected(pool, [row])[0]
    assert list(wanted.values()) == pytest.approx(_by_hand(ROWS[0]), abs=1e-6)
    said = json.loads(_call(asgi.five(), json.dumps({"instances": [row]}).encode())[1])
    assert difference(said, [wanted]) is None
    found = said["predictions"][0]
    others = next(c for c in CLASSES if c != found["label"])
    for wrong in (
        {"label": others},
        {"confidence": found["confidence"] + 2e-5},
        {"probabilities": {**found["probabilities"], others: found["probabilities"][others] + 2e-5}},
        {"probabilities": dict(reversed(found["probabilities"].items()))},
    ):
        assert difference({"predictions": [{**found, **wrong}]}, [wanted]) is not None
    assert difference({"predictions": [found, found]}, [wanted]) is not None
    assert difference({}, [wanted]) is not None
    flat = list(wanted.values())
    output = {"name": "probabilities", "shape": [1, 10], "data": flat}
    assert difference({"outputs": [output]}, [wanted]) is None
    assert difference({"outputs": [{**output, "data": flat[::-1]}]}, [wanted]) is not None
    assert difference({"outputs": [{**output, "data": flat[:-1]}]}, [wanted]) is not None
    assert difference({"outputs": [{**output, "name": "other"}]}, [wanted]) is not None
    with pytest.raises(WrongAnswer, match="status 500"):
        check_answer("it", 500, b"no", [wanted])


def test_the_echo_answers_as_many_bytes_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANSWER_BYTES, "348")
    status, body = _call(echo(), b"x" * 1000)
    assert (status, len(body)) == (200, 348)
    assert isinstance(json.loads(body), str)


@pytest.mark.parametrize("program", [asgi.five, echo])
def test_a_raw_program_starts_and_stops_as_asgi_says(
    pool: PoolFiles, monkeypatch: pytest.MonkeyPatch, program: Callable[[], Any]
) -> None:
    monkeypatch.setenv(ANSWER_BYTES, "10")
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": next(events)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    asyncio.run(program()({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_fused_graph_gives_what_five_sessions_give(pool: PoolFiles) -> None:
    assert from_environment() == pool
    alone = FiveSessions(pool).probabilities(ROWS.tolist())
    np.testing.assert_allclose(FusedSession(pool).probabilities(ROWS.tolist()), alone, atol=1e-6)


def test_the_plain_answer_is_the_programs(pool: PoolFiles) -> None:
    model = FiveSessions(pool)
    found = json.loads(_call(asgi.five(), json.dumps({"instances": ROWS.tolist()}).encode())[1])
    plain = answer(model, ROWS.tolist())
    assert [p["label"] for p in plain["predictions"]] == [p["label"] for p in found["predictions"]]
    for mine, theirs in zip(plain["predictions"], found["predictions"], strict=True):
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_the_graph_can_be_run_alone(pool: PoolFiles) -> None:
    assert runs_per_second(FusedSession(pool), {"input": np.zeros((1, 64), np.float32)}, 0.0) == (0, 0)
