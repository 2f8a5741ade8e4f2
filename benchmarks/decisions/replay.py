"""Replay of many decisions: time and peak memory, each kind of question in a fresh process.

    python -m benchmarks.decisions.replay [--decisions 5000000]

The decisions are drawn (outputs are random probabilities of five members over ten classes), lie in compacted files of
25,000 each in two slots, and every one has its truth in the store, which was put there by plain SQL. Members' outputs
are recorded of all: that is the most there is to read.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.table import LIMIT, QUORATE, Row, render

DECISIONS = 5_000_000
PER_FILE = 25_000
MEMBERS = tuple(f"m-{i}" for i in range(5))
CLASSES = tuple(map(str, range(10)))
STRATEGIES = ("soft", "one")
START_MS = 1_700_000_000_000
SLOTS = 2
QUESTIONS = {
    "exact, a combiner given now": {"strategy": {"kind": "vote", "voting": "hard"}},
    "off-policy, a policy": {
        "policy": {"kind": "split", "weights": {"soft": 1, "one": 3}},
        "method": "off-policy",
    },
}
SECONDS, BYTES = 60.0, 2 * 1024**3


def make(home: Path, decisions: int) -> None:
    """A project at ``home`` with so many decisions and as many truths."""
    from quorate.clock import SystemClock
    from quorate.control.revisions.apply import apply
    from quorate.core.types import OutputSpec, Signature, TensorSpec
    from quorate.home import Home
    from quorate.registry.manifest import Manifest
    from quorate.registry.registry import Registry
    from quorate.store.database import Database

    place, clock = Home(home), SystemClock()
    home.mkdir(parents=True, exist_ok=True)
    registry, database = Registry(place.registry, clock), Database(place.store_url)
    database.migrate()
    signature = Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("scores", CLASSES))
    for name in MEMBERS:
        tensors = (TensorSpec("input", "float32", (None, 4)),)
        draft = Manifest(
            name=name, format="callable", signature=signature, tensors=tensors, output_name="output",
            options={"entry": "predict"},
        )  # fmt: skip
        registry.register(draft, {"model.py": f"def predict(input): ...  # {name}\n".encode()})
    endpoint = {
        "pool": "digits",
        "strategies": {"soft": {"kind": "mean"}, "one": {"kind": "single", "member": MEMBERS[0]}},
        "policy": {"kind": "split", "weights": {"soft": 1, "one": 1}},
    }
    config = {
        "pools": {"digits": {"task": "classification", "members": list(MEMBERS)}},
        "endpoints": {"digits": endpoint},
    }
    place.config.write_text(json.dumps(config))
    apply(place, registry, database, author="benchmark", clock=clock)
    database.close()
    _fill(place, decisions)


def _fill(place: Any, decisions: int) -> None:
    import sqlite3

    store = sqlite3.connect(place.state / "store.db")
    store.execute("pragma synchronous = off")
    columns = [each[1] for each in store.execute("pragma table_info(outcomes)")]
    usual = {"row": 0, "metric": "truth", "source": "ground_truth", "at": 1.0, "received": 1.0, "state": "joined"}
    inserted = f"insert into outcomes ({', '.join(map(_quoted, columns))}) values ({', '.join('?' * len(columns))})"  # noqa: S608
    rng = np.random.default_rng(0)
    for number in range(-(-decisions // PER_FILE)):
        count = min(PER_FILE, decisions - number * PER_FILE)
        ids, labels = _file(place.journal, number, count, rng)
        rows = (usual | {"decision": id_, "label": label} for id_, label in zip(ids, labels, strict=True))
        store.executemany(inserted, ([row.get(name) for name in columns] for row in rows))
        store.commit()
    store.close()


def _quoted(name: str) -> str:
    return f'"{name}"'


def _file(journal: Path, number: int, count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """One compacted file: what compaction would have written for drawn decisions; their ids and truths."""
    import pyarrow as pa

    from quorate.codecs import columnar, parquet

    slot, first = number % SLOTS, number // SLOTS * PER_FILE
    sequence = first + np.arange(count)
    moments = START_MS + number // SLOTS * PER_FILE + np.arange(count)
    ids = [_id(int(ms), slot, int(s)) for ms, s in zip(moments, sequence, strict=True)]
    m, k = len(MEMBERS), len(CLASSES)
    truth = rng.integers(k, size=count)
    outputs = rng.random((count, m, k), np.float32)
    outputs[np.arange(count), :, truth] += 0.3
    outputs /= outputs.sum(axis=2, keepdims=True)
    assigned = rng.integers(2, size=count)
    answer = np.where(assigned[:, None] == 0, outputs.mean(axis=1), outputs[:, 0])
    names = pa.array(np.array(STRATEGIES, object)[assigned])

    def lists(values: Any, per: int) -> Any:
        return pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * per), pa.array(values))

    def texts(values: tuple[str, ...]) -> Any:
        return lists(list(values) * count, len(values))

    columns = {
        "sequence": pa.array(sequence.astype(np.uint64)), "id": pa.array(ids), "arrived": pa.array(moments / 1e3),
        "endpoint": pa.array(["digits"] * count), "output_kind": pa.array(["scores"] * count),
        "source": pa.array(["policy"] * count), "assigned": names, "served": names,
        "context": pa.array(["{}"] * count), "strategies": texts(STRATEGIES), "member_names": texts(MEMBERS),
        "classes": texts(CLASSES), "propensities": lists(np.full(2 * count, 0.5), 2),
        "outputs": lists(outputs.reshape(-1), m * k), "answer": lists(answer.reshape(-1).astype("f4"), k),
        "status": lists(np.zeros(count * m, np.int8), m), "member_status": lists(np.zeros(count * m, np.int8), m),
        "member_versions": lists(np.ones(count * m, np.int64), m), "input_digest": pa.array([b"x" * 32] * count),
        "member_latency_ms": lists(rng.gamma(2.0, size=count * m), m),
        "member_reasons": lists(pa.nulls(count * m, pa.string()), m),
    }  # fmt: skip
    for name, value in (("members", m), ("width", k), ("answer_width", k)):
        columns[name] = pa.array(np.full(count, value))
    for name in ("revision", "rows", "output_rows", "answer_rows"):
        columns[name] = pa.array(np.ones(count, np.int64))
    for name in ("degraded", "abstained"):
        columns[name] = pa.array(np.zeros(count, bool))
    for name in ("queue_ms", "latency_ms"):
        columns[name] = pa.array(rng.gamma(2.0, size=count))
    kinds = columnar._decision_types()
    columns["state_version"] = pa.array(np.zeros(count, np.int64))
    arrays = [columns[n].cast(kind) if n in columns else pa.nulls(count, kind) for n, kind in kinds.items()]
    origin = {b"quorate.slot": str(slot).encode(), b"quorate.boot": b"0", b"quorate.first": str(first).encode()}
    schema = pa.schema(list(kinds.items()), {b"quorate.format": str(parquet.FORMAT).encode()} | origin)
    path = journal / str(slot) / f"0000000-{first:013d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        columnar.write(file, pa.Table.from_arrays(arrays, schema=schema))
    return ids, [CLASSES[i] for i in truth]


def _id(ms: int, slot: int, sequence: int) -> str:
    text = f"{ms << 80 | 7 << 76 | slot << 64 | 2 << 62 | sequence:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ask(home: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Replay in this process; what it took."""
    from quorate.clock import SystemClock
    from quorate.control.replay.asked import Question
    from quorate.control.replay.run import replay
    from quorate.home import Home
    from quorate.registry.registry import Registry
    from quorate.store.database import Database

    place, clock = Home(home), SystemClock()
    database = Database(place.store_url)
    marks: dict[str, float] = {}
    started, used = time.perf_counter(), time.process_time()
    answer = replay(
        Question("digits", **question),
        place,
        database,
        Registry(place.registry, clock),
        clock,
        told=lambda what, _: marks.__setitem__(what, time.perf_counter() - started),
    )
    took, used = time.perf_counter() - started, time.process_time() - used
    database.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": took,
        "processor": used,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "used": answer.counts.used,
        "method": answer.method,
        "marks": marks,
        "value": answer.candidate.value,
    }


def _measured(home: Path, decisions: int, rounds: int) -> Iterator[Row]:
    workload = f"replay of {decisions:,} decisions"
    for name, question in QUESTIONS.items():
        runs = []
        for _ in range(rounds):
            command = [sys.executable, "-m", "benchmarks.decisions.replay", "--ask", str(home), json.dumps(question)]
            made = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
            runs.append(json.loads(made.stdout))
        if any(run["used"] != decisions for run in runs):
            raise RuntimeError(f"{name}: of {decisions} decisions {runs[0]['used']} were used.")
        note = f"outcomes read after {runs[0]['marks']['outcomes']:.1f} s, {runs[0]['processor']:.0f} s of processor"
        yield Row(workload, QUORATE, f"{name}: time", "s", tuple(run["seconds"] for run in runs), note)
        yield Row(workload, QUORATE, f"{name}: peak memory", "bytes", tuple(float(run["bytes"]) for run in runs))
        yield Row(workload, LIMIT, f"{name}: time", "s", (SECONDS,))
        yield Row(workload, LIMIT, f"{name}: peak memory", "bytes", (float(BYTES),))


def rows(*, quick: bool = False, decisions: int | None = None, rounds: int = 1) -> list[Row]:
    """Make the log once, and replay it in fresh processes."""
    count = decisions or (50_000 if quick else DECISIONS)
    with tempfile.TemporaryDirectory(prefix="quorate-replay-") as folder:
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.decisions.replay", "--make", folder, str(count)], check=False
        )
        if made.returncode:
            raise RuntimeError("The log could not be made.")
        return list(_measured(Path(folder), count, rounds))


def main() -> None:
    """Print the table of this part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "COUNT"), help="only make the log")
    parser.add_argument("--ask", nargs=2, metavar=("FOLDER", "QUESTION"), help="only replay, and print JSON")
    options = parser.parse_args()
    if options.make:
        make(Path(options.make[0]), int(options.make[1]))
    elif options.ask:
        print(json.dumps(ask(Path(options.ask[0]), json.loads(options.ask[1]))))
    else:
        print(render(rows(decisions=options.decisions, rounds=options.rounds)))


if __name__ == "__main__":
    main()
