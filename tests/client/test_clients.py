"""Both clients against a scripted server: what they send, what they make of the reply, and how they try again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.client import AsyncClient, Client, RequestRefused, ServerFailed, ServerUnavailable, Shed
from quorate.errors import InvalidInput

SECRET = "qk_hunter2"
FAULTS = [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError]


def test_a_call_sends_key_agent_and_idempotency_key(asking: Any, fake_server: Any) -> None:
    server = fake_server()
    answer = asking(server, lambda c: c.predict("digits", b"image"), api_key=SECRET)
    assert (answer.id, answer.label, answer.request_id) == ("d1", "image", "r1")
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["user-agent"].startswith("quorate-client/")
    assert len(request.headers["idempotency-key"]) == 32
    assert str(request.url) == "http://127.0.0.1:8000/v1/endpoints/digits/predict"


def test_a_server_below_a_path(asking: Any, fake_server: Any) -> None:
    server = fake_server()
    asking(server, lambda c: c.predict("digits", b"image", strategy="x y"), url="https://gateway/quorate/")
    assert str(server.requests[0].url) == "https://gateway/quorate/v1/endpoints/digits/predict?strategy=x+y"


@pytest.mark.parametrize("fault", [*FAULTS, 429, 502, 503, "lost"])
def test_a_retry_is_the_same_request_and_one_decision(asking: Any, fake_server: Any, fault: Any) -> None:
    server = fake_server(fault, fault)
    answer = asking(server, lambda c: c.predict("digits", b"image", context={"user": 1}))
    assert len(server.decisions) == 1
    assert answer.id == "d1"
    assert answer.replayed is (fault == "lost")
    first, *others = server.requests
    assert len(others) == 2
    for other in others:
        assert (other.content, other.url, other.headers) == (first.content, first.url, first.headers)
    assert len(asking.pauses) == 2


def test_a_retry_that_meets_its_own_first_try_waits_for_it(asking: Any, fake_server: Any, refuse: Any) -> None:
    server = fake_server(httpx.ReadTimeout, refuse(409, "conflict", "Idempotency-Key"))
    assert asking(server, lambda c: c.predict("digits", b"image")).id == "d1"
    with pytest.raises(RequestRefused):
        asking(fake_server(refuse(409, "conflict", "If-Match")), lambda c: c.predict("digits", b"image"))


def test_two_calls_are_two_decisions_and_a_given_key_one(asking: Any, fake_server: Any) -> None:
    server = fake_server()
    for key in (None, None, "mine", "mine"):
        asking(server, lambda c, key=key: c.predict("digits", b"image", idempotency_key=key))
    assert len(server.decisions) == 3
    assert server.decisions[2] == "mine"


def test_it_waits_as_long_as_the_server_says(asking: Any, fake_server: Any) -> None:
    server = fake_server((429, {"retry-after": "3"}))
    asking(server, lambda c: c.predict("digits", b"image"))
    (pause,) = asking.pauses
    assert 3 < pause <= 3.2


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (404, RequestRefused, "Scripted 404"),
        (429, Shed, "Scripted 429"),
        (503, ServerUnavailable, "Scripted 503"),
        (504, ServerFailed, "Scripted 504"),
        (httpx.ConnectError, ServerUnavailable, "http://127.0.0.1:8000 cannot be reached .*is the server running"),
        (httpx.ReadTimeout, ServerUnavailable, "did not reply within 10 s"),
        (httpx.PoolTimeout, ServerUnavailable, "connections were busy"),
        (httpx.ReadError, ServerUnavailable, "broke before the reply came"),
    ],
)
def test_errors_in_words(asking: Any, fake_server: Any, fault: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        asking(fake_server(*[fault] * 9), lambda c: c.predict("digits", b"image"), api_key=SECRET)
    assert SECRET not in repr(caught.value)
    if isinstance(fault, int):
        assert (caught.value.status, caught.value.request_id) == (fault, "r0")  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [httpx.UnsupportedProtocol, httpx.DecodingError])
def test_what_cannot_get_better_is_not_tried_again(asking: Any, fake_server: Any, fault: Any) -> None:
    server = fake_server(fault)
    with pytest.raises(ServerUnavailable):
        asking(server, lambda c: c.predict("digits", b"image"))
    assert len(server.requests) == 1


def test_redirects_are_not_followed_for_they_would_carry_the_key(asking: Any, fake_server: Any) -> None:
    server = fake_server(httpx.Response(307, headers={"location": "http://elsewhere/"}))
    with pytest.raises(ServerFailed, match="status 307"):
        asking(server, lambda c: c.predict("digits", b"image"))
    assert len(server.requests) == 1


def test_nothing_is_sent_for_what_is_wrong_here(asking: Any, fake_server: Any) -> None:
    server = fake_server()
    for call in (
        lambda c: c.predict("digits"),
        lambda c: c.predict("digits", "/nowhere.png"),
        lambda c: c.predict("digits", rows=[[float("nan")]]),
        lambda c: c.predict_many("digits"),
        lambda c: c.predict_many("digits", [b"x"], batches=[[[1]]]),
        lambda c: c.predict_many("digits", [b"x"], concurrency=0),
    ):
        with pytest.raises(InvalidInput):
            asking(server, call)
    assert server.requests == []


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"timeout": 0}, {"deadline": float("nan")}, {"url": "nowhere"}])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_settings_that_make_no_sense(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind(**{"url": "http://h", **wrong})
    assert caught.value.path == next(iter(wrong))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_never_shows_its_key(kind: Any) -> None:
    client = kind("http://h", SECRET)
    assert repr(client).endswith("Client http://h>")
    assert SECRET not in repr(client.__dict__)
    assert SECRET not in repr(client._http.headers)


# --- many ---


def test_many_images_in_order_with_an_error_at_its_place(asking: Any, fake_server: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    sources = [tmp_path / "a.png", tmp_path / "missing.png", b"c", np.zeros((2, 2)), b"e"]
    items = asking(fake_server(), lambda c: c.predict_many("digits", sources, concurrency=2))
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    assert [item.answer and item.answer.label for item in items] == ["a", None, "c", None, "e"]
    assert all((item.answer is None) != (item.error is None) for item in items)
    assert items[1].source == sources[1]
    assert "missing.png' cannot be read" in str(items[1].error)
    assert "Pixels are" in str(items[3].error)


def test_batches_of_rows_are_a_request_each(asking: Any, fake_server: Any, body_of: Any) -> None:
    server = fake_server()
    items = asking(server, lambda c: c.predict_many("wine", batches=[[[1]], [[2], [3]]], context={"u": 1}))
    assert len(items) == 2
    assert sorted(len(body_of(request)["instances"]) for request in server.requests) == [1, 2]
    assert all(body_of(request)["context"] == {"u": 1} for request in server.requests)


@given(
    n=st.integers(0, 25),
    concurrency=st.integers(1, 6),
    script=st.lists(st.sampled_from([None, None, "lost", 503, 429, httpx.ConnectError]), max_size=25),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_order_is_kept_and_each_is_one_decision_whatever_fails(
    asking: Any, fake_server: Any, n: int, concurrency: int, script: list[Any]
) -> None:
    server = fake_server(*script)
    images = [f"image {i}".encode() for i in range(n)]
    items = asking(
        server, lambda c: c.predict_many("digits", images, concurrency=concurrency), retries=30, deadline=1e9
    )
    assert [item.source for item in items] == images
    assert [item.answer.label for item in items] == [f"image {i}" for i in range(n)]
    assert len(server.decisions) == len(set(server.decisions)) == n


def test_arrays_of_pictures_and_of_batches_are_sequences_too(asking: Any, fake_server: Any, body_of: Any) -> None:
    pictures = np.zeros((3, 2, 2), np.uint8)
    server = fake_server()
    assert [item.error for item in asking(server, lambda c: c.predict_many("digits", pictures))] == [None] * 3
    asking(server, lambda c: c.predict("digits", images=pictures))
    assert server.requests[-1].content.count(b"PNG") == 3
    items = asking(server, lambda c: c.predict_many("wine", batches=np.zeros((2, 3, 4))))
    assert [item.error for item in items] == [None] * 2
    assert np.shape(body_of(server.requests[-1])["instances"]) == (3, 4)
    assert asking(server, lambda c: c.predict_many("digits", [])) == []


# --- outcomes and what else a server says ---


def test_outcomes(asking: Any, body_of: Any) -> None:
    requests: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if len(requests) == 1:
            raise httpx.ReadError("scripted", request=request)
        rejected = [{"index": 0, "code": "invalid_input", "detail": "No.", "path": "[0].truth"}]
        return httpx.Response(202, json={"accepted": 1, "duplicate": 0, "pending": 2, "rejected": rejected})

    receipt = asking(server, lambda c: c.outcome("d1", truth=np.str_("7"), row=np.int64(2)))
    assert (receipt.accepted, receipt.pending, receipt.rejected[0].path) == (1, 2, "[0].truth")
    assert body_of(requests[1]) == {"id": "d1", "row": 2, "truth": "7", "source": "user"}
    receipt = asking(server, lambda c: c.outcomes({"id": "d", "truth": 1.5} for _ in range(1001)))
    assert (receipt.accepted, receipt.pending) == (2, 4)
    assert [each.index for each in receipt.rejected] == [0, 1000]
    assert [len(body_of(request)) for request in requests[2:]] == [1000, 1]


def test_ready_is_one_try(asking: Any, fake_server: Any) -> None:
    server = fake_server(503)
    assert asking(server, lambda c: c.ready()) is False
    assert len(server.requests) == 1
    assert asking(fake_server(httpx.ConnectError), lambda c: c.ready()) is False
    assert asking(lambda _: httpx.Response(200, json={"ready": True}), lambda c: c.ready()) is True


def test_endpoints_are_those_of_the_index_without_models(asking: Any) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/repository/index":
            return httpx.Response(
                200, json=[{"name": name, "version": "1"} for name in ("digits", "svm", "svm", "wine")]
            )
        name = request.url.path.rpartition("/")[2]
        picture = [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
        body = {
            "name": name,
            "versions": ["3"],
            "platform": "quorate_onnx" if name == "svm" else "quorate_ensemble",
            "inputs": picture if name == "digits" else [{"name": "input", "datatype": "FP32", "shape": [-1, 13]}],
            "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}],
        }
        return httpx.Response(200, json=body)

    found = asking(server, lambda c: c.endpoints())
    assert [(each.name, each.takes_images) for each in found] == [("digits", True), ("wine", False)]
    assert found[1].inputs[0].shape == (-1, 13)


# --- what importing costs and needs ---


def _python(source: str) -> str:
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_quorate_alone_imports_nothing_of_the_client() -> None:
    loaded = json.loads(_python("import sys, json, quorate; print(json.dumps([*sys.modules]))"))
    assert not {"httpx", "numpy", "quorate.client", "quorate.api"} & set(loaded)
    loaded = json.loads(_python("import sys, json; from quorate import Client; print(json.dumps([*sys.modules]))"))
    assert "httpx" in loaded
    assert not {"numpy", "PIL", "quorate.api", "sklearn"} & set(loaded)


def test_without_httpx_one_sentence_says_what_to_install() -> None:
    out = _python(
        "import sys; sys.modules['httpx'] = None\n"
        "try: from quorate import Client\n"
        "except ModuleNotFoundError as error: print(error, error.name)"
    )
    assert out == (
        "The client needs the package httpx, which is not installed; run: pip install 'quorate[client]'. httpx\n"
    )


SNIPPET = """
from pathlib import Path
import numpy as np
from quorate import AsyncClient, Client
from quorate.client import Answer, Item, RequestRefused

def ask() -> str | None:
    with Client("http://127.0.0.1:8000", timeout=5) as client:
        answer: Answer = client.predict("digits", Path("7.png"))
        client.predict("digits", np.zeros((8, 8), np.uint8))
        client.predict("wine", rows=np.zeros((8, 8)))
        client.predict("wine", rows=[{"a": 1.0}])
        for item in client.predict_many("digits", ["a.png", "b.png"]):
            one: Item = item
            print(one.answer.label if one.answer else one.error)
        try:
            client.outcome(answer.id, truth="7").accepted + 1
        except RequestRefused as error:
            status: int | None = error.status
        return answer.label

async def ask_async() -> float | None:
    async with AsyncClient("http://127.0.0.1:8000") as client:
        async for item in client.predict_many("digits", [b"x"]):
            reveal_type(item)
        return (await client.predict("digits", b"x")).confidence
"""


@pytest.mark.slow
def test_a_users_program_passes_strict_type_checking(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SNIPPET)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(program)],
        capture_output=True, text=True, check=False, cwd=root, env={**os.environ, "MYPYPATH": str(root / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert 'Revealed type is "quorate.client.answers.Item"' in done.stdout
