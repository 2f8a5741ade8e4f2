"""Load at a given rate, whether or not answers come (open loop), by ``openloop.c``, which is compiled when needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import pinned
from benchmarks.harness.table import FOLDER

SOURCE = Path(__file__).with_name("openloop.c")
RECORD = np.dtype([("intended", "f8"), ("sent", "f8"), ("done", "f8"), ("status", "i4"), ("flags", "i4")])
BROKEN, UNANSWERED = -1, 0
_WRONG, _WAITED = 1, 2


@dataclass(frozen=True)
class Records:
    """Every sending of one run, in order; times in seconds from the start of the run, which took ``seconds``."""

    rows: NDArray[Any]
    seconds: float

    @property
    def good(self) -> NDArray[np.bool_]:
        """Answers with status 200 that say what they must."""
        found: NDArray[np.bool_] = (self.rows["status"] == 200) & (self.rows["flags"] & _WRONG == 0)
        return found

    @property
    def wrong(self) -> int:
        """Answers with status 200 that do not."""
        return int((self.rows["flags"] & _WRONG != 0).sum())

    @property
    def offered(self) -> float:
        """Requests a second that were meant to be sent."""
        return len(self.rows) / self.seconds

    @property
    def rate(self) -> float:
        """Good answers a second, of what was sent within the run."""
        return float((self.good & (self.rows["done"] <= self.seconds)).sum()) / self.seconds

    def statuses(self) -> dict[int, int]:
        """How many had which status; -1: connection broken, 0: unanswered."""
        values, counts = np.unique(self.rows["status"], return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def latency_ms(self, status: int = 200) -> NDArray[np.float64]:
        """From the intended sending to the answer, of all answers with a status."""
        rows = self.rows[self.rows["status"] == status]
        found: NDArray[np.float64] = 1e3 * (rows["done"] - rows["intended"])
        return found

    def late_ms(self) -> NDArray[np.float64]:
        """The generator's own lateness: sendings that waited for no connection and still left late."""
        rows = self.rows[(self.rows["flags"] & _WAITED == 0) & (self.rows["sent"] > 0)]
        found: NDArray[np.float64] = 1e3 * (rows["sent"] - rows["intended"])
        return found

    @property
    def waited(self) -> float:
        """Share of the sendings that found no idle connection."""
        return float((self.rows["flags"] & _WAITED != 0).mean()) if len(self.rows) else 0.0


def percentile(values: NDArray[np.float64], q: float) -> float:
    """A percentile; NaN where there is nothing."""
    return float(np.percentile(values, q)) if len(values) else float("nan")


def missing() -> str | None:
    """Why there is no open-loop generator here, or None."""
    if not sys.platform.startswith("linux"):
        return "the open-loop generator needs Linux (epoll, timerfd)"
    if shutil.which("cc") is None:
        return "the open-loop generator needs a C compiler: apt-get install gcc libc6-dev"
    return None


def build() -> Path:
    """The compiled generator; :class:`SystemExit` says what is missing."""
    if (reason := missing()) is not None:
        raise SystemExit(f"There is no load: {reason}.")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    program = FOLDER / "bin" / f"openloop-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_name(f"{program.name}.{os.getpid()}")
        subprocess.run(["cc", "-O2", "-o", fresh, SOURCE, "-lm"], check=True)
        fresh.replace(program)
    return program


def drive(
    port: int,
    requests: Path,
    *,
    rate: float,
    seconds: float,
    connections: int,
    cores: Sequence[int] | None,
    seed: int = 1,
    poisson: bool = True,
    grace: float = 2.0,
    during: Callable[[], None] = lambda: None,
) -> Records:
    """Send at ``rate`` a second for ``seconds``; arrivals are a Poisson process, the same for equal seeds.

    At most ``connections`` requests are under way; what is due beyond waits and its latency counts on.
    """
    records = requests.with_name(f"{requests.name}.{os.getpid()}.records")
    kind = "poisson" if poisson else "even"
    numbers = [str(rate), str(seconds), str(connections), str(seed)]
    command = [*pinned(cores), str(build()), str(port), str(requests), *numbers, kind, str(records), str(grace)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            during()
            _, errors = process.communicate(timeout=seconds + grace + 60)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"The open-loop generator failed: {errors}")
    rows = np.fromfile(records, RECORD)
    records.unlink()
    return Records(rows, seconds)
