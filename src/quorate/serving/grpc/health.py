"""The gRPC health checking protocol, which load balancers and orchestrators ask; it needs no key.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from quorate.errors import NotFound, Overloaded
from quorate.serving.grpc.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from quorate.serving.grpc.status import failure

SERVICE = "grpc.health.v1.Health"
WATCHERS = 64
"""Streams that may watch one worker; one more is refused."""


class HealthService:
    """Says SERVING while ``ready`` does, and NOT_SERVING from :meth:`drain` on.

    ``services`` are the names that may be asked for, besides the empty one for the whole server.
    """

    def __init__(self, ready: Callable[[], bool], services: tuple[str, ...]) -> None:
        self._ready = ready
        self._services = ("", *services)
        self._draining = asyncio.Event()
        self._watchers: set[asyncio.Task[Any]] = set()

    def handlers(self) -> Any:
        """What a server registers."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(
                    self._check,
                    request_deserializer=HealthCheckRequest.FromString,
                    response_serializer=HealthCheckResponse.SerializeToString,
                ),
                "Watch": grpc.unary_stream_rpc_method_handler(
                    self._watch,
                    request_deserializer=HealthCheckRequest.FromString,
                    response_serializer=HealthCheckResponse.SerializeToString,
                ),
                "List": grpc.unary_unary_rpc_method_handler(
                    self._list,
                    request_deserializer=HealthListRequest.FromString,
                    response_serializer=HealthListResponse.SerializeToString,
                ),
            },
        )

    async def drain(self, timeout: float) -> None:
        """Tell every watcher that this worker stops serving, and end their streams; ``timeout`` is seconds."""
        self._draining.set()
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=timeout)

    def _status(self) -> HealthCheckResponse.ServingStatus:
        serving = self._ready() and not self._draining.is_set()
        return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING

    async def _check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        if request.service not in self._services:
            named = ", ".join(name for name in self._services if name)
            error = NotFound(f"There is no service '{request.service[:64]}'; expected none or {named}.", path="service")
            await context.abort(*failure(error))
        return HealthCheckResponse(status=self._status())

    async def _list(self, request: HealthListRequest, context: Any) -> HealthListResponse:
        response = HealthListResponse()
        for name in self._services:
            response.statuses[name].status = self._status()
        return response

    async def _watch(self, request: HealthCheckRequest, context: Any) -> None:
        """The status now, and again when it changes, which it does once: at the drain, that ends the stream."""
        if len(self._watchers) >= WATCHERS:
            await context.abort(*failure(Overloaded(f"{WATCHERS} streams watch this worker already; use Check.")))
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks
        self._watchers.add(task)
        try:
            known = request.service in self._services
            await context.write(
                HealthCheckResponse(status=self._status() if known else HealthCheckResponse.SERVICE_UNKNOWN)
            )
            told = self._draining.is_set()
            await self._draining.wait()
            if known and not told:
                await context.write(HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING))
        finally:
            self._watchers.discard(task)
