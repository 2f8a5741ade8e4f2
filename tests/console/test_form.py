"""What was typed, as a row."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.console.catalogue import Endpoint, Field
from quorate.console.parts.form import read_row

FLATS = Endpoint(
    "flats",
    "columns",
    fields=(Field("size", "number", True), Field("rooms", "integer"), Field("city", "text"), Field("garden", "yes-no")),
)
GOOD = {"size": "30.5", "rooms": "2", "city": "Oslo", "garden": "yes"}


def test_a_row_by_column() -> None:
    assert read_row(FLATS, GOOD) == {"size": 30.5, "rooms": 2, "city": "Oslo", "garden": True}
    assert read_row(FLATS, {**GOOD, "size": " ", "garden": "no"})["size"] is None
    assert read_row(FLATS, {**GOOD, "garden": "no"})["garden"] is False


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rooms": ""}, "'rooms' is empty; it takes a whole number."),
        ({"rooms": "2.5"}, "'rooms' takes a whole number; got '2.5'."),
        ({"size": "much"}, "'size' takes a number; got 'much'."),
        ({"size": "nan"}, "'size' takes a number; got 'nan'."),
        ({"garden": ""}, "'garden' is empty; it takes yes or no."),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match="takes") as caught:
        read_row(FLATS, {**GOOD, **wrong})
    assert str(caught.value) == said


def test_an_array_is_a_list() -> None:
    numbers = Endpoint("e", "array", fields=(Field("1", "number"), Field("2", "number")), shape=(2,))
    assert read_row(numbers, {"1": "1", "2": "-2.5"}) == [1.0, -2.5]


@pytest.mark.parametrize(
    ("typed", "row"), [("1, 2.5,3", [1, 2.5, 3]), ("[1, 2]", [1, 2]), (" [[1], [2]] ", [[1], [2]])]
)
def test_a_wide_row_is_typed_as_a_whole(typed: str, row: Any) -> None:
    assert read_row(Endpoint("e", "array", shape=(100,)), {"row": typed}) == row


def test_a_wide_row_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="list of numbers"):
        read_row(Endpoint("e", "array"), {"row": "one and two"})
