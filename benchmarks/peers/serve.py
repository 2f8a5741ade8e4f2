"""uvicorn at its best: uvloop, httptools, no access log, and workers that each listen for themselves.

``uvicorn --workers N`` shares one listening socket, and one worker may then take every connection of a test (seen:
32 of 32). SO_REUSEPORT spreads them, so this is what Quorate is compared with.

``python -m benchmarks.peers.serve APPLICATION PORT WORKERS``
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

READY = "Application startup complete."


def command(application: str, port: int, workers: int) -> list[str]:
    """The command that serves ``module:factory`` of this package."""
    return [sys.executable, "-m", "benchmarks.peers.serve", application, str(port), str(workers)]


def work(application: str, port: int) -> None:
    """One worker; returns after SIGTERM."""
    import uvicorn

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()  # so that whoever reads READY in the log can connect
    config = uvicorn.Config(
        f"benchmarks.peers.{application}", factory=True, loop="uvloop", http="httptools", access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def main(argv: Sequence[str]) -> None:
    """Start the workers and wait for them; one worker needs no process above it."""
    application, port, workers = argv[0], int(argv[1]), int(argv[2])
    if workers == 1:
        work(application, port)
        return
    children = [subprocess.Popen(command(application, port, 1)) for _ in range(workers)]

    def stop(*_: object) -> None:
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    for child in children:
        child.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
