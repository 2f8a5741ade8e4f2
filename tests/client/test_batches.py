"""Batches as a client makes them: parts, faults, answers that are not whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest

from quorate.client import AsyncClient, Client, RequestRefused, ServerUnavailable
from quorate.client import batches as module
from quorate.errors import InvalidInput


class Server:
    """Answers each line with its own first number; ``faults`` are used up first, one a request."""

    def __init__(self) -> None:
        self.faults: list[Any] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            return httpx.Response(fault, json={"detail": "No.", "code": "x"})
        lines = [json.loads(line) for line in request.content.splitlines()]
        found: list[Any] = [self._row(i, line["instance"]) for i, line in enumerate(lines)]
        summary = {"rows": len(found), "answered": 0, "failed": 0, "complete": fault is None}
        if isinstance(fault, str) and fault != "cut":
            summary["error"] = {"code": fault, "detail": f"It is {fault}."}
        text = "".join(json.dumps(one) + "\n" for one in [*found, {"summary": summary}])
        return httpx.Response(200, content=(text[:-40] if fault == "cut" else text).encode())

    @staticmethod
    def _row(i: int, value: Any) -> dict[str, Any]:
        if value == "bad":
            return {"row": i, "error": {"code": "invalid_input", "detail": "Bad.", "path": "instance"}}
        return {"row": i, "prediction": {"label": str(value[0])}, "decision": "d", "decision_row": i, "revision": 1}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Any:
    with Client("http://quorate.test", transport=httpx.MockTransport(server), sleep=lambda _: None) as found:
        yield found


def labels(found: Any) -> list[str | None]:
    return [row.label for row in found]


def test_rows_of_every_kind_in_parts(client: Client, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 7)
    for rows in ([[i] for i in range(40)], ([i] for i in range(40)), np.arange(40).reshape(40, 1)):
        found = list(client.batch("main", rows, context={"n": 1}, strategy="s", max_ms=5))
        assert labels(found) == [str(i) for i in range(40)]
        assert [row.row for row in found] == list(range(40))
    assert len(server.requests) == 18
    assert server.requests[0].url.path == "/v1/endpoints/main/batch"
    assert dict(server.requests[0].url.params) == {"strategy": "s", "max_ms": "5"}
    assert json.loads(server.requests[0].content.splitlines()[0])["context"] == {"n": 1}


def test_parts_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 300)
    found = list(module.parts([["x" * n] for n in (100, 100, 100, 1000, 10)], None, None))
    assert [part.count for part in found] == [2, 1, 1, 1]
    assert [part.first for part in found] == [0, 2, 3, 4]


def test_the_input_is_taken_as_it_is_needed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 10)
    taken = 0

    def rows() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield [taken]

    found = client.batch("main", rows(), concurrency=2)
    assert next(found).label == "1"
    assert taken <= 50


def test_bad_rows_here_and_there_fail_alone(client: Client) -> None:
    rows = [[1], "bad", [float("nan")], [object()], [5]]
    found = list(client.batch("main", rows))
    assert labels(found) == ["1", None, None, None, "5"]
    assert [type(row.error) for row in found[1:4]] == [module.RowError, InvalidInput, InvalidInput]
    assert (found[1].error.code, found[1].error.path) == ("invalid_input", "instance")  # type: ignore[union-attr]
    assert found[4].decision_row == 2
    assert labels(client.batch("main", [[float("nan")]] * 3)) == [None] * 3
    assert list(client.batch("main", [])) == []


@pytest.mark.parametrize("fault", [503, 429, "cut", "not_ready", "overloaded"])
def test_a_part_that_breaks_is_sent_again(client: Client, server: Server, fault: Any) -> None:
    server.faults = [fault, fault]
    assert labels(client.batch("main", [[1], [2]])) == ["1", "2"]
    assert len(server.requests) == 3


def test_what_concerns_all_rows_is_raised(client: Client, server: Server) -> None:
    server.faults = [404]
    with pytest.raises(RequestRefused):
        list(client.batch("main", [[1]]))
    server.faults = ["not_found"]
    with pytest.raises(RequestRefused, match="It is not_found"):
        list(client.batch("main", [[1]]))
    server.faults = ["cut"] * 10
    with pytest.raises(ServerUnavailable, match="ended in the middle"):
        list(client.batch("main", [[1]]))
    for given in ({}, {"rows": [[1]], "images": [b"x"]}):
        with pytest.raises(InvalidInput):
            list(client.batch("main", **given))


def test_the_async_client_does_the_same(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 3)
    server.faults = ["cut"]

    async def sleep(_: float) -> None: ...

    async def main() -> list[Any]:
        transport = httpx.MockTransport(server)
        async with AsyncClient("http://quorate.test", transport=transport, sleep=sleep) as client:
            return [row async for row in client.batch("main", [[i] for i in range(10)])]

    assert labels(asyncio.run(main())) == [str(i) for i in range(10)]
