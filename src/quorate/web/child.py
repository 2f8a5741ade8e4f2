"""A uvicorn server in a child of the supervisor: what it listens on, and its end with the supervisor."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import uvicorn


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket: connections wait from here on."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


def end_with_supervisor(server: uvicorn.Server, life_fd: int, log: logging.Logger) -> None:
    """Have a server that is about to run on this loop drain at SIGTERM, or when ``life_fd`` ends."""
    loop = asyncio.get_running_loop()
    # uvicorn obeys SIGTERM while it serves, and then hands it on to these: cleaning up must come first.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def gone() -> None:
        loop.remove_reader(life_fd)
        log.warning("The supervisor is gone; stopping.")
        server.should_exit = True

    loop.add_reader(life_fd, gone)
