"""Workload e: the Open Inference Protocol: binary tensors over REST, and gRPC."""

from __future__ import annotations

import http.client
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.harness import digits, h2load
from benchmarks.harness.found import Found
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.requests import Request, save
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import FOLDER, QUORATE, Row
from benchmarks.harness.wrk import Load
from benchmarks.peers import protocol
from benchmarks.peers.bench import Bench, Workload
from benchmarks.peers.check import TOLERANCE, WrongAnswer
from benchmarks.peers.measured import plural
from benchmarks.peers.systems import OIP_PATH, System, quorate, until_answers
from benchmarks.peers.workloads import rows
from benchmarks.peers.workloads.asked import Asked

REST, GRPC = "Open Inference Protocol, REST binary, one row", "Open Inference Protocol, gRPC, one row"
MODEL = "digits"
RUN = FOLDER / "run"


def measure(asked: Asked) -> Found:
    """REST with wrk, gRPC with h2load."""
    pool = rows.prepare(1)
    pixels = np.asarray([pool.instances[0]], np.uint8)
    wanted = np.array(list(pool.wanted[0].values()))
    project = RUN / "quorate"
    workers = (asked.workers or (1,))[-1]
    found, bad = _rest(project, pool.systems, pixels, wanted, asked, workers)
    calls, wrong = _Calls(project, pool, pixels, wanted, asked, workers).measure()
    return Found(found + calls, bad + wrong)


def _rest(
    project: Path, systems: Sequence[System], pixels: np.ndarray, wanted: np.ndarray, asked: Asked, workers: int
) -> tuple[list[Row], int]:
    sent, headers = protocol.binary(pixels)
    more = {protocol.HEADER: headers[protocol.HEADER]}
    request = Request(OIP_PATH, sent, headers["Content-Type"], more)

    def check(system: System, port: int) -> None:
        until_answers(lambda: _post(port, sent, headers)[0], 60)
        _, head, answer = _post(port, sent, headers)
        _compare(system.name, protocol.binary_answer(answer, head) if head else np.zeros(0), wanted)

    work = Workload(
        title=REST,
        systems=[
            quorate(QUORATE, project, OIP_PATH),
            *(system for system in systems if system.name == "MLServer"),
        ],
        requests=defaultdict(lambda: save([request], RUN / "oip-binary.requests")),
        check=check,
    )
    bench = Bench(work, asked.plan())
    return bench.run(workers, asked.connections or (32,)), bench.bad


def _post(port: int, body: bytes, headers: Mapping[str, str]) -> tuple[int, int, bytes]:
    """Status, length of the JSON part (0 where there is no other), body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", OIP_PATH, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, int(answer.headers.get(protocol.HEADER, 0)), answer.read()
    finally:
        connection.close()


def _compare(name: str, found: np.ndarray, wanted: np.ndarray) -> None:
    if found.size != wanted.size or abs(found.ravel() - wanted).max() > TOLERANCE:
        raise WrongAnswer(f"{name} answers {found.ravel().tolist()}, expected {wanted.tolist()}. Nothing was timed.")


class _Calls:
    """The gRPC half."""

    def __init__(
        self, project: Path, pool: rows.Digits, pixels: np.ndarray, wanted: np.ndarray, asked: Asked, workers: int
    ) -> None:
        self._project = project
        self._pool = pool
        self._wanted = wanted
        self._asked = asked
        self._workers = workers
        self._message = protocol.message(MODEL, pixels)
        self._file = RUN / "infer.grpc"
        self._title = f"{GRPC}, {plural(workers, 'worker')}, {plural(self._connections, 'connection')}"

    @property
    def _connections(self) -> int:
        return (self._asked.connections or (32,))[-1]

    def measure(self) -> tuple[list[Row], int]:
        if (reason := h2load.ensure()) is not None:
            return [Row(self._title, QUORATE, "answers", "1/s", (), reason)], 0
        self._file.write_bytes(h2load.framed(self._message))
        with ExitStack() as stack:
            ports, absent = {}, []
            for name, start in {QUORATE: self._quorate, "MLServer": self._mlserver}.items():
                try:
                    server, port = start()
                    stack.enter_context(server)
                    until_answers(lambda port=port: self._call(port), 60)
                    self._check(name, port)
                    ports[name] = port
                except (RuntimeError, WrongAnswer, OSError) as error:
                    absent.append(Row(self._title, name, "answers", "1/s", (), str(error).splitlines()[-1][:160]))
            loads = self._rounds(ports)
        metrics = {"answers": "1/s", "p50": "ms", "p99": "ms"}
        of = {"answers": lambda x: x.rate, "p50": lambda x: x.p50_ms, "p99": lambda x: x.p99_ms}
        found = [
            Row(self._title, name, metric, unit, tuple(map(of[metric], loads[name])))
            for metric, unit in metrics.items()
            for name in ports
        ]
        return found + absent, sum(load.bad for listed in loads.values() for load in listed)

    def _rounds(self, ports: Mapping[str, int]) -> dict[str, list[Load]]:
        loads: dict[str, list[Load]] = defaultdict(list)
        for order in schedule(list(ports), self._asked.pairs, self._asked.seed):
            for name in order:
                seconds = self._asked.seconds
                load = h2load.drive(ports[name], self._file, connections=self._connections, seconds=seconds, cores=None)
                loads[name].append(load)
        return loads

    def _quorate(self) -> tuple[Server, int]:
        shown = subprocess.run([digits.QUORATE, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        if "--grpc-port" not in shown:
            raise RuntimeError("this release has no gRPC: `quorate serve` knows no --grpc-port")
        port = free_port()
        command = digits.serve(self._project, free_port(), free_port(), self._workers)
        return Server([*command, "--grpc-port", str(port)], port, mark=digits.READY, log=RUN / "grpc.log"), port

    def _mlserver(self) -> tuple[Server, int]:
        system = next(s for s in self._pool.systems if s.name == "MLServer")
        if system.absent is not None:
            raise RuntimeError(system.absent)
        server = system.start(self._workers, None)
        return server, int(server.argv[-3])

    def _call(self, port: int) -> int:
        return 200 if self._answer(port) is not None else 503

    def _answer(self, port: int) -> bytes | None:
        import grpc

        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                return bytes(channel.unary_unary(h2load.PATH)(self._message, timeout=10))
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                    return None
                raise RuntimeError(f"{error.code().name}: {error.details()}") from None

    def _check(self, name: str, port: int) -> None:
        answer = self._answer(port)
        _compare(name, protocol.message_answer(answer or b""), self._wanted)
