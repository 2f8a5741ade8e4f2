"""Requests before they are sent: how images, rows, options and outcomes are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.client import requests
from quorate.client.requests import Options
from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput
from quorate.serving.forms import FormReader, query_options


def test_one_image_is_the_body_as_it_is() -> None:
    request = requests.predict("digits", Options(), image=b"\x89PNG")
    assert (request.method, request.path) == ("POST", "/v1/endpoints/digits/predict")
    assert request.content == b"\x89PNG"
    assert request.headers["content-type"] == "application/octet-stream"


def test_options_of_a_lone_image_go_into_the_query() -> None:
    request = requests.predict("digits", Options(strategy="a b&c", max_ms=50.5), image=b"x")
    options, context = query_options(request.path.partition("?")[2].encode())
    assert (options.strategy, options.max_ms, context) == ("a b&c", 50.5, {})


def test_a_context_makes_a_form_that_keeps_its_types() -> None:
    request = requests.predict("digits", Options(context={"user": 7, "new": True}, strategy="s"), image=b"x")
    assert "?" not in request.path
    images, context, options = _read(request)
    assert (images, context, options.strategy) == ([b"x"], {"user": 7, "new": True}, "s")


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=5))
@settings(deadline=None)
def test_the_server_reads_the_images_that_were_given_and_equal_requests_are_equal_bytes(images: list[bytes]) -> None:
    request = requests.predict("digits", Options(max_ms=9), images=images)
    read, context, options = _read(request)
    assert (read, context, options.max_ms) == (images, {}, 9)
    again = requests.predict("digits", Options(max_ms=9), images=images)
    assert again.content == request.content
    assert again.headers["idempotency-key"] != request.headers["idempotency-key"]


def _read(request: requests.Request) -> Any:
    return FormReader(request.headers["content-type"].encode(), Limits()).read(request.content)


def test_rows_are_json() -> None:
    options = Options("s", 5, {"user": 1}, "my-key", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    request = requests.predict("wine", options, rows=[[1.5, None], [2, 3]])
    assert json.loads(request.content) == {
        "instances": [[1.5, None], [2, 3]], "context": {"user": 1}, "options": {"strategy": "s", "max_ms": 5},
    }  # fmt: skip
    assert request.headers["idempotency-key"] == "my-key"
    assert request.headers["traceparent"].startswith("00-aaaa")


def test_an_endpoints_name_cannot_leave_its_place_in_the_path() -> None:
    assert requests.predict("a/b?c", Options(), image=b"x").path == "/v1/endpoints/a%2Fb%3Fc/predict"
    assert requests.metadata("a/b").path == "/v2/models/a%2Fb"


@pytest.mark.parametrize("given", [{}, {"image": b"x", "rows": [[1]]}, {"images": [b"x"], "image": b"x"}])
def test_exactly_one_input_is_given(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="exactly one of"):
        requests.predict("digits", Options(), **given)


def test_an_outcome_says_only_what_was_given() -> None:
    assert requests.outcome("d1", truth="7") == {"id": "d1", "row": 0, "source": "user", "truth": "7"}
    assert requests.outcome("d1", row=2, rewards={"click": 1}, source="app", at=1.7e9) == {
        "id": "d1", "row": 2, "source": "app", "rewards": {"click": 1}, "at": 1.7e9,
    }  # fmt: skip


def test_many_outcomes_go_in_parts() -> None:
    told = [{"id": f"d{i}"} for i in range(2 * requests.OUTCOMES_A_REQUEST + 1)]
    found = list(requests.parts(told))
    assert [(offset, len(part)) for offset, part in found] == [(0, 1000), (1000, 1000), (2000, 1)]
    assert [each for _, part in found for each in part] == told


@pytest.mark.parametrize("url", ["http://h:8000", "https://h/base/", "http://[::1]:80"])
def test_a_servers_url(url: str) -> None:
    assert requests.base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "h:8000", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://h?a=1", "http://h#a", "http://h/\1"],
)
def test_other_urls_are_named(url: str) -> None:
    with pytest.raises(InvalidInput, match="URL is that of a server") as caught:
        requests.base_url(url)
    assert caught.value.path == "url"


def test_secrets_are_in_no_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        requests.base_url("http://user:hunter2@h:80")
    assert "hunter2" not in str(caught.value)
    for key in ("hunter2 ", "hunter2\n", "hünter2", ""):
        with pytest.raises(InvalidInput) as caught:
            requests.key_headers(key)
        assert "nter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["idempotency_key", "traceparent"])
@pytest.mark.parametrize("value", ["", "a b", "a\nb", "clé", "k" * 256])
def test_headers_that_cannot_be_sent_are_named_before(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match="visible ASCII") as caught:
        requests.predict("e", Options(**{name: value}), rows=[[1]])
    assert caught.value.path == name
