"""Load over HTTP/2 by h2load (closed loop), for gRPC: each call is a POST of one framed message."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.machine import pinned
from benchmarks.harness.wrk import Load

PATH = "/inference.GRPCInferenceService/ModelInfer"
_RATE = re.compile(r"finished in ([\d.]+)(us|ms|s), ([\d.]+) req/s")
_STATUS = re.compile(r"status codes: (\d+) 2xx")


def ensure() -> str | None:
    """Why there is no h2load, or None; installs the Debian package where that is possible."""
    if shutil.which("h2load") is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "--yes", "nghttp2-client"], check=False, stdout=subprocess.DEVNULL)
    return None if shutil.which("h2load") else "the load generator h2load is missing: apt-get install nghttp2-client"


def framed(message: bytes) -> bytes:
    """A gRPC message as it is sent: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


def drive(port: int, message: Path, *, connections: int, seconds: float, cores: Sequence[int] | None) -> Load:
    """Call with a framed message for ``seconds``, one call at a time on each connection; latency in the log."""
    log = message.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = [
        *pinned(cores),
        "h2load",
        f"--clients={connections}",
        "--threads=1",
        f"--duration={max(1, round(seconds))}",
    ]
    command += ["--max-concurrent-streams=1", f"--data={message}", f"--log-file={log}"]
    command += ["--header=content-type: application/grpc", "--header=te: trailers", f"http://127.0.0.1:{port}{PATH}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    return parse(done.stdout + done.stderr, log.read_text() if log.exists() else "")


def parse(output: str, log: str) -> Load:
    """h2load's output and its log (start, status and microseconds a line) as a :class:`Load`."""
    rate, answered = _RATE.search(output), _STATUS.search(output)
    if rate is None or answered is None:
        raise RuntimeError(f"h2load gave no result:\n{output}")
    took = [fields for fields in (line.split() for line in log.splitlines()) if len(fields) >= 3]
    latencies = sorted(int(fields[2]) / 1e3 for fields in took)
    bad = sum(fields[1] != "200" for fields in took)
    if not latencies:
        raise RuntimeError(f"h2load answered nothing:\n{output}")
    return Load(
        answers=len(latencies),
        rate=float(rate.group(3)),
        p50_ms=latencies[len(latencies) // 2],
        p99_ms=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
        bad=bad,
    )
