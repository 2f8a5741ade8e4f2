"""What is asked of an answer beside the row: what is offered, and what was typed."""

from __future__ import annotations

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.console.catalogue import Endpoint
from quorate.console.parts.wishes import offered, read


@pytest.mark.parametrize(
    ("endpoint", "names"),
    [
        (Endpoint("e", "array"), ("max_ms", "min_confidence")),
        (Endpoint("e", "array", promising={"mean": None}), ("max_ms", "min_confidence", "coverage")),
        (Endpoint("e", "array", output="values", promising={"mean": 0.9}), ("max_ms", "coverage")),
        (Endpoint("e", "array", blind=True, promising={"mean": 0.9}), ("max_ms",)),
    ],
)
def test_only_what_can_be_honoured_is_offered(endpoint: Endpoint, names: tuple[str, ...]) -> None:
    assert offered(endpoint) == names


def test_what_is_empty_is_not_asked() -> None:
    assert read({}) == {}
    assert read({"max_ms": " 12.5 ", "min_confidence": "0", "coverage": ""}) == {"max_ms": 12.5, "min_confidence": 0.0}


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("max_ms", "0", "'At most, ms' takes a number of milliseconds above 0, an hour at most; got '0'."),
        ("max_ms", "soon", "'At most, ms' takes a number of milliseconds above 0, an hour at most; got 'soon'."),
        ("min_confidence", "1.1", "'Confidence, at least' takes a number from 0 to 1; got '1.1'."),
        ("min_confidence", "nan", "'Confidence, at least' takes a number from 0 to 1; got 'nan'."),
        ("coverage", "0.4", "'Coverage of the set' takes a share from 0.5 to 0.999; got '0.4'."),
    ],
)
def test_what_is_wrong_is_named(name: str, typed: str, said: str) -> None:
    with pytest.raises(ValueError, match="takes") as caught:
        read({name: typed})
    assert str(caught.value) == said
