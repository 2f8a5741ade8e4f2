"""A raw ASGI program for pictures: a body of one encoded picture, or JSON rows of pixels, answered by five sessions."""

from __future__ import annotations

import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.peers.asgi import App, Receive, Send, lifespan, read, reply
from benchmarks.peers.piped import Piped, from_environment
from benchmarks.peers.pool import answer

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def application() -> App:
    """The program; uvicorn calls this in each worker."""
    model = Piped(from_environment())

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        body = await read(receive)
        is_json = dict(scope["headers"]).get(b"content-type") == b"application/json"
        await reply(send, 200, _encode(answer(model, pictures(body, is_json=is_json))))

    return app


def pictures(body: bytes, *, is_json: bool) -> list[Any]:
    """What a body holds."""
    return [np.array(row, np.uint8) for row in _decode(body)["instances"]] if is_json else [body]


def main(body: Path, seconds: float, *, is_json: bool) -> None:
    """Print how often a second this process answers the body, with no server: by the clock and by processor time."""
    model, sent = Piped(from_environment()), body.read_bytes()
    for _ in range(5):
        model.probabilities(pictures(sent, is_json=is_json))
    runs, started, used = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        model.probabilities(pictures(sent, is_json=is_json))
        runs += 1
    print(runs / elapsed, runs / max(time.process_time() - used, 1e-9))


if __name__ == "__main__":
    main(Path(sys.argv[2]), float(sys.argv[3]), is_json=sys.argv[1] == "json")
