"""What a good engineer writes by hand: a raw ASGI program that decodes, runs and encodes, with no framework between.

No decision record, deadline, degradation or limits; a fault of one member is a fault of the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from benchmarks.peers.pool import FiveSessions, FusedSession, Model, from_environment

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PATH = "/predict"


class Body(msgspec.Struct):
    instances: list[list[list[int]]]


class Prediction(msgspec.Struct):
    label: str
    confidence: float
    probabilities: dict[str, float]


class Answer(msgspec.Struct):
    predictions: list[Prediction]


_decode = msgspec.json.Decoder(Body).decode
_encode = msgspec.json.Encoder().encode


def application(model: Model) -> App:
    """The program around a model."""
    classes = model.classes

    def predict(body: bytes) -> tuple[int, bytes]:
        try:
            instances = _decode(body).instances
            rows = model.probabilities(instances).tolist()
        except (msgspec.DecodeError, ValueError) as error:
            return 400, _encode({"detail": str(error)})
        return 200, _encode(Answer([_prediction(classes, row) for row in rows]))

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["path"] != PATH or scope["method"] != "POST":
            await reply(send, 404, b'{"detail":"Not Found"}')
            return
        await reply(send, *predict(await read(receive)))

    return app


def _prediction(classes: tuple[str, ...], row: list[float]) -> Prediction:
    confidence = max(row)
    return Prediction(classes[row.index(confidence)], confidence, dict(zip(classes, row, strict=True)))


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def read(receive: Receive) -> bytes:
    """The whole body of a request."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def reply(send: Send, status: int, body: bytes) -> None:
    """Answer with a JSON body."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def five() -> App:
    """Five sessions; uvicorn calls this in each worker."""
    return application(FiveSessions(from_environment()))


def fused() -> App:
    """One session of the fused graph."""
    return application(FusedSession(from_environment()))
