"""The console process: its port, open before anything slow is imported, and its end with the supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import uvicorn

from quorate.console.settings import ConsoleSettings
from quorate.web.child import end_with_supervisor, listen
from quorate.web.protocol import Protocol

log = logging.getLogger("quorate.console")

DRAIN_S = 2
BACKLOG = 512


def serve(settings: ConsoleSettings, *, life_fd: int, ready_fd: int) -> None:
    """Serve the page until SIGTERM, or until ``life_fd`` ends because the supervisor is gone.

    ``ready_fd`` gets one byte when pages can be answered. Visitors who come earlier wait for that: the framework takes
    most of a second to import.
    """
    listener = listen(settings.host, settings.port, BACKLOG)
    os.environ["NICEGUI_STORAGE_PATH"] = str(settings.state)  # read when it is imported
    asyncio.run(_run(settings, listener, life_fd=life_fd, ready_fd=ready_fd))


async def _run(settings: ConsoleSettings, listener: socket.socket, *, life_fd: int, ready_fd: int) -> None:
    from quorate.console.app import create_app

    def tell() -> None:
        os.write(ready_fd, b"1")
        os.close(ready_fd)

    config = uvicorn.Config(
        create_app(settings, on_ready=tell),
        http=Protocol,
        ws="websockets-sansio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)
    end_with_supervisor(server, life_fd, log)
    await server.serve(sockets=[listener])
