"""The health checking protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from quorate.serving.grpc import health
from quorate.serving.grpc.health import HealthService
from quorate.serving.grpc.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Context:
    """What gRPC gives a handler; ``told`` is what was written."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[int] = asyncio.Queue()
        self.code: grpc.StatusCode | None = None

    async def write(self, message: HealthCheckResponse) -> None:
        self.told.put_nowait(message.status)

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any) -> None:
        self.code = code
        raise grpc.aio.AbortError


def run(main: Callable[[HealthService], Any], *, ready: Callable[[], bool] = lambda: True) -> Any:
    async def with_service() -> Any:
        return await main(HealthService(ready, ("a.Service",)))

    return asyncio.run(with_service())


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("name", ["", "a.Service"])
def test_a_check_says_whether_it_serves(name: str, ready: bool) -> None:
    async def main(service: HealthService) -> tuple[int, int]:
        before = await service._check(HealthCheckRequest(service=name), Context())
        await service.drain(1.0)
        after = await service._check(HealthCheckRequest(service=name), Context())
        return before.status, after.status

    assert run(main, ready=lambda: ready) == (SERVING if ready else NOT_SERVING, NOT_SERVING)


def test_a_service_that_is_not_there_is_not_found() -> None:
    async def main(service: HealthService) -> Context:
        context = Context()
        with pytest.raises(grpc.aio.AbortError):
            await service._check(HealthCheckRequest(service="other"), context)
        return context

    assert run(main).code is grpc.StatusCode.NOT_FOUND


def test_a_list_has_every_service() -> None:
    async def main(service: HealthService) -> Any:
        return await service._list(HealthListRequest(), Context())

    assert {name: one.status for name, one in run(main).statuses.items()} == {"": SERVING, "a.Service": SERVING}


@pytest.mark.parametrize(
    ("name", "expected"), [("", [SERVING, NOT_SERVING]), ("other", [HealthCheckResponse.SERVICE_UNKNOWN])]
)
def test_a_watcher_is_told_of_the_drain_that_ends_its_stream(name: str, expected: list[int]) -> None:
    async def main(service: HealthService) -> list[int]:
        context = Context()
        stream = asyncio.ensure_future(service._watch(HealthCheckRequest(service=name), context))
        told = [await context.told.get()]
        await service.drain(10.0)
        await stream
        while not context.told.empty():
            told.append(context.told.get_nowait())
        return told

    assert run(main) == expected


def test_watchers_are_bounded_and_leave_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WATCHERS", 1)

    async def main(service: HealthService) -> Context:
        first, second, third = Context(), Context(), Context()
        stream = asyncio.ensure_future(service._watch(HealthCheckRequest(), first))
        await first.told.get()
        with pytest.raises(grpc.aio.AbortError):
            await service._watch(HealthCheckRequest(), second)
        stream.cancel()
        await asyncio.wait([stream])
        again = asyncio.ensure_future(service._watch(HealthCheckRequest(), third))
        assert await third.told.get() == SERVING
        await service.drain(10.0)
        await again
        return second

    assert run(main).code is grpc.StatusCode.RESOURCE_EXHAUSTED
