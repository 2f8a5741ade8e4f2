"""The body of a batch as it comes: read a little ahead, unpacked, and bounded in size and patience."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator

from quorate.errors import MalformedRequest, TooLarge, UnsupportedMediaType

READ_AHEAD = 1 << 20
"""Bytes that are read although nobody takes the answers yet: a body up to this size never waits for its reader."""

IDLE_S = 30.0
_PIECE = 1 << 16


class Feed:
    """Pieces of a body, read ahead by a task of its own until ``READ_AHEAD`` bytes wait.

    ``total`` is the most bytes there may be, as sent and unpacked; ``idle_s`` how long the next piece may take.
    :class:`MalformedRequest` for a stalled body and for one that is not what ``encoding`` says,
    :class:`TooLarge`, :class:`UnsupportedMediaType` at once for an unknown encoding; what ``source`` raises.
    """

    def __init__(
        self, source: AsyncIterator[bytes], *, total: int, encoding: bytes | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._source = source
        self._total = total
        self._idle_s = idle_s
        self._unpack = _unpacker(encoding)
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._pump = asyncio.create_task(self._read())

    @property
    def ready(self) -> bool:
        """Whether :meth:`get` returns at once."""
        return bool(self._pieces) or self._ended

    async def get(self) -> bytes | None:
        """The next piece, None at the end."""
        while not self.ready:
            self._changed.clear()
            await self._changed.wait()
        if self._pieces:
            piece = self._pieces.popleft()
            self._waiting -= len(piece)
            if self._waiting < READ_AHEAD:
                self._room.set()
            return piece
        if self._error is not None:
            raise self._error
        return None

    async def close(self) -> None:
        """Read no further."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    async def _read(self) -> None:
        try:
            size = 0
            while True:
                await self._room.wait()
                try:
                    async with asyncio.timeout(self._idle_s):
                        chunk = await anext(self._source, None)
                except TimeoutError:
                    raise MalformedRequest(
                        f"Nothing more of the body came for {self._idle_s:g} s; send on, or end it.", path="body"
                    ) from None
                if chunk is None:
                    break
                size = await self._take(chunk, size)
            if not self._unpack.complete:
                raise _broken("it ends too early")
        except Exception as error:  # handed to whoever takes the pieces
            self._error = error
        finally:
            self._ended = True
            self._changed.set()

    async def _take(self, chunk: bytes, size: int) -> int:
        for piece in self._unpack(chunk):
            size += len(piece)
            if size > self._total:
                raise TooLarge(
                    f"The body has more than {self._total} bytes (limits.batch_bytes); send it in parts, or raise it.",
                    path="body",
                )
            self._pieces.append(piece)
            self._waiting += len(piece)
            self._changed.set()
            if self._waiting >= READ_AHEAD:
                self._room.clear()
                await self._room.wait()
        return size


class _Plain:
    """A body that is not packed."""

    complete = True

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        if chunk:
            yield chunk


class _Zipped:
    """Gzip (any number of members, as concatenated files have) or zlib; a bomb is never whole in memory."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)

    @property
    def complete(self) -> bool:
        return self._stream.eof

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        while rest:
            if self._stream.eof:
                if self._window == zlib.MAX_WBITS:
                    raise _broken("bytes follow its end")
                self._stream = zlib.decompressobj(self._window)
            try:
                piece = self._stream.decompress(rest, _PIECE)
            except zlib.error as error:
                raise _broken(str(error)) from None
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece


def _unpacker(encoding: bytes | None) -> _Plain | _Zipped:
    name = (encoding or b"").strip().lower()
    if name in (b"", b"identity"):
        return _Plain()
    if name in (b"gzip", b"x-gzip"):
        return _Zipped(16 + zlib.MAX_WBITS)
    if name == b"deflate":
        return _Zipped(zlib.MAX_WBITS)
    raise UnsupportedMediaType(
        f"Content-Encoding '{name.decode('latin-1')[:50]}' is not read here; expected gzip, deflate or identity.",
        path="Content-Encoding",
    )


def _broken(why: str) -> MalformedRequest:
    return MalformedRequest(
        f"The body is not what its Content-Encoding says: {why}. Compress it again or send it as it is.", path="body"
    )
