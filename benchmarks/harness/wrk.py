"""Load by wrk: keep-alive connections that each send the next request when the answer is there (closed loop)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.machine import pinned

# `args[1]` holds whole requests, as `harness/requests.py` writes them, sent in turn. wrk counts statuses above 399.
SCRIPT = """\
local requests, sent = {}, 0

function init(args)
  local file = io.open(args[1], "rb")
  while true do
    local size, expected = file:read("*n", "*n")
    if not size then break end
    file:read(1)
    requests[#requests + 1] = file:read(size)
    if expected > 0 then file:read(expected) end
  end
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"answers": %d, "not_200": %d, "socket_errors": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, e.status, e.connect + e.read + e.write + e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One run: all answers, those with status 200 a second, their latency in milliseconds, and what went wrong."""

    answers: int
    rate: float
    p50_ms: float
    p99_ms: float
    bad: int


def ensure() -> str:
    """The path of wrk; installs the Debian package where that is possible, else says how."""
    if shutil.which("wrk") is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "wrk"]):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "The load generator wrk is missing. Install it: `apt-get install wrk` (Debian, Ubuntu) or "
            "`brew install wrk` (macOS)."
        )
    return found


def drive(
    port: int,
    requests: Path,
    *,
    connections: int,
    seconds: float,
    cores: Sequence[int] | None,
    during: Callable[[], None] = lambda: None,
) -> Load:
    """Send the requests of a file (:mod:`.requests`) in turn for ``seconds``; ``during`` is called meanwhile."""
    script = requests.with_name("send.lua")
    script.write_text(SCRIPT)
    threads = _threads(connections, 2 if cores is None else len(cores))
    command = [*pinned(cores), ensure(), f"-c{connections}", f"-t{threads}", f"-d{_duration(seconds)}", "--timeout=10s"]
    command += ["--script", str(script), f"http://127.0.0.1:{port}/", "--", str(requests)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            during()
            output, _ = process.communicate(timeout=seconds + 30)
        except BaseException:
            process.kill()
            raise
    return parse(output)


def parse(output: str) -> Load:
    """wrk's output as a :class:`Load`; :class:`RuntimeError` with the output where it holds no result."""
    result = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        raise RuntimeError(f"wrk gave no result:\n{output}")
    found = json.loads(result.removeprefix("RESULT "))
    good = found["answers"] - found["not_200"]
    return Load(
        answers=found["answers"],
        rate=good / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        bad=found["not_200"] + found["socket_errors"],
    )


def _threads(connections: int, cores: int) -> int:
    """As many as there are cores, but so that each has as many connections: wrk opens no more than that."""
    return max(n for n in range(1, cores + 1) if connections % n == 0)


def _duration(seconds: float) -> str:
    """wrk takes whole seconds only."""
    return f"{max(1, round(seconds))}s"
