"""What the caller sends: pictures again and again in every form, retries, mistakes, and questions it should not ask."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.blind.site import ARMS, OTHER_ARMS, png

FORMS = ("png", "pixels", "base64", "form", "protocol", "binary")
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as bytes; ``kind`` is ``answer`` where a decision is expected, else what it tries."""

    kind: str
    form: str
    picture: int
    user: str | None
    raw: bytes


def plan(
    endpoint: str,
    pictures: Sequence[NDArray[np.uint8]],
    count: int,
    *,
    seed: int,
    users: int | None = None,
    forms: Sequence[str] = FORMS,
) -> list[Ask]:
    """``count`` requests that are answered by a decision, and among them some of every other kind.

    With ``users`` each request has a user in its context; every user comes as often.
    """
    rng = random.Random(seed)
    names: list[str | None]
    names = [None] * count if users is None else [f"user-{number % users}" for number in range(count)]
    rng.shuffle(names)
    asks: list[Ask] = []
    for number, user in enumerate(names):
        picture, form = rng.randrange(len(pictures)), rng.choice(forms)
        luck = rng.random()
        key = f"key-{seed}-{number}" if luck < 0.05 else None
        one = Ask("answer", form, picture, user, _request(endpoint, pictures[picture], form, user, key))
        asks.append(one)
        if key is not None:
            asks.append(Ask("retry", form, picture, user, one.raw))
        elif luck < 0.11:
            asks.append(_nosy(endpoint, pictures[picture], rng))
    return asks


def _request(endpoint: str, pixels: NDArray[np.uint8], form: str, user: str | None, key: str | None) -> bytes:
    context = {} if user is None else {"user": user}
    extra = "" if key is None else f"idempotency-key: {key}\r\n"
    path = f"/v1/endpoints/{endpoint}/predict"
    if form == "png":
        query = "" if user is None else f"?context.user={user}"
        return post(path + query, "image/png", png(pixels), extra)
    if form in ("pixels", "base64"):
        row = pixels.tolist() if form == "pixels" else {"b64": base64.b64encode(png(pixels)).decode()}
        return post(path, JSON, _json({"instances": [row], "context": context}), extra)
    if form == "form":
        return post(path, "multipart/form-data; boundary=edge", _multipart(png(pixels), context), extra)
    parameters: dict[str, object] = {f"context.{name}": value for name, value in context.items()}
    path = f"/v2/models/{endpoint}/infer"
    if form == "protocol":
        data = base64.b64encode(png(pixels)).decode()
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [data]}
        return post(path, JSON, _json({"inputs": [tensor], "parameters": parameters}), extra)
    tail = pixels.tobytes()
    size = {"binary_data_size": len(tail)}
    pixel = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8], "parameters": size}
    parameters["binary_data_output"] = True
    head = _json({"inputs": [pixel], "parameters": parameters})
    extra += f"inference-header-content-length: {len(head)}\r\n"
    return post(path, "application/octet-stream", head + tail, extra)


def _nosy(endpoint: str, pixels: NDArray[np.uint8], rng: random.Random) -> Ask:
    """A mistake, or a question whose answer would be the arm."""
    predict = f"/v1/endpoints/{endpoint}/predict"
    arm = rng.choice(ARMS + OTHER_ARMS)
    row = {"instances": [pixels.tolist()]}
    kind, raw = rng.choice(
        [
            ("mistake", post(predict, JSON, b'{"instances": [[')),
            ("mistake", post(predict, JSON, _json({"instances": [{"b64": "AAAA"}]}))),
            ("mistake", post(predict, "text/plain", b"7")),
            ("mistake", post(predict, "image/png", b"\x89PNG broken")),
            ("choice", post(predict, JSON, _json({**row, "options": {"strategy": arm}}))),
            ("choice", post(predict, JSON, _json({**row, "options": {"strategy": "svm"}}))),
            ("choice", post(f"{predict}?strategy={arm}", "image/png", png(pixels))),
            ("choice", post(f"/v2/models/{endpoint}/infer", JSON, _json(_chosen(pixels, arm)))),
            ("look-up", get(f"/v1/decisions/{_id(rng)}")),
            ("look-up", get(f"/v1/endpoints/{endpoint}")),
            ("look-up", get("/metrics")),
            ("look-up", get(f"/v2/models/{endpoint}/stats")),
            ("look-up", get(f"/v2/models/{arm}")),
            ("look-up", get(f"/v2/models/{endpoint}")),
            ("look-up", post("/v2/repository/index", JSON, b"{}")),
            ("outcome", post("/v1/outcomes", JSON, _json({"id": _id(rng), "truth": "7"}))),
        ]
    )
    return Ask(kind, "", -1, None, raw)


def _chosen(pixels: NDArray[np.uint8], arm: str) -> dict[str, object]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8], "data": pixels.ravel().tolist()}
    return {"inputs": [tensor], "parameters": {"strategy": arm}}


def _id(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-8{text[17:20]}-{text[20:]}"


def _multipart(picture: bytes, context: dict[str, str]) -> bytes:
    return (
        b'--edge\r\ncontent-disposition: form-data; name="file"; filename="7.png"\r\n\r\n'
        + picture
        + b'\r\n--edge\r\ncontent-disposition: form-data; name="context"\r\n\r\n'
        + _json(context)
        + b"\r\n--edge--\r\n"
    )


def post(path: str, media_type: str, body: bytes, extra: str = "") -> bytes:
    """A request with a body, as bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {media_type}\r\n{extra}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """A request without one."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
