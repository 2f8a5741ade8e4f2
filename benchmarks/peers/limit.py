"""The limit from two sides: the server without a model, and the model without a server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import numpy as np

from benchmarks.peers.asgi import App, Receive, Send, lifespan, read, reply
from benchmarks.peers.pool import FusedSession, from_environment

ANSWER_BYTES = "QUORATE_BENCH_ANSWER_BYTES"


def echo() -> App:
    """A program that reads the body and sends as many bytes as Quorate does, of no meaning."""
    answer = b'"' + b"." * (int(os.environ[ANSWER_BYTES]) - 2) + b'"'

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        await read(receive)
        await reply(send, 200, answer)

    return app


def runs_per_second(model: FusedSession, feed: dict[str, Any], seconds: float) -> tuple[float, float]:
    """How often the graph alone runs in one thread: by the clock, and by processor time."""
    for _ in range(100):
        model.run(feed)
    runs, started, used = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        for _ in range(20):
            model.run(feed)
        runs += 20
    return runs / elapsed, runs / max(time.process_time() - used, 1e-9)


def main(rows: int, seconds: float) -> None:
    """Print the two rates of the pool's graph."""
    pool = from_environment()
    model = FusedSession(pool)
    pixels = np.random.default_rng(0).random((rows, 64), np.float32)
    print(*runs_per_second(model, {pool.input: pixels}, seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
