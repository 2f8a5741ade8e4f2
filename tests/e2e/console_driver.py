"""The page alone, a client of a control port that a test plays: prints its own port, and serves until it is killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn


def main(control: str, state: str) -> None:
    """Serve the page on a free port of 127.0.0.1."""
    os.environ["NICEGUI_STORAGE_PATH"] = state  # read when it is imported
    from quorate.console.app import create_app
    from quorate.console.settings import ConsoleSettings

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = ConsoleSettings("127.0.0.1", port, "http://127.0.0.1:9", control, (), Path(state))

    def tell() -> None:
        print(port, flush=True)

    config = uvicorn.Config(create_app(settings, on_ready=tell), lifespan="on", log_level="warning")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main(*sys.argv[1:])
