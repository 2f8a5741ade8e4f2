"""The process that runs one isolated member: ``python -m quorate.runtimes.host_main SOCKET PARENT``.

``SOCKET`` is the inherited descriptor of a connected socket, ``PARENT`` the worker's process id. The host loads
what the first frame describes, then answers one run after the other until the worker is gone: at the end of the
stream, and on Linux also when the worker is killed while the member never gives the GIL back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from io import BufferedReader
from pathlib import Path

from quorate.core.types import Artifact, Tensors
from quorate.errors import MemberCrashed, QuorateError
from quorate.runtimes import wire
from quorate.runtimes.base import Session
from quorate.runtimes.lookup import runtime_for
from quorate.runtimes.signature import one_line, whole_option

MAX_MEMORY_MB = 1 << 24
_PR_SET_PDEATHSIG = 1


class _Gone(Exception):
    """The worker closed its end."""


def main() -> None:
    """Serve the worker until it is gone."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    # Only the worker ends a host (by closing the socket, or SIGKILL): a Ctrl-C or a SIGTERM to the whole group
    # must not take members away from a worker that is still draining.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as link, link.makefile("rb") as source, contextlib.suppress(_Gone, OSError):
        _serve(link, source)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):  # when memory runs out, the kernel shall take the member, not the worker
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit(1)


def _serve(link: socket.socket, source: BufferedReader) -> None:
    header, meta = _receive_head(source)
    try:
        artifact = wire.read_artifact(meta)
        _limit_memory(artifact)
        session = runtime_for(artifact.format)().load(artifact)
    except BaseException as error:
        _send(link, _failure(header.request, error, "could not be loaded"))
        return
    _send(link, wire.pack(wire.Kind.READY, header.request))
    while True:
        header, meta = _receive_head(source)
        body = bytearray(header.body)
        _fill(source, memoryview(body))
        _send(link, _answer(session, header.request, wire.read_tensors(meta, body)))


def _answer(session: Session, request: int, inputs: Tensors) -> list[wire.Buffer]:
    try:
        return wire.pack_tensors(wire.Kind.RESULT, request, session.run(inputs))
    except BaseException as error:  # whatever it is, the next run may be well
        return _failure(request, error, "failed")


def _failure(request: int, error: BaseException, what: str) -> list[wire.Buffer]:
    if isinstance(error, QuorateError):
        fault = wire.Fault(error.code, error.message, error.path)
    else:
        fault = wire.Fault(MemberCrashed.code, f"the member {what}: {one_line(error)}.", None)
    return wire.pack(wire.Kind.ERROR, request, fault)


def _limit_memory(artifact: Artifact) -> None:
    megabytes = whole_option(artifact, "memory_mb", None, MAX_MEMORY_MB)
    if megabytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _receive_head(source: BufferedReader) -> tuple[wire.Header, bytes]:
    header = wire.read_header(_take(source, wire.HEADER_SIZE))
    return header, _take(source, header.meta)


def _take(source: BufferedReader, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise _Gone
    return data


def _fill(source: BufferedReader, buffer: memoryview) -> None:
    while buffer:
        count = source.readinto(buffer)
        if not count:
            raise _Gone
        buffer = buffer[count:]


def _send(link: socket.socket, parts: list[wire.Buffer]) -> None:
    for part in parts:
        link.sendall(part)


if __name__ == "__main__":
    main()
