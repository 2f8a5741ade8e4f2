from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ParityError, RegistryError
from quorate.training import parity

SCORES = OutputSpec("scores", ("a", "b", "c"))
VALUES = OutputSpec("values", names=("price",))
REFERENCE = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])


def shifted(by: float) -> np.ndarray:
    got = REFERENCE.copy()
    got[1] += [by, -by, 0]
    return got.astype(np.float32)


def test_the_tolerance_is_exact_in_probability() -> None:
    parity.check_against(SCORES, shifted(0.99e-4), REFERENCE, 1e-4)
    with pytest.raises(
        ParityError, match=r"in probability is 0\.00011 in row 1, and 0 labels differ; at most 0\.0001"
    ) as caught:
        parity.check_against(SCORES, shifted(1.1e-4), REFERENCE, 1e-4)
    assert caught.value.path == "sample[1]"


def test_labels_must_be_equal_within_the_tolerance_too() -> None:
    near = np.array([[0.50004, 0.49996, 0.0]])
    flipped = np.array([[0.49998, 0.50002, 0.0]], np.float32)
    assert parity.compare(SCORES, flipped, near).largest < 1e-4
    with pytest.raises(ParityError, match="1 labels differ"):
        parity.check_against(SCORES, flipped, near, 1e-4)


def test_a_tie_has_no_one_label() -> None:
    tie = np.array([[0.5, 0.5, 0.0]])
    parity.check_against(SCORES, np.array([[0.49999997, 0.5, 0.0]], np.float32), tie, 1e-4)


def test_values_are_compared_relatively() -> None:
    reference = np.array([[1000.0], [2000.0], [0.0]])
    got = np.array([[1000.05], [2000.1], [0.05]], np.float32)
    parity.check_against(VALUES, got, reference, 1e-4)
    parity.check_against(VALUES, got, reference[:, 0], 1e-4)
    with pytest.raises(ParityError, match=r"relative difference is 0\.0002 in row 2"):
        parity.check_against(VALUES, np.array([[1000], [2000], [0.2]], np.float32), reference, 1e-4)
    parity.check_against(VALUES, np.zeros((3, 1), np.float32), np.zeros(3), 1e-4)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (REFERENCE[:1], r"reference is float64\[1, 3\]; the artifact answers float32\[2, 3\]"),
        (REFERENCE.astype(str), "reference is <U"),
        (np.full((2, 3), np.nan), "not finite"),
    ],
)
def test_a_reference_that_is_none(reference: Any, message: str) -> None:
    with pytest.raises(ParityError, match=message):
        parity.check_against(SCORES, shifted(0), reference, 1e-4)


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ([[0.5, 0.5]], r"answers \[1, 2\]; expected \[1, 3\]"),
        ([[0.5, 0.5, 0]] * 2, r"answers \[2, 3\]; expected \[1, 3\]"),
        ([[np.nan, 0.5, 0.5]], "not finite in 1 of 1"),
        ([[np.inf, 0.5, 0.5]], "not finite"),
        ([[2.0, 1.0, 0.5]], r"sum to 1 within 2\.5"),
        ([[1.5, -0.5, 0.0]], r"the smallest is -0\.5"),
    ],
)
def test_unsound_scores(got: Any, message: str) -> None:
    with pytest.raises(ParityError, match=message):
        parity.check_sound(SCORES, np.array(got, np.float32), 1)


def test_values_need_only_be_finite() -> None:
    parity.check_sound(VALUES, np.array([[-5.0], [9.0]], np.float32), 2)


def test_rows_must_not_depend_on_their_batch() -> None:
    raw: parity.Raw = {"input": np.arange(12, dtype=np.float32).reshape(4, 3)}

    def softmax(rows: parity.Raw) -> np.ndarray:
        values = np.exp(rows["input"])
        return values / values.sum(axis=1, keepdims=True)

    parity.check_rows(SCORES, softmax, raw, softmax(raw))

    def last_first_alone(rows: parity.Raw) -> np.ndarray:
        return softmax(rows)[:, ::-1] if len(rows["input"]) == 1 else softmax(rows)

    with pytest.raises(ParityError, match="a row by itself otherwise than in a batch of 4"):
        parity.check_rows(SCORES, last_first_alone, raw, softmax(raw))
    centred = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

    def batch_norm(rows: parity.Raw) -> np.ndarray:
        return softmax({"input": rows["input"] - np.asarray(rows["input"]).mean(axis=0)})

    with pytest.raises(ParityError, match="must not depend on each other"):
        parity.check_rows(SCORES, batch_norm, {"input": centred}, batch_norm({"input": centred}))


def signature(*specs: TensorSpec, kind: Any = "columns") -> Signature:
    return Signature(kind, specs, SCORES)


def test_generated_rows_fit_the_signature_and_are_seeded() -> None:
    wanted = signature(TensorSpec("a", "float64", (None,)), TensorSpec("b", "bool", (None,)))
    rows = parity.generated(wanted)
    assert {name: (value.dtype.name, value.shape) for name, value in rows.items()} == {  # type: ignore[union-attr]
        "a": ("float64", (8,)),
        "b": ("bool", (8,)),
    }
    np.testing.assert_array_equal(rows["a"], parity.generated(wanted)["a"])
    image = parity.generated(signature(TensorSpec("image", "bytes", (None,)), kind="image"))["image"]
    assert (image.dtype, image.shape) == (np.uint8, (8, 32, 32, 3))  # type: ignore[union-attr]
    sized = parity.generated(signature(TensorSpec("image", "uint8", (None, 8, None)), kind="image"))["image"]
    assert sized.shape == (8, 8, 32)  # type: ignore[union-attr]


def test_generated_rows_differ_in_contrast_so_that_a_scale_of_the_whole_batch_shows() -> None:
    image = parity.generated(signature(TensorSpec("image", "uint8", (None, None, None)), kind="image"))["image"]
    array = parity.generated(signature(TensorSpec("input", "float32", (None, 100)), kind="array"))["input"]
    for rows in (np.asarray(image, np.float64).reshape(8, -1), np.asarray(array, np.float64)):
        spread = rows.std(axis=1)
        assert (spread[1:] > spread[:-1] * 1.1).all()


@pytest.mark.parametrize("spec", [TensorSpec("a", "str", (None,)), TensorSpec("input", "float32", (None, None))])
def test_what_cannot_be_made_up_is_asked_for(spec: TensorSpec) -> None:
    with pytest.raises(RegistryError, match="No rows can be made up"):
        parity.generated(signature(spec))


def test_plain() -> None:
    wanted = signature(TensorSpec("a", "float64", (None,)), TensorSpec("b", "str", (None,)))
    rows = parity.plain({"a": [1.0, 2.0], "b": ["x", "y"]}, wanted)
    assert isinstance(rows["a"], np.ndarray)
    images = signature(TensorSpec("image", "bytes", (None,)), kind="image")
    assert parity.plain({"image": (b"x", b"y")}, images) == {"image": [b"x", b"y"]}
    assert parity.plain({"image": [np.zeros((4, 4), np.uint8)] * 3}, images)["image"].shape == (3, 4, 4)  # type: ignore[union-attr]
    with pytest.raises(RegistryError, match="have different shapes"):
        parity.plain({"image": [np.zeros((4, 4)), np.zeros((5, 5))]}, images)
    with pytest.raises(RegistryError, match=r"need the inputs \['a', 'b'\]; got \['a'\]"):
        parity.plain({"a": [1.0]}, wanted)
    with pytest.raises(RegistryError, match="as many in every input"):
        parity.plain({"a": [1.0], "b": ["x", "y"]}, wanted)
    with pytest.raises(RegistryError, match="at least one"):
        parity.plain({"a": np.zeros(0), "b": np.zeros(0)}, wanted)
