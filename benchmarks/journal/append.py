"""What keeping a record costs the event loop: appended one by one, and many at once.

    python benchmarks/journal/append.py [--records 200000] [--bytes 640] [--durability process] [--ring /dev/shm]

For each batch size: thread CPU time of the event loop per record (appending, flushing, acknowledging), CPU time of the
whole process per record (the writer thread included), and records per second of wall time. The next batch is appended
when the one before is acknowledged: without a ring (``--ring ''``) the disk's latency is in the last column and in no
other, with one in none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import uvloop

from quorate.clock import SystemClock
from quorate.codecs.snapshot import JournalSettings
from quorate.serving.journal import Journal


async def _single(journal: Journal, payload: bytes, batch: int, rounds: int) -> None:
    for _ in range(rounds):
        futures = []
        for _ in range(batch):
            str(journal.ids.take())
            futures.append(journal.append(payload, on_full="shed"))
        for future in futures:
            if future is not None:
                await future


async def _many(journal: Journal, payload: bytes, batch: int, rounds: int) -> None:
    for _ in range(rounds):
        journal.ids.take_many(batch)
        if await journal.append_many([payload] * batch, on_full="shed") != batch:
            raise SystemExit("the journal shed records; use a disk that keeps up")


async def _measure(options: argparse.Namespace, batch: int, way: str, repeat: int) -> tuple[float, float, float]:
    best = (float("inf"), float("inf"), 0.0)
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            settings = JournalSettings(durability=options.durability, ring=options.ring or None)
            journal = Journal(Path(folder), 0, settings, SystemClock(), lambda error: print(error))
            journal.start()
            work = _single if way == "append" else _many
            payload = bytes(options.bytes)
            await work(journal, payload, batch, 100)
            rounds = max(1, options.records // batch)
            loop, process, wall = time.thread_time(), time.process_time(), time.perf_counter()
            await work(journal, payload, batch, rounds)
            count = rounds * batch
            found = (
                (time.thread_time() - loop) / count * 1e6,
                (time.process_time() - process) / count * 1e6,
                count / (time.perf_counter() - wall),
            )
            best = (min(best[0], found[0]), min(best[1], found[1]), max(best[2], found[2]))
            await journal.close()
    return best


async def _main(options: argparse.Namespace) -> None:
    print(f"{'call':12} {'batch':>5} {'loop us/record':>15} {'process us/record':>18} {'records/s':>10}")
    for batch in (1, 4, 16, 64):
        for way in ("append", "append_many"):
            loop, process, rate = await _measure(options, batch, way, options.repeat)
            print(f"{way:12} {batch:5} {loop:15.2f} {process:18.2f} {rate:10.0f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=640, help="payload of one record")
    parser.add_argument("--durability", choices=("process", "power", "none"), default="process")
    parser.add_argument("--ring", default="/dev/shm", help="a folder in memory; '' for none")  # noqa: S108
    parser.add_argument("--repeat", type=int, default=3, help="runs per line; the best is shown")
    parser.add_argument("--folder", type=Path, default=None, help="where segments go; default: the temporary folder")
    uvloop.run(_main(parser.parse_args()))
