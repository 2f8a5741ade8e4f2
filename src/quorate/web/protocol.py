"""HTTP/1.1 on the wire: what is no request is answered with a problem too, and heads are bounded."""

from __future__ import annotations

import os

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from quorate.errors import MalformedRequest
from quorate.web.problem import problem

MAX_HEAD = 64 * 1024
_MESSAGE = (
    "The bytes received are no HTTP/1.1 request, or its head (the request line and the headers) has more than "
    f"{MAX_HEAD} bytes; the connection is closed."
)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol for both ports; pass it as ``http`` in the server's configuration."""

    _head_bytes = 0
    _in_head = False

    def data_received(self, data: bytes) -> None:
        """Take bytes in; a head that does not end is refused before it fills the memory."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.send_400_response(_MESSAGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Its head is complete; what is raised here is answered as a malformed request."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            raise ValueError(_MESSAGE)
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed, and close the connection: nobody knows where the next request begins."""
        if self.transport.is_closing():
            return
        answer = problem(MalformedRequest(_MESSAGE, path="request"), request_id=os.urandom(16).hex())
        lines = [name + b": " + value + b"\r\n" for name, value in answer.headers]
        head = [STATUS_LINE[answer.status], *lines, b"connection: close\r\n\r\n"]
        self.transport.write(b"".join([*head, answer.body]))
        self.transport.close()
