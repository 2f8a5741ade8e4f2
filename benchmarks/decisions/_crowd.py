"""Simulated users of many endpoints at once: they see an answer, and some of them tell later whether it was right.

The two arms of every endpoint answer with different labels, so a user's truth depends on nothing but the answer that
came back over HTTP: nobody here knows the arm otherwise.
"""

from __future__ import annotations

import heapq
import http.client
import json
import re
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression

from benchmarks.harness.table import FOLDER
from quorate import Pool
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

OLD, NEW = "old", "new"
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
_ID = re.compile(rb'"id": ?"([^"]+)"')
_LABEL = re.compile(rb'"label": ?"([01])"')
PIPELINED = 64


def project(endpoints: int) -> Path:
    """A project with so many endpoints over one pool of two members, whose answers always differ."""
    folder = FOLDER / "run" / "experiments"
    shutil.rmtree(folder, ignore_errors=True)
    home = Home(folder.resolve())
    home.state.mkdir(parents=True)
    x = np.float32([[1, 0], [-1, 0], [1, 1], [-1, 1]])
    y = (x[:, 0] > 0).astype(int)
    members = {"plain": LogisticRegression().fit(x, y), "turned": LogisticRegression().fit(x, 1 - y)}
    Pool(members, x).register(Registry(home.registry, SystemClock()))
    strategies = {name: {"kind": "single", "member": m} for name, m in ((OLD, "plain"), (NEW, "turned"))}
    endpoint = {"pool": "pair", "strategies": strategies, "policy": OLD}
    config = {
        "pools": {"pair": {"task": "classification", "members": list(members)}},
        "endpoints": {f"e{i:02d}": endpoint for i in range(endpoints)},
    }
    home.config.write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


class Asking:
    """Pipelined requests to one port, on one connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        body = b'{"instances":[[1,0]]}'
        head = "POST /v1/endpoints/{} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._head, self._body = head, b"content-length: %d\r\n\r\n" % len(body) + body

    def answers(self, endpoints: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """One request for each: the endpoint, the decision's id and the label."""
        for start in range(0, len(endpoints), PIPELINED):
            some = endpoints[start : start + PIPELINED]
            asked = [self._head.format(f"{name}/predict").encode() + self._body for name in some]
            self._socket.sendall(b"".join(asked))
            for name in some:
                status, body = self._read()
                if status != 200:
                    raise RuntimeError(f"{name} answered {status}: {body[:300]!r}")
                found = _ID.search(body), _LABEL.search(body)
                if found[0] is None or found[1] is None:
                    raise RuntimeError(f"{name} answered {body[:300]!r}")
                yield name, found[0][1].decode(), found[1][1].decode()

    def _read(self) -> tuple[int, bytes]:
        line = self._file.readline()
        length = 0
        while (header := self._file.readline()) not in (b"\r\n", b""):
            found = _LENGTH.match(header)
            length = int(found[1]) if found else length
        return int(line.split()[1]), self._file.read(length)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Users:
    """Who asked tells the truth with probability ``presence``, after a time: exponential, ``delay_s`` on average."""

    def __init__(self, port: int, rng: np.random.Generator, *, presence: float, delay_s: float) -> None:
        self._asking = Asking(port)
        self._port = port
        self._rng = rng
        self._presence, self._delay = presence, delay_s
        self._later: list[tuple[float, str, str]] = []
        self.asked = self.told = 0

    def ask(self, endpoints: Sequence[str], rates: dict[str, dict[str, float]]) -> None:
        """One request for each entry of ``endpoints``; ``rates`` says how often each label is right there."""
        for name, decision, label in self._asking.answers(endpoints):
            self.asked += 1
            if self._rng.random() < self._presence:
                right = self._rng.random() < rates[name][label]
                truth = label if right else str(1 - int(label))
                heapq.heappush(self._later, (time.monotonic() + self._rng.exponential(self._delay), decision, truth))

    def tell(self) -> None:
        """Report the outcomes whose time has come, a thousand in a request."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            some: list[dict[str, Any]] = []
            while self._later and self._later[0][0] <= now and len(some) < 1000:
                _, decision, truth = heapq.heappop(self._later)
                some.append({"id": decision, "truth": truth})
            found = call(self._port, "POST", "/v1/outcomes", some)
            if found["rejected"]:
                raise RuntimeError(f"outcomes were rejected: {found['rejected'][:1]}")
            self.told += len(some)

    def close(self) -> None:
        """Close its connection."""
        self._asking.close()


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """One JSON request; :class:`RuntimeError` for an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"})
        answer = connection.getresponse()
        raw = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path} was answered with {answer.status}: {raw[:300]!r}")
    return json.loads(raw)
