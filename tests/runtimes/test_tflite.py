"""TFLite files in LiteRT: integers in and out, heads, any tensor as the answer, what is refused."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed, SignatureViolation
from quorate.runtimes import tflite
from quorate.runtimes.litert import Port, Runner, answering, inspect_tflite, ports
from quorate.runtimes.tflite import TfliteRuntime
from quorate.testing.tflite import HIDDEN, INPUT, LOGITS, SCORES, Step, dense_answers, dense_network

CLASSES = ("a", "b", "c")
RNG = np.random.default_rng(0)
WEIGHTS, BIAS = RNG.normal(size=(12, 3)), RNG.normal(size=3)
PIXELS = RNG.integers(0, 256, (6, 2, 2, 3)).astype(np.uint8)
GIVEN = Step(1 / 128, 128)
REAL = (PIXELS.astype(np.float32) - 128) / 128
LOGIT = Step(0.08, 128)

Make = Callable[..., Artifact]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make(content, …)``: an artifact of that file; ``head`` are arrays of an .npz beside it."""
    pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")

    def make(content: bytes, head: dict[str, np.ndarray] | None = None, **fields: Any) -> Artifact:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "m.tflite").write_bytes(content)
        if head is not None:
            np.savez(folder / "head.npz", **head)  # type: ignore[arg-type]
        tensors = fields.pop("tensors", (TensorSpec("input", "float32", (None, 2, 2, 3)),))
        output = fields.pop("output", OutputSpec("scores", CLASSES))
        name = fields.pop("output_name", SCORES)
        files = ("m.tflite", *(("head.npz",) if head is not None else ()))
        signature = Signature("array", tensors, output)
        return Artifact("m", 1, "tflite", folder, files, "sha256:0", signature, tensors, name, fields)

    return make


def quantised(dtype: str = "uint8", **options: Any) -> bytes:
    signed = dtype == "int8"
    given = Step(GIVEN.step, GIVEN.zero - 128 * signed)
    logits = Step(LOGIT.step, LOGIT.zero - 128 * signed)
    return dense_network(WEIGHTS, BIAS, shape=(2, 2, 3), dtype=dtype, given=given, logits=logits, **options)


def floats(**options: Any) -> bytes:
    return dense_network(WEIGHTS, BIAS, shape=(2, 2, 3), **options)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("rows", ["together", "alone"])
def test_integers_answer_as_the_numbers_they_stand_for(make: Make, dtype: str, rows: str) -> None:
    session = TfliteRuntime().load(make(quantised(dtype), rows=rows))
    got = session.run({"input": REAL})[SCORES]
    assert got.dtype == np.float32
    expected = dense_answers(REAL, WEIGHTS, BIAS, given=GIVEN)
    np.testing.assert_allclose(got, expected, atol=0.03)  # weights of 8 bits, logits in steps of 0.08
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-6)
    alone = np.concatenate([session.run({"input": REAL[row : row + 1]})[SCORES] for row in range(len(REAL))])
    np.testing.assert_array_equal(alone, got)


def test_the_files_own_integers_are_taken_too(make: Make) -> None:
    content = quantised()
    tensors = (TensorSpec("input", "uint8", (None, 2, 2, 3)),)
    own = TfliteRuntime().load(make(content, tensors=tensors)).run({"input": PIXELS})[SCORES]
    real = TfliteRuntime().load(make(content)).run({"input": REAL})[SCORES]
    np.testing.assert_array_equal(own, real)


def test_floats_and_logits(make: Make) -> None:
    expected = dense_answers(REAL, WEIGHTS, BIAS)
    got = TfliteRuntime().load(make(floats())).run({"input": REAL})[SCORES]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    logits = make(floats(softmax=False), output_name=LOGITS, activation="softmax")
    np.testing.assert_allclose(TfliteRuntime().load(logits).run({"input": REAL})[LOGITS], expected, atol=1e-5)


def test_any_tensor_of_the_file_can_answer(make: Make) -> None:
    """Also one that the file keeps to itself: the logits before its softmax, a hidden layer's features."""
    names = tuple(f"f{i}" for i in range(3))
    inner = make(floats(), output_name=LOGITS, output=OutputSpec("values", names=names))
    got = TfliteRuntime().load(inner).run({"input": REAL})[LOGITS]
    np.testing.assert_allclose(got, REAL.reshape(6, 12) @ WEIGHTS + BIAS, atol=1e-5)
    wide = RNG.normal(size=(12, 5))
    content = dense_network(RNG.normal(size=(5, 3)), BIAS, shape=(2, 2, 3), hidden=wide)
    names = tuple(f"f{i}" for i in range(5))
    hidden = make(content, output_name=HIDDEN, output=OutputSpec("values", names=names))
    got = TfliteRuntime().load(hidden).run({"input": REAL})[HIDDEN]
    np.testing.assert_allclose(got, np.maximum(REAL.reshape(6, 12) @ wide, 0), atol=1e-5)


@pytest.mark.parametrize("content", [floats(), quantised()])
def test_a_head_is_applied_to_what_the_tensor_stands_for(make: Make, content: bytes) -> None:
    weights, bias = RNG.normal(size=(3, 4)), RNG.normal(size=4)
    output = OutputSpec("scores", ("w", "x", "y", "z"))
    head = {"weights": weights, "bias": bias}
    artifact = make(content, head, output_name=LOGITS, output=output, activation="softmax")
    got = TfliteRuntime().load(artifact).run({"input": REAL})[LOGITS]
    features = make(content, output_name=LOGITS, output=OutputSpec("values", names=("p", "q", "r")))
    logits = TfliteRuntime().load(features).run({"input": REAL})[LOGITS] @ weights + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(got, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_sizes_may_change_from_run_to_run(make: Make) -> None:
    session = TfliteRuntime().load(make(floats()))
    expected = dense_answers(REAL, WEIGHTS, BIAS)
    for rows in (1, 6, 2, 6, 1):
        np.testing.assert_allclose(session.run({"input": REAL[:rows]})[SCORES], expected[:rows], atol=1e-5)


def test_runs_at_the_same_time_have_interpreters_of_their_own(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs meet inside: were there one interpreter, the second could not come in before the first is out."""
    session = TfliteRuntime().load(make(floats()))
    inside = threading.Barrier(2, timeout=30)
    ran = Runner.run

    def meeting(self: Runner, tensors: Any) -> Any:
        inside.wait()
        return ran(self, tensors)

    monkeypatch.setattr(Runner, "run", meeting)
    found: dict[int, np.ndarray] = {}

    def work(row: int) -> None:
        found[row] = session.run({"input": REAL[row : row + 1]})[SCORES]

    threads = [threading.Thread(target=work, args=(row,)) for row in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = dense_answers(REAL[:2], WEIGHTS, BIAS)
    np.testing.assert_allclose(np.concatenate([found[0], found[1]]), expected, atol=1e-5)


def test_a_run_that_fails_is_one_sentence_and_the_next_one_works(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = TfliteRuntime().load(make(floats()))
    ran = Runner.run

    def fails(self: Runner, tensors: Any) -> Any:
        monkeypatch.setattr(Runner, "run", ran)
        raise RuntimeError("node 0 failed\nto invoke")

    monkeypatch.setattr(Runner, "run", fails)
    with pytest.raises(
        MemberCrashed, match=r"^Model 'm' failed in LiteRT \(RuntimeError: node 0 failed to invoke\)\.$"
    ):
        session.run({"input": REAL})
    assert session.run({"input": REAL})[SCORES].shape == (6, 3)


def test_no_integer_stands_for_nan(make: Make) -> None:
    session = TfliteRuntime().load(make(quantised()))
    broken = REAL.copy()
    broken[1, 0, 0, 0] = np.nan
    with pytest.raises(SignatureViolation, match=r"takes 'input' as uint8 \(scale 0\.0078125, zero point 128\), which"):
        session.run({"input": broken})


def test_threads_are_an_option(make: Make) -> None:
    session = TfliteRuntime().load(make(floats(), intra_op_threads=2))
    np.testing.assert_allclose(session.run({"input": REAL})[SCORES], dense_answers(REAL, WEIGHTS, BIAS), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (floats()[:40], {}, "Model 'm' is not a TFLite file"),
        (b"nothing at all", {}, "Model 'm' is not a TFLite file"),
        (floats(), {"intra_op_threads": 0}, "intra_op_threads to 0; expected a whole number"),
        (floats(), {"delegates": "gpu"}, "sets the option 'delegates'"),
        (floats(), {"rows": "some"}, "expected alone or together"),
        (floats(), {"output_name": "no such"}, r"has 0 tensors 'no such'; .* Its outputs are: scores"),
        (
            floats(),
            {"tensors": (TensorSpec("input", "float32", (None, 12)),)},
            r"declares input\[N,12\] float32, but its file takes pixels\[N,2,2,3\] float32; register it again",
        ),
        (
            floats(),
            {"tensors": (TensorSpec("input", "uint8", (None, 2, 2, 3)),)},
            r"declares input\[N,2,2,3\] uint8, but its file takes pixels\[N,2,2,3\] float32",
        ),
        (
            quantised(),
            {"tensors": (TensorSpec("input", "int8", (None, 2, 2, 3)),)},
            r"its file takes pixels\[N,2,2,3\] float32 as uint8 \(scale 0\.0078125, zero point 128\)",
        ),
        (floats(), {"output": OutputSpec("scores", ("a", "b"))}, r"must answer 2 numbers a row; its file has scores\["),
        (
            floats(),
            {"head": {"weights": np.ones((4, 3)), "bias": np.ones(3)}},
            r"has a head \[4, 3\] behind scores\[N,3\] float32; expected \[3, 3\]",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_way_out(
    make: Make, content: bytes, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatRefused, match=message) as caught:
        TfliteRuntime().load(make(content, **fields))
    assert "\n" not in str(caught.value)


def test_a_tensor_of_no_rows_is_no_answer(make: Make) -> None:
    artifact = make(floats(), output_name="bias", output=OutputSpec("scores", CLASSES))
    with pytest.raises(FormatRefused, match="must answer 3 numbers a row"):
        TfliteRuntime().load(artifact)


class Told:
    """An interpreter of which only what it says of its ends is looked at."""

    def __init__(self, **details: Any) -> None:
        quantised = {"scales": details.pop("scales", ()), "zero_points": (0, 0)}
        plain = {"name": "x", "index": 3, "dtype": np.float32, "shape": [1, 4], "shape_signature": [1, 4]}
        self.details = [plain | {"quantization_parameters": quantised} | details]

    def get_input_details(self) -> list[dict[str, Any]]:
        return []

    def get_output_details(self) -> list[dict[str, Any]]:
        return self.details


def test_lengths_that_are_left_open() -> None:
    (found,) = ports(Told(shape_signature=[-1, -1], scales=(0.0,)), name="m")[1]
    assert found == Port(3, TensorSpec("x", "float32", (None, None)), None)
    (found,) = ports(Told(shape_signature=[], shape=[1, 7]), name="m")[1]
    assert found.numbers == 7


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"dtype": np.bytes_}, "has 'x' of type bytes"),
        ({"shape": [], "shape_signature": []}, r"and shape \[\]; expected numbers, first axis rows"),
        ({"dtype": np.int8, "scales": (0.1, 0.2)}, "has 'x' on 2 scales"),
    ],
)
def test_ends_that_nobody_can_feed_or_read_are_refused(details: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatRefused, match=message):
        ports(Told(**details), name="m")


def test_integers_without_a_scale_are_no_answer(make: Make) -> None:
    (port,) = ports(Told(dtype=np.int64, shape=[1, 3], shape_signature=[1, 3]), name="m")[1]
    with pytest.raises(FormatRefused, match=r"answers x\[N,3\] int64; expected float32, or integers on a scale"):
        tflite._check_output(make(floats()), port, None)


def test_without_the_extra_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.tflite").write_bytes(floats())
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(FormatRefused, match=r"needs the extra 'tflite' \(.*\); run: pip install 'quorate\[tflite\]'"):
        inspect_tflite(tmp_path / "m.tflite")


def test_the_file_says_what_it_takes_and_answers(make: Make) -> None:
    inputs, outputs = inspect_tflite(make(quantised()).folder / "m.tflite")
    assert [str(port) for port in inputs] == [f"{INPUT}[N,2,2,3] float32 as uint8 (scale 0.0078125, zero point 128)"]
    assert [str(port) for port in outputs] == [f"{SCORES}[N,3] float32 as uint8 (scale 0.00390625, zero point 0)"]
    assert inputs[0].numbers == 12


def test_naming_the_output_changes_one_number_of_the_file() -> None:
    content = floats()
    assert answering(content, SCORES, name="m") is content
    other = answering(content, LOGITS, name="m")
    assert len(other) == len(content)
    assert sum(a != b for a, b in zip(content, other, strict=True)) == 1
    assert answering(other, SCORES, name="m") == content


def test_closing_is_final(make: Make) -> None:
    session = TfliteRuntime().load(make(floats()))
    session.close()
    session.close()
    with pytest.raises(MemberCrashed, match="Model 'm' is closed"):
        session.run({"input": REAL})


def test_a_model_of_one_tensor_takes_it_under_any_name(make: Make) -> None:
    artifact = make(floats())
    other = dataclasses.replace(artifact, tensors=(dataclasses.replace(artifact.tensors[0], name="anything"),))
    got = TfliteRuntime().load(other).run({"whatever": REAL})[SCORES]
    np.testing.assert_allclose(got, dense_answers(REAL, WEIGHTS, BIAS), atol=1e-5)
