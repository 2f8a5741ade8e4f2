"""What goes in and what comes out, checked in one place for all runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused, SignatureViolation
from quorate.runtimes.signature import InputCheck, as_answer, check_options, one_line, only_file, usable, whole_option

SPECS = (TensorSpec("x", "float32", (None, 4)), TensorSpec("word", "str", (None,)))
GOOD = {"x": np.zeros((2, 4), np.float32), "word": np.array(["a", "b"])}


def artifact(output: OutputSpec, *files: str, **options: Any) -> Artifact:
    signature = Signature("columns", SPECS, output)
    return Artifact("m", 1, "onnx", Path("/models"), files, "sha256:0", signature, SPECS, "y", options)


def test_good_inputs_are_counted() -> None:
    check = InputCheck("m", SPECS)
    assert check(GOOD) == 2
    assert check({"word": np.array(["a", "b", "c"], object), "x": np.zeros((3, 4), np.float32)}) == 3


@pytest.mark.parametrize(
    ("change", "path", "told"),
    [
        ({"x": None}, "x", "Model 'm' expects x[N,4] float32; got no such tensor."),
        ({"x": [[0.0] * 4] * 2}, "x", "got a list."),
        ({"x": np.zeros((2, 4))}, "x", "got [2,4] float64."),
        ({"x": np.zeros((2, 4), ">f4")}, "x", "got [2,4] >f4."),
        ({"x": np.zeros((2, 5), np.float32)}, "x", "got [2,5] float32."),
        ({"x": np.zeros((2, 4, 1), np.float32)}, "x", "got [2,4,1] float32."),
        ({"x": np.float32(0) + np.zeros((), np.float32)}, "x", "got a float32."),
        ({"x": np.zeros((0, 4), np.float32)}, "x", "at least one."),
        ({"word": np.array(["a"])}, "word", "every tensor needs the same number of rows, at least one."),
        ({"word": np.array([1, 2])}, "word", "Model 'm' expects word[N] str; got [2] int64."),
        ({"more": np.zeros(2)}, "more", "Model 'm' has no input 'more'; it takes x, word."),
    ],
)
def test_other_inputs_are_refused(change: dict[str, Any], path: str, told: str) -> None:
    inputs = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(SignatureViolation) as caught:
        InputCheck("m", SPECS)(inputs)
    assert caught.value.path == path
    assert str(caught.value).endswith(told)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
        (np.array([[0.25, 0.75], [1, 0]], np.float64), [[0.25, 0.75], [1, 0]]),
        ([[1.0, 0.0], [0.5, 0.5]], [[1, 0], [0.5, 0.5]]),
        (np.array([[1e300, -1e300], [np.nan, 0]]), [[np.inf, -np.inf], [np.nan, 0]]),
    ],
)
def test_answers_become_float32(value: Any, expected: Any) -> None:
    got = as_answer(artifact(OutputSpec("scores", ("a", "b"))), value, 2)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array(expected, np.float32))


def test_single_values_may_come_without_their_axis() -> None:
    one = artifact(OutputSpec("values", names=("y",)))
    assert as_answer(one, np.array([1.5, 2.5]), 2).tolist() == [[1.5], [2.5]]
    assert as_answer(one, np.array([[1.5], [2.5]]), 2).tolist() == [[1.5], [2.5]]
    with pytest.raises(SignatureViolation, match=r"must answer y\[3,1\] float32; got \[2\] float64"):
        as_answer(one, np.array([1.5, 2.5]), 3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        5.0,
        {"y": 1},
        [[1.0], [2.0, 3.0]],
        np.zeros((2, 3)),
        np.zeros((1, 2)),
        np.zeros((2, 2, 1)),
        np.zeros(2),
        np.zeros((2, 2), bool),
        np.zeros((2, 2), complex),
        np.zeros((2, 2), object),
        np.array([["a", "b"], ["c", "d"]]),
    ],
    ids=repr,
)
def test_other_answers_are_refused(value: Any) -> None:
    with pytest.raises(SignatureViolation, match="Model 'm' must answer"):
        as_answer(artifact(OutputSpec("scores", ("a", "b"))), value, 2)


def test_usable_rows() -> None:
    scores = np.array(
        [[0.5, 0.5], [0.503, 0.5], [1.2, 0], [1.5, -0.5], [np.nan, 1], [np.inf, 0], [np.inf, -np.inf], [0, 0]],
        np.float32,
    )
    assert usable(scores, OutputSpec("scores", ("a", "b"))).tolist() == [True, True, *[False] * 6]
    values = np.array([[-1e30], [np.nan], [np.inf], [0]], np.float32)
    assert usable(values, OutputSpec("values", names=("y",))).tolist() == [True, False, False, True]


@given(st.text(max_size=500))
def test_one_line_is_one_short_line(text: str) -> None:
    line = one_line(ValueError(text))
    assert "\n" not in line
    assert line.startswith("ValueError")
    assert len(line) < 350


def test_files_and_options() -> None:
    output = OutputSpec("values", names=("y",))
    assert only_file(artifact(output, "a.onnx", "a.onnx.data"), ".onnx") == Path("/models/a.onnx")
    for files in ((), ("a.onnx", "b.onnx")):
        with pytest.raises(FormatRefused, match=r"exactly one \.onnx file"):
            only_file(artifact(output, *files), ".onnx")
    with pytest.raises(FormatRefused, match="option 'speed', which its runtime does not have; expected a, b"):
        check_options(artifact(output, speed=1), ("b", "a"))
    assert whole_option(artifact(output), "threads", 1, 8) == 1
    assert whole_option(artifact(output, threads=8), "threads", 1, 8) == 8
    for wrong in (0, 9, True, 1.5, "2"):
        with pytest.raises(FormatRefused, match=r"expected a whole number in 1\.\.8") as caught:
            whole_option(artifact(output, threads=wrong), "threads", 1, 8)
        assert caught.value.path == "m.options.threads"
