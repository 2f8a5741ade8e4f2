"""JSON bodies of the control port: what is asked, or which field is wrong."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from quorate.control.bodies import described, parsed
from quorate.errors import InvalidInput, MalformedRequest


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    count: int


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    parts: list[Part]


def test_what_is_asked_is_the_model() -> None:
    assert parsed(b'{"parts": [{"count": 2}]}', Asked) == Asked(parts=[Part(count=2)])
    body = described(Asked)["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["schema"] == Asked.model_json_schema()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"parts": [{"count": 2}, {"count": "3"}]}', "parts.1.count"),
        (b'{"parts": [], "more": 1}', "more"),
        (b"[]", "body"),
    ],
)
def test_a_wrong_field_is_named(body: bytes, path: str) -> None:
    with pytest.raises(InvalidInput, match=f"The field '{path}' is wrong") as refused:
        parsed(body, Asked)
    assert refused.value.path == path


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe"])
def test_what_is_no_json_is_said_so(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="is not JSON") as refused:
        parsed(body, Asked)
    assert refused.value.path == "body"
