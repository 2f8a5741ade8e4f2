"""A disk that stalls or is full, under the journal only: what is refused, what is answered, what is lost and counted.

The server's processes get a ``sitecustomize`` that wraps ``os.write`` and the calls that flush: while a file named
``stalled`` or ``full`` exists, writing below a ``journal`` folder waits or fails with ENOSPC. The product itself runs
as it is.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import examples, machine, onnxes, openloop
from benchmarks.harness.found import Found
from benchmarks.harness.requests import NUMBER, Request, save
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import FOLDER, QUORATE, Row
from benchmarks.peers.export import body
from benchmarks.peers.latency import decisions

POOL = "kept"
RATE = 200.0
BEFORE_S, AFTER_S = 2.0, 5.0
STALL_MS = 200.0
KINDS = ("stalled", "full")

SITE = """
import errno, os, time

FLAGS = {flags!r}


def _journal(fd):
    try:
        return "/journal/" in os.readlink(f"/proc/self/fd/{{fd}}")
    except OSError:
        return False


def _wrapped(call):
    def wrapper(fd, *args):
        if type(fd) is int and (os.path.exists(FLAGS + "/stalled") or os.path.exists(FLAGS + "/full")) and _journal(fd):
            while os.path.exists(FLAGS + "/stalled"):
                time.sleep(0.01)
            if os.path.exists(FLAGS + "/full"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(fd, *args)
    return wrapper


for _name in ("write", "writev", "pwrite", "fsync", "fdatasync"):
    if hasattr(os, _name):
        setattr(os, _name, _wrapped(getattr(os, _name)))
"""


def measure(seconds: float, workers: int, seed: int) -> Found:
    """Each fault with each ``on_full``."""
    if (reason := openloop.missing()) is not None:
        return Found([Row("a broken disk", QUORATE, "answers", "", (), reason)], 0)
    rows: list[Row] = []
    bad = 0
    for kind in KINDS:
        for on_full in ("shed", "drop"):
            found = _one(kind, on_full, seconds, workers, seed)
            rows += found.rows
            bad += found.bad
    return Found(rows, bad)


def _one(kind: str, on_full: str, seconds: float, workers: int, seed: int) -> Found:
    folder, registry = onnxes.fresh(f"disk-{kind}-{on_full}")
    for number in range(2):
        onnxes.register(registry, f"m{number}", onnxes.random(number))
    config = onnxes.config({POOL: ["m0", "m1"]}, on_full=on_full) | {"journal": {"stall_ms": STALL_MS}}
    examples.apply(folder, config)
    sent = [Request(onnxes.path(POOL), body([[0.0] * onnxes.WIDTH]), headers={"X-Request-Id": NUMBER})]
    file = save(sent, FOLDER / "run" / "disk.requests")
    cores = machine.split_cores(machine.available(), workers)
    with site(FOLDER / "run" / "site") as (flags, environment):
        with serve(folder, workers=workers, cores=cores and cores.server, environment=environment) as running:
            memory: list[float] = []

            def breaks() -> None:
                _during(flags / kind, seconds, lambda: memory.append(sum(running.resident().values())))

            records = openloop.drive(
                running.port,
                file,
                rate=RATE,
                seconds=BEFORE_S + seconds + AFTER_S,
                connections=256,
                cores=cores and cores.generator,
                seed=seed,
                during=breaks,
            )
            counted = _counted(running)
        kept = decisions(folder / ".quorate" / "journal")
    return _rows(f"{kind} disk for {seconds:g} s, on_full: {on_full}", records, set(kept), counted, memory, seconds)


@contextmanager
def site(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the ``sitecustomize``: the folder for the flags, and the environment that finds it."""
    flags = (folder / "flags").resolve()
    flags.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE.format(flags=str(flags)))
    paths = [str(folder.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        yield flags, {"PYTHONPATH": os.pathsep.join(paths)}
    finally:
        for kind in KINDS:
            (flags / kind).unlink(missing_ok=True)


def _during(flag: Path, seconds: float, look: Callable[[], None]) -> None:
    """Break the disk after a while, mend it after ``seconds``, looking twice a second."""
    until = time.monotonic() + BEFORE_S + seconds + AFTER_S
    timers = [
        threading.Timer(BEFORE_S, flag.touch),
        threading.Timer(BEFORE_S + seconds, lambda: flag.unlink(missing_ok=True)),
    ]
    for timer in timers:
        timer.start()
    try:
        while time.monotonic() < until - 0.5:
            look()
            time.sleep(0.5)
    finally:
        for timer in timers:
            timer.cancel()


def _counted(running: Running) -> float:
    return running.metric("quorate_decisions_dropped_total")


def _rows(
    title: str, sent: openloop.Records, kept: set[str], dropped: float, memory: list[float], seconds: float
) -> Found:
    rows = sent.rows
    statuses = sent.statuses()
    ids = [f"{number:010d}" for number in range(len(rows))]
    lost = sum(1 for name, good in zip(ids, sent.good.tolist(), strict=True) if good and name not in kept)
    inside = (rows["intended"] > BEFORE_S + 1) & (rows["intended"] < BEFORE_S + seconds - 0.2)
    refused = int((rows["status"][inside] == 429).sum())
    after = rows["intended"] > BEFORE_S + seconds + 2
    failed_after = int((rows["status"][after] != 200).sum())
    others = sum(n for status, n in statuses.items() if status not in (200, 429))
    found = [
        Row(title, QUORATE, "answered", "", (float(statuses.get(200, 0)),), f"of {len(rows):,} at {RATE:g}/s"),
        Row(title, QUORATE, "refused with 429", "", (float(statuses.get(429, 0)),), f"{refused} a second after it"),
        Row(title, QUORATE, "other statuses", "", (float(others),)),
        Row(title, QUORATE, "slowest answer", "ms", (float(sent.latency_ms().max(initial=0)),)),
        Row(title, QUORATE, "answers without a record", "", (float(lost),), f"{dropped:.0f} counted as dropped"),
        Row(title, QUORATE, "failed, from 2 s after it", "", (float(failed_after),)),
        Row(title, QUORATE, "memory, most", "MB", (max(memory),), f"{memory[0]:.0f} at first"),
    ]
    uncounted = max(0, lost - int(dropped))
    return Found(found, uncounted + failed_after)
