"""How long each member takes for a row, on this machine: what a cascade reckons with where no costs are given."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from quorate import plugins
from quorate.clock import Clock, SystemClock
from quorate.codecs.snapshot import Limits
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.parity import Raw, batches

WARM, MOST_RUNS, MOST_S = 3, 50, 0.5


def latencies(
    registry: Registry, manifests: Sequence[Manifest], raw: Raw, clock: Clock | None = None
) -> dict[str, float]:
    """Milliseconds by member: the median over single-row runs of its artifact, preprocessing not counted.

    Up to 50 runs, or half a second, after three that warm it up; the rows of ``raw`` take turns.
    """
    clock = SystemClock() if clock is None else clock
    found = {}
    for manifest in manifests:
        pipeline = Pipeline.from_spec(manifest.preprocess)
        session = plugins.load("runtimes", manifest.format)().load(registry.artifact(manifest))
        try:
            rows = []
            for row in batches(raw, 1):
                rows.append(pipeline.apply(row, max_pixels=Limits().image_pixels, path="rows"))
                if len(rows) == MOST_RUNS:
                    break
            for turn in range(WARM):
                session.run(rows[turn % len(rows)])
            took: list[float] = []
            while len(took) < MOST_RUNS and sum(took) < MOST_S:
                started = clock.monotonic()
                session.run(rows[len(took) % len(rows)])
                took.append(clock.monotonic() - started)
        finally:
            session.close()
        found[manifest.name] = median(took) * 1000
    return found
