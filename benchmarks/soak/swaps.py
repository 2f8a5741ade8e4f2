"""Hot swaps under load: each revision has an answer of its own, and an answer must be that of exactly one revision.

Both members of the pool ignore their input. At revision r the first one's probability of the class ``a`` and the second
one's of ``b`` say r, so an answer of members of two revisions would show as two numbers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from benchmarks.harness import clients, examples, onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import QUORATE, Row
from benchmarks.peers.export import body
from quorate.codecs.lookup import JournalReader
from quorate.registry.registry import Registry

POOL = "swapped"
STEP = 0.002
MOST = 400
CONNECTIONS = 8
PAUSE = 0.15
"""Between two swaps: a worker looks every 100 ms, so that it serves nearly every revision for a moment."""


def model(first: bool, revision: int) -> bytes:
    """What one of the members answers at a revision, whatever it is asked."""
    code = 0.05 + STEP * revision
    rest = (1 - code) / 3
    p = [code, rest, rest, rest] if first else [rest, code, rest, rest]
    return onnxes.linear(np.zeros((onnxes.WIDTH, 4), np.float32), np.log(np.array(p)).astype(np.float32))


def revisions(probabilities: dict[str, float]) -> tuple[float, float]:
    """Which revisions the two members that gave a mean answer had; equal integers where it was one.

    With codes u and v: a = (u + (1 - v) / 3) / 2 and b = (v + (1 - u) / 3) / 2.
    """
    a, b = 2 * probabilities["a"] - 1 / 3, 2 * probabilities["b"] - 1 / 3  # u - v / 3 and v - u / 3
    u, v = (a + b / 3) * 9 / 8, (b + a / 3) * 9 / 8
    return (u - 0.05) / STEP, (v - 0.05) / STEP


def measure(count: int, workers: int) -> Found:
    """Swap ``count`` times while clients ask."""
    if count > MOST:
        raise SystemExit(f"At most {MOST} swaps: more revisions would have probabilities too close to tell.")
    folder, registry = onnxes.fresh("swaps")
    _register(registry, 0)
    examples.apply(folder, onnxes.config({POOL: ["first", "second"]}))
    raw = Request(onnxes.path(POOL), body(np.ones((1, onnxes.WIDTH)).tolist())).encode()
    seen: Counter[int] = Counter()
    wrong: Counter[str] = Counter()
    done = False

    def look(number: int, status: int, answer: bytes, seconds: float) -> None:
        if status != 200:
            wrong[f"status {status}"] += 1
            return
        found = json.loads(answer)
        u, v = revisions(found["predictions"][0]["probabilities"])
        if found["degraded"] or max(abs(u - round(u)), abs(v - round(v))) > 0.05:
            wrong["degraded or of no revision"] += 1
        elif round(u) != round(v):
            wrong["of two revisions"] += 1
        else:
            seen[round(u)] += 1

    with serve(folder, workers=workers) as running:

        async def swap() -> None:
            nonlocal done
            for revision in range(1, count + 1):
                await asyncio.to_thread(_swap, registry, revision, running)
                await asyncio.sleep(PAUSE)
            done = True

        started = time.perf_counter()
        asyncio.run(
            clients.storm(running.port, lambda n: raw, look, until=lambda n: done, connections=CONNECTIONS, beside=swap)
        )
        took = time.perf_counter() - started
    mixed = _mixed(folder)
    bad = sum(wrong.values()) + mixed
    title = f"{count} hot swaps in {took:.0f} s, {CONNECTIONS} connections"
    said = ", ".join(f"{n} {why}" for why, n in wrong.items())
    rows = [
        Row(title, QUORATE, "answers of exactly one revision", "", (float(sum(seen.values())),)),
        Row(title, QUORATE, "other answers", "", (float(sum(wrong.values())),), said),
        Row(title, QUORATE, "revisions seen", "", (float(len(seen)),), f"of {count + 1}"),
        Row(title, QUORATE, "revisions with answers of two models on record", "", (float(mixed),)),
    ]
    return Found(rows, bad)


def _register(registry: Registry, revision: int) -> None:
    onnxes.register(registry, "first", model(True, revision))
    onnxes.register(registry, "second", model(False, revision))


def _swap(registry: Registry, revision: int, running: Running) -> None:
    _register(registry, revision)
    running.apply()


def _mixed(folder: Path) -> int:
    """Revisions whose recorded answers are not all the same."""
    answers: dict[int, set[int]] = defaultdict(set)
    for decision in JournalReader(folder / ".quorate" / "journal").decisions():
        assert decision.answer is not None
        named = dict(zip(decision.classes, decision.answer[0].tolist(), strict=True))
        answers[decision.revision].add(round(revisions(named)[0]))
    return sum(len(found) != 1 for found in answers.values())
