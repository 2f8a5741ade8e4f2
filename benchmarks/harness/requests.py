"""Requests as bytes, in one file that both load generators read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

JSON = "application/json"
NUMBER = "@" * 10
"""The open-loop generator puts the number of the sending here."""


@dataclass(frozen=True, slots=True)
class Request:
    """A POST of ``body``; the answer must contain ``expect`` (only the open-loop generator looks)."""

    path: str
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: bytes = b""

    def encode(self) -> bytes:
        """The whole request as it goes over the wire."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def save(requests: Iterable[Request], file: Path) -> Path:
    """Write them, each after a line with its length and that of what is expected."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for request in requests:
            raw = request.encode()
            out.write(b"%d %d\n" % (len(raw), len(request.expect)) + raw + request.expect)
    return file
