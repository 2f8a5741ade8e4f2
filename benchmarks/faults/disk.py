"""What becomes of requests and decisions while the journal's disk is full, failing or stalled; counted on both sides.

One worker is under load before, during and after the fault, at an endpoint that sheds or one that drops. Clients keep
the id of every answer and count every refusal. Afterwards every id is looked for in the journal, and what is missing
must be exactly what the worker counted as dropped; what was refused exactly what it counted as shed. Faults: ``full``
(ENOSPC), ``fail`` (EIO) and ``stall`` (writes do not return) are those of a disk that is made to misbehave inside an
otherwise ordinary worker, ``both`` is a disk that stalls and then turns out to be full: what was let go while it
stalled is lost after all; ``small`` is a real file system of 2 MiB, where one may be mounted (root, Linux).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.harness.digits import trained
from benchmarks.harness.found import Found
from benchmarks.harness.process import MB, free_port
from benchmarks.harness.table import FOLDER, QUORATE, Row
from quorate.codecs.lookup import JournalReader
from quorate.home import Home
from quorate.telemetry.counters import read

BODY = json.dumps({"instances": [[[0] * 8] * 8]}).encode()
WITHIN = 60.0
STALL_MS = 250
FAULTS = {
    "full": "full",
    "stall": "stalled",
    "fail": "failing",
    "both": "stalled, then full",
    "small": "a full file system of 2 MiB",
}
LONG = ("full", "stall")
PENDING = 1 << 20
"""The bound of what may wait for the disk, in these runs."""


_COUNTED = {
    "quorate_journal_records_total": "kept",
    "quorate_journal_dropped_total": "dropped",
    "quorate_journal_late_total": "late",
    "quorate_journal_shed_total": "shed",
}


class Worker:
    """One worker process on an applied project, and the word for its disk."""

    def __init__(self, project: Path, port: int, *, root: Path) -> None:
        self.port = port
        self.project = project
        life, self._life = os.pipe()
        self._ready, ready = os.pipe()
        where = ["--home", str(project), "--host", "127.0.0.1", "--port", str(port)]
        arguments = [*where, "--slot", "0", "--drain-s", "2", "--life-fd", str(life), "--ready-fd", str(ready)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
        self.log = project / "worker.log"
        with self.log.open("wb") as log:
            self.process: subprocess.Popen[str] = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                pass_fds=(life, ready),
            )
        os.close(life)
        os.close(ready)
        if os.read(self._ready, 1) != b"1":
            raise SystemExit(f"The worker did not start:\n{self.log.read_text()}")

    def disk(self, word: str) -> None:
        """Make its disk behave so from now on."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(word + "\n")
        stdin.flush()
        if stdout.readline().strip() != word:
            raise SystemExit(f"The worker ended:\n{self.log.read_text()}")

    def memory(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def counts(self) -> Counter[str]:
        """Its own counters: records by result, requests shed, drops and the bytes that wait."""
        found: Counter[str] = Counter()
        for name, _, cells in read(self.project / ".quorate" / "telemetry" / "worker-0.qt")[0]:
            if name in _COUNTED:
                found[_COUNTED[name]] += int(cells[0])
            elif name in ("quorate_shed_total", "quorate_journal_pending_bytes"):
                found[name] += int(cells[0])
        return found

    def stop(self) -> None:
        """Let it drain and write its last counts."""
        self.process.terminate()
        self.process.wait(WITHIN)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        os.close(self._life)
        os.close(self._ready)


@dataclass
class Seen:
    """What the clients saw: ids of answers, and how many refusals, by phase; ``wrong`` is anything else."""

    ids: dict[str, list[str]] = field(default_factory=lambda: {"before": [], "during": [], "after": []})
    refused: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=lambda: {"before": 0.0, "during": 0.0, "after": 0.0})
    phase: str = "before"
    stop: bool = False


@dataclass(frozen=True)
class Outcome:
    """One scenario, counted on both sides."""

    answered: dict[str, int]
    refused: Counter[str]
    wrong: Counter[str]
    missing: int
    dropped: int
    shed: int
    grown: int
    pending: int
    slowest: dict[str, float]
    recovered_s: float

    @property
    def faults(self) -> list[str]:
        """What is not as documented."""
        found = [f"{n} times {what}" for what, n in self.wrong.items()]
        if self.missing != self.dropped:
            found.append(f"{self.missing} answered decisions are missing, {self.dropped} were counted")
        if self.refused.total() != self.shed:
            found.append(f"{self.refused.total()} refusals were seen, {self.shed} were counted")
        if self.pending > PENDING:
            found.append(f"{self.pending} bytes waited, of {PENDING} allowed")
        return found


def _client(port: int, endpoint: str, seen: Seen) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN)
    while not seen.stop:
        phase, started = seen.phase, time.perf_counter()
        connection.request("POST", f"/v1/endpoints/{endpoint}/predict", BODY, {"content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        seen.slowest[phase] = max(seen.slowest[phase], time.perf_counter() - started)
        if answer.status == 200:
            seen.ids[phase].append(json.loads(body)["id"])
        elif answer.status == 429 and answer.getheader("retry-after"):
            seen.refused[phase] += 1
            time.sleep(0.001)  # a client that is told to come later does not come at once
        else:
            seen.wrong[f"status {answer.status} {phase}"] += 1
    connection.close()


def scenario(
    worker: Worker, endpoint: str, begin: Callable[[], None], end: Callable[[], None], *, seconds: float, clients: int
) -> Outcome:
    """Load before, during and after a fault; ``seconds`` is how long it lasts."""
    seen = Seen()
    threads = [threading.Thread(target=_client, args=(worker.port, endpoint, seen)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    peak = pending = 0
    try:
        _until(lambda: len(seen.ids["before"]) >= 50, "requests are answered before the fault")
        memory = worker.memory()
        begin()
        seen.phase = "during"
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            peak = max(peak, worker.memory())
            pending = max(pending, worker.counts()["quorate_journal_pending_bytes"])
            time.sleep(0.02)
        seen.phase = "after"
        ended, known = time.monotonic(), len(seen.ids["after"])
        end()
        kept = worker.counts()["kept"]
        _until(lambda: len(seen.ids["after"]) >= known + 50, "requests are answered after the fault")
        _until(lambda: worker.counts()["kept"] > kept, "decisions are kept after the fault")
        recovered = time.monotonic() - ended
    finally:
        seen.stop = True
        for thread in threads:
            thread.join()
        worker.stop()
    counts = worker.counts()
    recorded = {decision.id for decision in JournalReader(Home(worker.project).journal).decisions()}
    ids = [id_ for some in seen.ids.values() for id_ in some]
    return Outcome(
        answered={phase: len(some) for phase, some in seen.ids.items()},
        refused=seen.refused,
        wrong=seen.wrong,
        missing=sum(id_ not in recorded for id_ in ids),
        dropped=counts["dropped"],
        shed=counts["quorate_shed_total"],
        grown=peak - memory,
        pending=pending,
        slowest=seen.slowest,
        recovered_s=recovered,
    )


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not within {WITHIN:g} s: {what}.")
        time.sleep(0.01)


def configure(project: Path) -> None:
    """Endpoints ``shed`` and ``drop`` on the digits pool, with a small bound and a short stall."""
    path = project / "quorate.yaml"
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    soft = {"pool": "digits", "strategies": {"soft-vote": {"kind": "vote", "voting": "soft"}}, "deadline_ms": 1000}
    config["endpoints"] = {name: soft | {"on_full": name} for name in ("shed", "drop")}
    config["journal"] = {"pending_bytes": PENDING, "stall_ms": STALL_MS}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "apply", "--project", str(project)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[bool]:
    """A file system of that size at ``folder`` while the block runs; yields False where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    made = mount is not None and sys.platform == "linux" and os.geteuid() == 0
    made = made and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "quorate-small", str(folder)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=False)


def on_small_disk(
    worker: Worker, folder: Path, *, fill: int = 64 << 20
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Begin: a file of somebody else takes all the space that is left. End: it is deleted."""
    hog = folder / "hog"

    def begin() -> None:
        with hog.open("wb", buffering=0) as file:
            try:
                for _ in range(fill >> 12):
                    file.write(bytes(4096))
            except OSError:
                pass  # full, as wanted

    return begin, lambda: hog.unlink()


def run(project: Path, fault: str, endpoint: str, *, root: Path, seconds: float, clients: int) -> Outcome | None:
    """One scenario on a fresh copy's worker; None where it cannot be made here."""
    if fault != "small":
        worker = Worker(project, free_port(), root=root)
        words = ("stall", "full") if fault == "both" else (fault,)
        later = threading.Timer(seconds / 2, lambda: worker.disk(words[-1]))

        def begin() -> None:
            worker.disk(words[0])
            later.start()

        def end() -> None:
            later.join()
            worker.disk("well")

        return scenario(worker, endpoint, begin, end, seconds=seconds, clients=clients)
    folder = Home(project).journal
    with small_disk(folder) as made:
        if not made:
            return None
        worker = Worker(project, free_port(), root=root)
        begin, end = on_small_disk(worker, folder)
        return scenario(worker, endpoint, begin, end, seconds=seconds, clients=clients)


def measure(seconds: float, clients: int = 4) -> Found:
    """Every fault with each ``on_full``; those that the plan does not name last at most ten seconds."""
    root, rows, bad = Path.cwd(), [], 0
    for fault in FAULTS:
        lasts = seconds if fault in LONG else min(seconds, 10.0)
        for endpoint in ("shed", "drop"):
            project = FOLDER / "run" / f"disk-{fault}-{endpoint}"
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(trained(), project)
            configure(project)
            title = f"the journal's disk: {FAULTS[fault]} for {lasts:g} s, on_full: {endpoint}"
            found = run(project.resolve(), fault, endpoint, root=root, seconds=lasts, clients=clients)
            if found is None:
                rows.append(Row(title, QUORATE, "answered", "", (), "no file system may be mounted here"))
                continue
            rows += _rows(title, found)
            bad += len(found.faults)
    return Found(rows, bad)


def _rows(title: str, found: Outcome) -> list[Row]:
    phases = "/".join(str(count) for count in found.answered.values())
    return [
        Row(title, QUORATE, "answered", "", (float(sum(found.answered.values())),), f"before/during/after: {phases}"),
        Row(title, QUORATE, "refused with 429", "", (float(found.refused.total()),), f"{found.shed} counted as shed"),
        Row(title, QUORATE, "answers without a record", "", (float(found.missing),), f"{found.dropped} counted"),
        Row(title, QUORATE, "slowest answer", "ms", (1e3 * max(found.slowest.values()),), f"stall_ms is {STALL_MS}"),
        Row(title, QUORATE, "memory, growth at most", "MB", (found.grown / MB,)),
        Row(title, QUORATE, "waiting for the disk, most", "kB", (found.pending / 1e3,), f"{PENDING / 1e3:g} allowed"),
        Row(title, QUORATE, "answered and recorded again after", "s", (found.recovered_s,)),
        Row(title, QUORATE, "not as documented", "", (float(len(found.faults)),), "; ".join(found.faults)),
    ]
