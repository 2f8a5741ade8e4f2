"""Members and strategies of a trained project on drawn pictures, behind one preprocessing or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from benchmarks.drawn import STYLES, Drawn
from quorate import plugins
from quorate.clock import SystemClock
from quorate.codecs.snapshot import Limits
from quorate.control.revisions.resolve import resolve
from quorate.core.stats.intervals import Interval, wilson
from quorate.home import Home
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training.evaluate import LEVEL, combined

Steps = Sequence[Mapping[str, Any]]
DECLARED = "declared"
NAIVE = "naive"
INVERTED = "naive, inverted"
WAYS = (DECLARED, NAIVE, INVERTED)
_BATCH = 20  # pictures at a time: a phone's take 36 MB each once they are decoded


def prepared(declared: Steps, way: str) -> list[dict[str, Any]]:
    """The steps of a way: what the model declares; or grey, resized to the members' input as it is.

    ``naive, inverted`` turns dark on light into light on dark too, which somebody who knows the training data would.
    Both turn a picture upright by EXIF and end as the model declares.
    """
    steps = [dict(step) for step in declared]
    if way == DECLARED:
        return steps
    kinds = [step["kind"] for step in steps]
    side = steps[kinds.index("resize")]["width"] if "resize" in kinds else steps[kinds.index("centre")]["frame"]
    scale = -1 / 255 if way == INVERTED else 1 / 255
    return [
        {"kind": "decode"},
        {"kind": "orient"},
        {"kind": "grayscale"},
        {"kind": "resize", "width": side, "height": side},
        {"kind": "normalise", "scale": scale, "mean": min(scale * 255, 0.0)},
        *steps[kinds.index("normalise") + 1 :],
    ]


@dataclass(frozen=True)
class Judged:
    """``right[way][name]`` bool ``[n]``: which pictures a member or strategy read right; names in the spec's order."""

    drawn: Drawn
    members: tuple[str, ...]
    strategies: tuple[str, ...]
    right: Mapping[str, Mapping[str, NDArray[np.bool_]]] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Members, then strategies."""
        return self.members + self.strategies

    def accuracy(self, way: str, name: str, part: str) -> Interval:
        """With Wilson's 95 % interval, on ``all``, a style, a group, or ``GROUP, STYLE``."""
        right = self.right[way][name][rows(self.drawn, part)]
        return wilson(int(right.sum()), len(right), LEVEL)


def rows(drawn: Drawn, part: str) -> NDArray[np.int64]:
    """The rows of a part, as in :meth:`Judged.accuracy`."""
    group, _, style = part.partition(", ")
    if group == "all":
        return np.arange(len(drawn))
    if group in STYLES:
        return drawn.where(group)
    found = drawn.where(group)
    return np.intersect1d(found, drawn.where(style)) if style else found


def judge(home: Home, drawn: Drawn, ways: Sequence[str] = WAYS) -> Judged:
    """Run the first pool's registered artifacts, each once a way, and combine them as its first endpoint does."""
    registry = Registry(home.registry, SystemClock())
    routing = resolve(load(home.config.read_bytes(), home.config), registry).routing
    pool, endpoint = routing.pools[0], routing.endpoints[0]
    names = [member.name for member in pool.members]
    manifests = {member.name: registry.manifest(f"{member.name}:{member.version}") for member in pool.members}
    truth = np.array([pool.signature.output.classes.index(label) for label in drawn.labels.tolist()])
    raw = {"image": list(drawn.pictures)}
    right: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for way in ways:
        behind = {n: structs.replace(m, preprocess=prepared(m.preprocess, way)) for n, m in manifests.items()}
        outputs = _outputs(registry, list(behind.values()), drawn.pictures)
        found = {name: outputs[:, index] for index, name in enumerate(names)}
        for strategy in endpoint.strategies:
            seen = outputs[:, [names.index(member) for member in strategy.members]]
            found[strategy.name] = combined(strategy, seen, registry, behind[strategy.members[0]], raw)
        right[way] = {name: output.argmax(axis=1) == truth for name, output in found.items()}
    return Judged(drawn, tuple(names), tuple(strategy.name for strategy in endpoint.strategies), right)


def _outputs(registry: Registry, manifests: Sequence[Manifest], pictures: Sequence[bytes]) -> NDArray[np.float32]:
    """All members' outputs ``[n, m, k]``; pictures are decoded and prepared once for all members that agree how."""
    pipelines = [Pipeline.from_spec(manifest.preprocess) for manifest in manifests]
    sessions = [plugins.load("runtimes", m.format)().load(registry.artifact(m)) for m in manifests]
    parts = []
    try:
        for start in range(0, len(pictures), _BATCH):
            raw = {"image": list(pictures[start : start + _BATCH])}
            tensors = {p.digest: p.apply(raw, max_pixels=Limits().image_pixels) for p in _distinct(pipelines)}
            answers = [
                session.run(tensors[pipeline.digest])[manifest.output_name]
                for session, pipeline, manifest in zip(sessions, pipelines, manifests, strict=True)
            ]
            parts.append(np.stack(answers, axis=1))
    finally:
        for session in sessions:
            session.close()
    return np.concatenate(parts)


def _distinct(pipelines: Sequence[Pipeline]) -> list[Pipeline]:
    return list({pipeline.digest: pipeline for pipeline in pipelines}.values())
