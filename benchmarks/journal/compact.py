"""What compaction gains and costs: bytes before and after, time and processor time per decision, time to find one.

    python -m benchmarks.journal.compact [--decisions 25000] [--members 5] [--classes 10]

The decisions are drawn: outputs are random probabilities, which hardly compress; every member has a latency of its own
(``--fused``: the same for all, as in a fused graph).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.compact import compact
from quorate.core.types import Decision, MemberRun, Status
from quorate.ids import DecisionId


def _decision(rng: np.random.Generator, i: int, options: argparse.Namespace) -> Decision:
    outputs = rng.dirichlet(np.ones(options.classes), (1, options.members)).astype("f4")
    times = (
        [float(rng.gamma(2.0))] * options.members if options.fused else rng.gamma(2.0, size=options.members).tolist()
    )
    return Decision(
        str(DecisionId(1_700_000_000_000 + i, 0, 0, i)), "digits", 3, 0, "policy", 1.7e9 + i / 1e3, 0.1, max(times),
        {"user_id": f"u{rng.integers(10_000)}"}, ("a", "b"), (0.5, 0.5), "ab"[i % 2], "ab"[i % 2],
        tuple(MemberRun(f"member-{j}", 1, Status.OK, times[j]) for j in range(options.members)),
        outputs, np.zeros((1, options.members), "i1"), outputs.mean(1), False, 1, rng.bytes(32),
        classes=tuple(map(str, range(options.classes))),
    )  # fmt: skip


def main() -> None:
    """Print the figures of one segment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=25_000)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--fused", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    decisions = [_decision(rng, i, options) for i in range(options.decisions)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0" / segment_name(0, 0)
        path.parent.mkdir()
        with path.open("wb") as file:
            file.write(encode_header(Header(0, 0, 0, 1, 7)))
            for i, decision in enumerate(decisions):
                file.write(encode_record(RecordKind.DECISION, i, decision_codec.encode(decision), 7))
        reader = JournalReader(Path(folder))
        [segment] = reader.segments()
        columnar.decisions_table([], {})  # imports are not compaction
        started, used = time.perf_counter(), time.process_time()
        made = compact(segment)
        took, used = time.perf_counter() - started, time.process_time() - used
        print(f"before {made.before:,} bytes, after {made.after:,}: {made.after / made.before:.2f}")
        print(f"compaction: {made.decisions / took:,.0f} decisions/s, {used / made.decisions * 1e6:.0f} us of CPU each")
        started = time.process_time()
        count = sum(1 for _ in columnar.read_decisions(segment.beside(".parquet")))
        print(f"reading all: {(time.process_time() - started) / count * 1e6:.0f} us of CPU each")
        for what, ask in (("outline", reader.outline), ("find", reader.find)):
            ids = [decisions[i].id for i in rng.integers(options.decisions, size=50)]
            started = time.perf_counter()
            for id_ in ids:
                assert ask(id_) is not None
            print(f"{what}: {(time.perf_counter() - started) / len(ids) * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
