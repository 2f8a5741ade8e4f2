"""Answers as protocol buffers."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.types import OutputSpec
from quorate.errors import InvalidInput
from quorate.serving.grpc import responses
from quorate.serving.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from quorate.serving.oip_models import Answered
from quorate.serving.statistics import Duration, Statistics

SCORES = OutputSpec("scores", ("no", "maybe"))
ANSWER = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
ANSWERED = Answered("m", "3", ANSWER, {"decision_id": "d", "strategy": "s", "degraded": False})


def _answer(request: ModelInferRequest, *, blind: bool = False) -> ModelInferResponse:
    return ModelInferResponse.FromString(responses.infer_response(request, ANSWERED, SCORES, blind=blind))


def test_all_outputs_raw_by_default() -> None:
    found = _answer(ModelInferRequest(id="7"))
    assert (found.model_name, found.model_version, found.id) == ("m", "3", "7")
    assert [(o.name, o.datatype, list(o.shape)) for o in found.outputs] == [
        ("probabilities", "FP32", [2, 2]),
        ("label", "BYTES", [2]),
        ("confidence", "FP32", [2]),
    ]
    probabilities, label, confidence = found.raw_output_contents
    assert np.frombuffer(probabilities, "<f4").reshape(2, 2).tolist() == ANSWER.tolist()
    assert label == b"\x05\0\0\0maybe\x02\0\0\0no"
    assert np.frombuffer(confidence, "<f4").tolist() == [0.75, 0.5]
    assert not any(output.HasField("contents") for output in found.outputs)


def test_what_is_said_about_the_answer_has_its_type() -> None:
    found = _answer(ModelInferRequest()).parameters
    assert found["decision_id"].string_param == "d"
    assert found["strategy"].string_param == "s"
    assert found["degraded"].WhichOneof("parameter_choice") == "bool_param"


def test_outputs_come_in_the_order_asked() -> None:
    request = ModelInferRequest()
    for name in ("confidence", "label"):
        request.outputs.add(name=name).parameters["binary_data"].bool_param = False
    responses.check_outputs(request.outputs, SCORES, blind=False)
    assert [output.name for output in _answer(request).outputs] == ["confidence", "label"]


def test_who_answered_each_row_and_whether_anybody_did() -> None:
    told = {
        "members": np.array([b"a,b", b"a"], object),
        "abstained": np.array([True, False]),
        "reason": np.array([b"unsure", b""], object),
    }
    answered = ANSWERED._replace(told=told)
    found = ModelInferResponse.FromString(
        responses.infer_response(ModelInferRequest(), answered, SCORES, blind=False, sure=True)
    )
    raw = {output.name: data for output, data in zip(found.outputs, found.raw_output_contents, strict=True)}
    assert list(raw) == ["probabilities", "label", "confidence", "members", "abstained", "reason"]
    assert raw["abstained"] == b"\x01\x00"
    assert raw["label"] == b"\0\0\0\0\x02\0\0\0no"
    assert raw["members"] == b"\x03\0\0\0a,b\x01\0\0\0a"
    request = ModelInferRequest()
    request.outputs.add(name="members")
    responses.check_outputs(request.outputs, SCORES, blind=False, told=True)
    with pytest.raises(InvalidInput, match="no output 'members'"):
        responses.check_outputs(request.outputs, SCORES, blind=False)


def test_a_blind_answer_is_the_label() -> None:
    assert [output.name for output in _answer(ModelInferRequest(), blind=True).outputs] == ["label"]


@pytest.mark.parametrize(
    ("name", "parameter", "path"),
    [
        ("nothing", None, "outputs[0].name"),
        ("probabilities", None, "outputs[0].name"),  # blind
        ("label", ("classification", "int64_param", 3), "outputs[0].parameters"),
        ("label", ("binary_data", "int64_param", 1), "outputs[0].parameters.binary_data"),
    ],
)
def test_outputs_that_cannot_be_asked_for(name: str, parameter: tuple[str, str, int] | None, path: str) -> None:
    request = ModelInferRequest()
    output = request.outputs.add(name=name)
    if parameter is not None:
        setattr(output.parameters[parameter[0]], parameter[1], parameter[2])
    with pytest.raises(InvalidInput) as raised:
        responses.check_outputs(request.outputs, SCORES, blind=True)
    assert raised.value.path == path


def test_statistics() -> None:
    one = Statistics("m", "3", Duration(5, 50), Duration(1), Duration(6, 6), Duration(6, 44))
    (found,) = responses.statistics_response([one]).model_stats
    assert (found.name, found.version, found.inference_count, found.execution_count) == ("m", "3", 5, 6)
    stats = found.inference_stats
    assert (stats.success.count, stats.success.ns, stats.fail.count) == (5, 50, 1)
    assert (stats.queue.ns, stats.compute_infer.ns) == (6, 44)


def test_what_belongs_to_a_coverage_follows_what_was_asked_for() -> None:
    more = {"set": np.array([[True, False], [True, True]]), "abstained": np.array([False, True])}
    request = ModelInferRequest(outputs=[ModelInferRequest.InferRequestedOutputTensor(name="label")])
    answered = ANSWERED._replace(more=more)
    found = ModelInferResponse.FromString(responses.infer_response(request, answered, SCORES, blind=False))
    assert [(each.name, each.datatype, list(each.shape)) for each in found.outputs[1:]] == [
        ("set", "BOOL", [2, 2]),
        ("abstained", "BOOL", [2]),
    ]
    assert list(found.raw_output_contents[1:]) == [b"\x01\x00\x01\x01", b"\x00\x01"]
    ends = ANSWERED._replace(more={"interval": np.array([[1.0, np.inf]])})
    found = ModelInferResponse.FromString(responses.infer_response(request, ends, SCORES, blind=False))
    assert (found.outputs[1].datatype, found.raw_output_contents[1]) == ("FP64", np.array([1.0, np.inf]).tobytes())
