"""The gRPC port of a worker: one server on its event loop; workers share the port by SO_REUSEPORT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import grpc

from quorate.errors import ConfigError
from quorate.serving.grpc import service
from quorate.serving.grpc.health import HealthService
from quorate.serving.grpc.service import InferenceService, Repository
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.plane import Plane

log = logging.getLogger("quorate.serving")

STREAMS = 256
"""Calls under way at once on one connection; a client's library holds the next one back."""
PING_S = 60
PING_TIMEOUT_S = 20
"""A connection without calls is asked that often whether anybody is there, and closed without an answer in time."""
CLIENT_PING_S = 10
"""Clients that ask more often are taken for a flood and disconnected."""
FAREWELL_S = 1.0


class GrpcServer:
    """Serves a plane on ``host`` and ``port``; made and used in the worker's event loop.

    Messages may have ``limits.body_bytes`` of the snapshot in use now, before and after decompression. A later snapshot
    makes that smaller at once. Larger than gRPC was told here it cannot become: :meth:`told` says so.
    """

    def __init__(
        self,
        plane: Plane,
        *,
        host: str,
        port: int,
        idempotency: IdempotencyTable,
        ready: Callable[[], bool],
        telemetry: Path,
        repository: Repository | None = None,
    ) -> None:
        self._plane = plane
        self._most = plane.generation.limits.body_bytes
        self._draining = False
        self._ready = ready
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._service = InferenceService(
            plane, idempotency=idempotency, ready=self._serves, telemetry=telemetry, repository=repository
        )
        self._health = HealthService(self._serves, (service.SERVICE,))
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", self._most),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", STREAMS),
                ("grpc.keepalive_time_ms", PING_S * 1000),
                ("grpc.keepalive_timeout_ms", PING_TIMEOUT_S * 1000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_PING_S * 1000),
            )
        )
        self._server.add_generic_rpc_handlers((self._service.handlers(), self._health.handlers()))

    def told(self) -> None:
        """Say what of the snapshot in use now is not obeyed."""
        wanted = self._plane.generation.limits.body_bytes
        if wanted > self._most:
            log.warning(
                "limits.body_bytes is %d now; gRPC goes on taking %d, until `quorate upgrade` or a restart.",
                wanted,
                self._most,
            )

    def _serves(self) -> bool:
        return self._ready() and not self._draining

    async def start(self) -> int:
        """Listen; the port. :class:`ConfigError` where that cannot be done."""
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise ConfigError(
                f"Cannot listen on {self._address} for gRPC: {error}. Stop what uses it, or set server.grpc_port.",
                path="server.grpc_port",
            ) from None
        await self._server.start()
        return int(port)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new calls, and give those under way ``grace`` seconds."""
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        await self._health.drain(min(FAREWELL_S, grace))
        await self._server.stop(max(0.0, end - loop.time()))
        await self._service.finish(max(0.0, end - loop.time()))
