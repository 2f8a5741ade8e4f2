"""The Open Inference Protocol over HTTP, byte by byte; stock clients are held against it by ``make check-clients``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
FILES = [(SAMPLES / name).read_bytes() for name in ("0.png", "3.png", "7.png")]
PIXELS = np.stack([np.asarray(Image.open(SAMPLES / name).convert("L")) for name in ("0.png", "3.png", "7.png")])
LABELS = ["0", "3", "7"]
HIDDEN = """
  hidden:
    pool: digits
    strategies: {soft: {kind: vote}, best: {kind: single, member: svm}}
    policy: {kind: split, weights: {soft: 1, best: 1}, blind: true}
"""
OUTPUTS = [
    {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
    {"name": "label", "datatype": "BYTES", "shape": [-1]},
    {"name": "confidence", "datatype": "FP32", "shape": [-1]},
]
INPUTS = [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
MEMBERS = ["logistic", "forest", "extra-trees", "mlp", "svm"]


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    """The digits endpoint and a blind one beside it."""
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text() + HIDDEN)
    return module_server(module_digits)


def _tensor(**more: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [3, 64, 64], "datatype": "UINT8", **more}


def _infer(site: Any, body: Any, model: str = "digits", tail: bytes | None = None, **headers: str) -> httpx.Response:
    """Send JSON, with ``tail`` behind it where the binary extension is used."""
    content = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if tail is not None:
        named["inference-header-content-length"] = str(len(content))
        content += tail
    answer: httpx.Response = site.http.post(f"{site.url}/v2/models/{model}/infer", content=content, headers=named)
    assert answer.status_code == 200, answer.text
    return answer


def _outputs(answer: httpx.Response) -> dict[str, Any]:
    """The output tensors, also of an answer with binary ones, as nested lists."""
    length = answer.headers.get("inference-header-content-length")
    head = answer.content if length is None else answer.content[: int(length)]
    tail = b"" if length is None else answer.content[int(length) :]
    assert answer.headers["content-type"] == ("application/json" if length is None else "application/octet-stream")
    found = {}
    for output in json.loads(head)["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        data = output.get("data") if size is None else _unpack(tail[:size], output["datatype"])
        tail = tail[size or 0 :]
        found[output["name"]] = np.reshape(data, output["shape"]).tolist()
    assert not tail
    return found


def _unpack(data: bytes, datatype: str) -> list[Any]:
    if datatype == "FP32":
        return np.frombuffer(data, "<f4").tolist()
    assert datatype == "BYTES"
    found = []
    while data:
        size = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found


def test_health_and_server_metadata(site: Any) -> None:
    assert site.http.get(f"{site.url}/v2/health/live").json() == {"live": True}
    assert site.http.get(f"{site.url}/v2/health/ready").json() == {"ready": True}
    about = site.http.get(f"{site.url}/v2").json()
    assert about["name"] == "quorate"
    assert "binary_tensor_data" in about["extensions"]


def test_the_index_lists_endpoints_and_models(site: Any) -> None:
    for body in (b"", b"{}", b'{"ready": true}'):
        found = site.http.post(f"{site.url}/v2/repository/index", content=body).json()
        assert {entry["name"] for entry in found} == {"digits", "hidden", *MEMBERS}
        assert {entry["state"] for entry in found} == {"READY"}


@pytest.mark.parametrize("place", ["digits", "digits/versions/1", "svm", "svm/versions/1"])
def test_metadata_and_readiness(site: Any, place: str) -> None:
    found = site.http.get(f"{site.url}/v2/models/{place}").json()
    assert found["name"] == place.partition("/")[0]
    assert found["versions"] == ["1"]
    assert found["inputs"] == INPUTS
    assert found["outputs"] == OUTPUTS
    assert site.http.get(f"{site.url}/v2/models/{place}/ready").json()["ready"] is True


def test_every_way_to_send_pictures_gets_the_same_answer(site: Any) -> None:
    def options(tensor: dict[str, Any]) -> dict[str, Any]:
        return {"inputs": [tensor], "parameters": {"strategy": "soft-vote"}}

    raw = PIXELS.tobytes()
    packed = b"".join(len(file).to_bytes(4, "little") + file for file in FILES)
    encoded = {"name": "image", "shape": [3], "datatype": "BYTES"}
    answers = [
        _infer(site, options(_tensor(data=PIXELS.tolist()))),
        _infer(site, options(_tensor(data=PIXELS.ravel().tolist()))),
        _infer(site, options(_tensor(data=PIXELS.ravel().tolist(), datatype="FP32"))),
        _infer(site, options(_tensor(shape=[3, 64, 64, 1], data=PIXELS.ravel().tolist()))),
        _infer(site, options(_tensor(parameters={"binary_data_size": len(raw)})), tail=raw),
        _infer(site, options({**encoded, "data": [base64.b64encode(file).decode() for file in FILES]})),
        _infer(site, options({**encoded, "parameters": {"binary_data_size": len(packed)}}), tail=packed),
        _infer(
            site, options({**encoded, "shape": [3, 1], "parameters": {"binary_data_size": len(packed)}}), tail=packed
        ),
    ]
    first = _outputs(answers[0])
    assert first["label"] == LABELS
    assert first["confidence"] == [max(row) for row in first["probabilities"]]
    assert [_outputs(answer) for answer in answers[1:]] == [first] * 7


def test_outputs_are_chosen_and_sent_as_asked(site: Any) -> None:
    asked = {"inputs": [_tensor(data=PIXELS.tolist())], "parameters": {"strategy": "soft-vote"}, "id": "call 7"}
    plain = _infer(site, asked)
    assert plain.json()["id"] == "call 7"
    assert plain.json()["model_name"] == "digits"
    assert plain.json()["model_version"] == "1"
    whole = _outputs(plain)
    binary = _infer(site, {**asked, "parameters": {"strategy": "soft-vote", "binary_data_output": True}})
    assert binary.headers["content-type"] == "application/octet-stream"
    assert _outputs(binary) == whole
    mixed = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    found = _outputs(_infer(site, {**asked, "outputs": mixed}))
    assert found == {"label": whole["label"], "probabilities": whole["probabilities"]}
    both = {"strategy": "soft-vote", "binary_data_output": True}
    only = _infer(
        site, {**asked, "outputs": [{"name": "label", "parameters": {"binary_data": False}}], "parameters": both}
    )
    assert only.json()["outputs"] == [{"name": "label", "datatype": "BYTES", "shape": [3], "data": LABELS}]


def test_an_endpoint_answers_as_predict_does(site: Any) -> None:
    answer = _infer(site, {"inputs": [_tensor(data=PIXELS.tolist())], "parameters": {"strategy": "stacking"}})
    parameters = answer.json()["parameters"]
    assert parameters["strategy"] == "stacking"
    assert parameters["degraded"] is False
    record = site.http.get(f"{site.control}/v1/decisions/{parameters['decision_id']}").json()
    assert record["endpoint"] == "digits"
    assert record["rows"] == 3
    body = {"instances": PIXELS.tolist(), "options": {"strategy": "stacking"}}
    predicted = site.http.post(f"{site.url}/v1/endpoints/digits/predict", json=body).json()["predictions"]
    found = _outputs(answer)
    assert [list(p["probabilities"].values()) for p in predicted] == [
        pytest.approx(p, abs=1e-6) for p in found["probabilities"]
    ]
    told = {"id": parameters["decision_id"], "row": 2, "truth": "7"}
    assert site.http.post(f"{site.url}/v1/outcomes", json=told).json()["accepted"] == 1


def test_context_and_deadline_are_parameters(site: Any) -> None:
    parameters = {"context.user_id": "u1", "context.age": 7, "timeout": 150_000}
    answer = _infer(site, {"inputs": [_tensor(data=PIXELS.tolist())], "parameters": parameters})
    record = site.http.get(f"{site.control}/v1/decisions/{answer.json()['parameters']['decision_id']}").json()
    assert record["context"] == {"user_id": "u1", "age": 7}


@pytest.mark.parametrize("model", MEMBERS)
def test_a_member_answers_for_itself(site: Any, model: str) -> None:
    answer = _infer(site, {"inputs": [_tensor(data=PIXELS.tolist())]}, model)
    assert answer.json()["model_name"] == model
    assert "parameters" not in answer.json()  # no strategy, no decision
    body = {"instances": PIXELS.tolist(), "options": {"strategy": "soft-vote"}}
    predicted = site.http.post(f"{site.url}/v1/endpoints/digits/predict", json=body).json()
    record = site.http.get(f"{site.control}/v1/decisions/{predicted['id']}").json()
    (member,) = [m for m in record["members"] if m["name"] == model]
    found = _outputs(answer)["probabilities"]
    assert found == [pytest.approx(row, abs=1e-6) for row in member["outputs"]]


def test_a_blind_endpoint_has_the_label_only(site: Any) -> None:
    assert site.http.get(f"{site.url}/v2/models/hidden").json()["outputs"] == [OUTPUTS[1]]
    answer = _infer(site, {"inputs": [_tensor(data=PIXELS.tolist())]}, "hidden")
    assert _outputs(answer) == {"label": LABELS}
    assert set(answer.json()["parameters"]) == {"decision_id"}
    for body in ({"outputs": [{"name": "probabilities"}]}, {"parameters": {"strategy": "best"}}):
        refused = site.http.post(
            f"{site.url}/v2/models/hidden/infer", json={"inputs": [_tensor(data=PIXELS.tolist())], **body}
        )
        assert refused.status_code in (403, 422)
        assert set(refused.json()) == {"error"}


def test_a_replay_has_the_binary_header_too(site: Any) -> None:
    body = {"inputs": [_tensor(data=PIXELS.tolist())], "parameters": {"binary_data_output": True}}
    first = _infer(site, body, idempotency_key="binary")
    again = _infer(site, body, idempotency_key="binary")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    assert _outputs(again) == _outputs(first)
