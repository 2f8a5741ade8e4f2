"""Requests as both clients send them: method, path, headers and body, made before anything is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from quorate.client.inputs import image_bytes, rows_list, to_json
from quorate.errors import InvalidInput

if TYPE_CHECKING:
    from quorate.client.inputs import Image, Rows

OUTCOMES_A_REQUEST = 1000
_LONGEST_HEADER = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """``path`` is below the server's URL and has the query; the body is the same bytes at every try."""

    method: str
    path: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    content: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a caller may ask beside the rows; see ``Client.predict``."""

    strategy: str | None = None
    max_ms: float | None = None
    context: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    min_confidence: float | None = None

    def asked(self) -> dict[str, Any]:
        """The ``options`` of a request."""
        given = {"strategy": self.strategy, "max_ms": self.max_ms, "min_confidence": self.min_confidence}
        return {name: value for name, value in given.items() if value is not None}

    def headers(self, content_type: str) -> dict[str, str]:
        """With an idempotency key, a new one where none was given."""
        found = {"content-type": content_type, "idempotency-key": uuid.uuid4().hex}
        for name, value in (("idempotency-key", self.idempotency_key), ("traceparent", self.traceparent)):
            if value is not None:
                found[name] = _visible(name, value)
        return found


def base_url(url: str) -> str:
    """The server's URL without a slash at its end; :class:`~quorate.errors.InvalidInput` if it is none."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:
        right = False
    if "@" in url:
        raise InvalidInput("The URL has a user or password in it; give the key as api_key.", path="url")
    if not right or parts.query or parts.fragment:
        raise InvalidInput(f"The URL is that of a server, such as http://127.0.0.1:8000; got '{url}'.", path="url")
    return url.rstrip("/")


def key_headers(api_key: str | None) -> dict[str, str]:
    """The header that carries the key. Errors never show the key."""
    if api_key is None:
        return {}
    if not api_key or not all("!" <= letter <= "~" for letter in api_key):
        raise InvalidInput("The API key is empty or has characters that no key has, such as a blank.", path="api_key")
    return {"authorization": f"Bearer {api_key}"}


def _visible(name: str, value: str) -> str:
    """The value of a header; :class:`~quorate.errors.InvalidInput` for what no header can hold."""
    if not 1 <= len(value) <= _LONGEST_HEADER or not all("!" <= letter <= "~" for letter in value):
        path = name.replace("-", "_")
        raise InvalidInput(f"{path} is 1 to {_LONGEST_HEADER} visible ASCII characters; got {value[:40]!a}.", path=path)
    return value


def predict(
    endpoint: str,
    options: Options,
    *,
    image: Image | None = None,
    images: Sequence[Image] | None = None,
    rows: Rows | None = None,
) -> Request:
    """Ask an endpoint about exactly one of ``image``, ``images`` and ``rows``.

    A lone image is the body itself. Several, or one with a context, go as a form: no base64 to make and to undo, and
    the context keeps its types and stays out of URLs, which are logged.
    """
    if sum(each is not None for each in (image, images, rows)) != 1:
        raise InvalidInput("Give exactly one of image, images and rows.", path="image")
    path = f"/v1/endpoints/{quote(endpoint, safe='')}/predict"
    if rows is not None:
        body: dict[str, Any] = {"instances": rows_list(rows)}
        if options.context:
            body["context"] = dict(options.context)
        if options.asked():
            body["options"] = options.asked()
        return Request("POST", path, options.headers("application/json"), to_json(body))
    if image is not None and not options.context:
        query = urlencode(options.asked())
        headers = options.headers("application/octet-stream")
        return Request("POST", f"{path}?{query}" if query else path, headers, image_bytes(image))
    if image is not None:
        encoded = [image_bytes(image)]
    else:
        encoded = [image_bytes(each, path=f"images[{i}]") for i, each in enumerate(() if images is None else images)]
    content_type, content = _form(encoded, options)
    return Request("POST", path, options.headers(content_type), content)


def many(images: Iterable[Image] | None, batches: Iterable[Rows] | None) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Index, source and what to give to :func:`predict`, for each of ``images`` or of ``batches``."""
    if (images is None) == (batches is None):
        raise InvalidInput("Give either images or batches.", path="images")
    if batches is not None:
        return ((index, batch, {"rows": batch}) for index, batch in enumerate(batches))
    return ((index, image, {"image": image}) for index, image in enumerate(() if images is None else images))


def _form(images: Sequence[bytes], options: Options) -> tuple[str, bytes]:
    """``multipart/form-data``; its boundary is made from its parts, so that an equal request has equal bytes."""
    fields: list[tuple[str, str, bytes]] = [
        ('name="file"; filename="image"', "application/octet-stream", data) for data in images
    ]
    for name, value in (("context", options.context), ("options", options.asked())):
        if value:
            fields.append((f'name="{name}"', "application/json", to_json(value)))
    digest = hashlib.sha256()
    for _, _, data in fields:
        digest.update(len(data).to_bytes(8, "little") + data)
    boundary = digest.hexdigest()
    pieces: list[bytes] = []
    for name, media_type, data in fields:
        head = f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\nContent-Type: {media_type}\r\n\r\n"
        pieces += [head.encode(), data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(pieces)


def outcome(
    decision: str,
    *,
    row: int = 0,
    truth: str | float | None = None,
    reward: float | None = None,
    rewards: Mapping[str, float] | None = None,
    source: str = "user",
    at: float | None = None,
) -> dict[str, Any]:
    """One outcome as JSON; see ``Client.outcome``."""
    given = {"truth": truth, "reward": reward, "rewards": rewards, "at": at}
    return {"id": decision, "row": row, "source": source} | {k: v for k, v in given.items() if v is not None}


def outcomes(told: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Request:
    """Tell one outcome, or a list of them."""
    return Request("POST", "/v1/outcomes", {"content-type": "application/json"}, to_json(told))


def parts(told: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """Many outcomes in lists of at most ``OUTCOMES_A_REQUEST``, each with the index of its first."""
    left = iter(told)
    offset = 0
    while part := list(islice(left, OUTCOMES_A_REQUEST)):
        yield offset, part
        offset += len(part)


READY = Request("GET", "/v2/health/ready")
INDEX = Request("POST", "/v2/repository/index", {"content-type": "application/json"}, b"{}")


def metadata(name: str) -> Request:
    """What an endpoint or model takes and gives."""
    return Request("GET", f"/v2/models/{quote(name, safe='')}")
