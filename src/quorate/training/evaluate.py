"""Evaluation on held-out rows: the artifacts as they are served, combined by the very combiners that serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, Limits, PoolRoute, StrategyRoute
from quorate.core.stats.f1 import confusion, macro_f1_interval
from quorate.core.stats.intervals import Interval, paired_difference, wilson
from quorate.core.types import FloatArray, State
from quorate.errors import InvalidInput
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training import boosting
from quorate.training.data import Dataset
from quorate.training.parity import Raw, batches

LEVEL = 0.95
_BATCH = 256
_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Score:
    """How one member or strategy did; ``right`` bool ``[n]`` says which rows, ``members`` are those it runs.

    Accuracy has Wilson's interval, macro F1 a seeded bootstrap interval, both 95 %. ``log_loss`` is the mean of
    ``-log p(truth)``, in nats.
    """

    name: str
    kind: str
    members: tuple[str, ...]
    accuracy: Interval
    macro_f1: Interval
    log_loss: float
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """``difference``: the strategy's accuracy less the best member's on the same rows, at the family's level."""

    strategy: str
    difference: Interval


@dataclass(frozen=True)
class Round:
    """One round of boosting: weighted training error, weight in the ensemble, and how uneven the rows' weights were.

    ``effective_rows`` is ``1 / sum(w^2)``, the number of equally weighted rows that are worth as much; ``heaviest`` is
    the greatest weight as a multiple of an equal share.
    """

    member: str
    error: float
    weight: float
    effective_rows: float
    heaviest: float


@dataclass(frozen=True)
class Evaluation:
    """Members and strategies of one endpoint on the same held-out rows.

    ``baseline`` always answers ``majority``, the most frequent class in training. ``comparisons`` hold together with
    95 % (Bonferroni) and are about the member that is best on these very rows, which favours the member.
    """

    endpoint: str
    pool: str
    data: str
    rows: int
    classes: tuple[str, ...]
    majority: str
    baseline: Interval
    members: tuple[Score, ...]
    strategies: tuple[Score, ...]
    best_member: str
    comparisons: tuple[Comparison, ...]
    rounds: tuple[Round, ...] = ()


def model_outputs(registry: Registry, manifest: Manifest, raw: Raw) -> FloatArray:
    """A registered model's outputs float32 ``[n, k]`` on raw rows, through its own preprocessing and runtime."""
    artifact = registry.artifact(manifest)
    pipeline = Pipeline.from_spec(manifest.preprocess)
    session = plugins.load("runtimes", manifest.format)().load(artifact)
    try:
        parts = [
            session.run(pipeline.apply(rows, max_pixels=Limits().image_pixels, path="rows"))[manifest.output_name]
            for rows in batches(raw, _BATCH)
        ]
    finally:
        session.close()
    return np.concatenate(parts)


def score(
    name: str, kind: str, members: Sequence[str], output: FloatArray, truth: NDArray[np.int64], seed: int = 0
) -> Score:
    """Score probabilities ``[n, k]`` against true class indices ``[n]``; ``seed`` is the bootstrap's."""
    predicted = output.argmax(axis=1)
    right: NDArray[np.bool_] = predicted == truth
    likelihood = np.maximum(output[np.arange(len(truth)), truth].astype(np.float64), _LEAST_PROBABILITY)
    return Score(
        name=name,
        kind=kind,
        members=tuple(members),
        accuracy=wilson(int(right.sum()), len(truth), LEVEL),
        macro_f1=macro_f1_interval(
            confusion(truth, predicted, output.shape[1]), np.random.default_rng(seed), level=LEVEL
        ),
        log_loss=float(-np.log(likelihood).mean()),
        right=right,
    )


def evaluate(
    pool: PoolRoute, endpoint: EndpointRoute, registry: Registry, test: Dataset, majority: str, *, seed: int = 0
) -> Evaluation:
    """Run every member of the pool on ``test`` and combine their outputs as every strategy of the endpoint does.

    ``majority`` is the most frequent label of the training part. :class:`InvalidInput` if the pool does not answer
    with classes or ``test`` is empty.
    """
    classes = pool.signature.output.classes
    if not classes or not len(test):
        raise InvalidInput(f"Pool '{pool.name}' can be evaluated on labelled rows of classes only.", path="test")
    truth = test.truth(classes)
    names = [member.name for member in pool.members]
    raw: Raw = {name: value if isinstance(value, np.ndarray) else list(value) for name, value in test.raw.items()}
    manifests = [registry.manifest(f"{member.name}:{member.version}") for member in pool.members]
    outputs = np.stack([model_outputs(registry, manifest, raw) for manifest in manifests], axis=1)
    members = tuple(score(name, "member", (name,), outputs[:, i], truth, seed) for i, name in enumerate(names))
    strategies = tuple(
        score(
            strategy.name,
            strategy.kind,
            strategy.members,
            combined(strategy, outputs[:, [names.index(member) for member in strategy.members]], registry),
            truth,
            seed,
        )
        for strategy in endpoint.strategies
    )
    best = max(members, key=lambda member: (member.accuracy.estimate, -member.log_loss))
    return Evaluation(
        endpoint=endpoint.name,
        pool=pool.name,
        data=test.name,
        rows=len(test),
        classes=classes,
        majority=majority,
        baseline=wilson(int((test.labels == majority).sum()), len(test), LEVEL),
        members=members,
        strategies=strategies,
        best_member=best.name,
        comparisons=_compared(best, [strategy for strategy in strategies if len(strategy.members) > 1]),
        rounds=_rounds(manifests),
    )


def _rounds(manifests: Sequence[Manifest]) -> tuple[Round, ...]:
    boosted = sorted((m for m in manifests if boosting.ROUND in m.metrics), key=lambda m: m.metrics[boosting.ROUND])
    names = (boosting.ERROR, boosting.WEIGHT, boosting.EFFECTIVE, boosting.HEAVIEST)
    return tuple(Round(m.name, *(m.metrics[name] for name in names)) for m in boosted)


def combined(strategy: StrategyRoute, outputs: FloatArray, registry: Registry) -> FloatArray:
    """A strategy's answers ``[n, k]`` from its members' outputs ``[n, m, k]``, all of them present."""
    plugin = plugins.load("combiners", strategy.kind)
    combiner = plugin(msgspec.convert(strategy.params, plugin.Params))
    status = np.zeros(outputs.shape[:2], np.int8)
    answer: FloatArray = combiner.combine(outputs, status, _state(strategy.state, registry))
    return answer


def _state(files: Mapping[str, str] | None, registry: Registry) -> State | None:
    if files is None:
        return None
    return state_codec.decode({name: registry.read_blob(digest) for name, digest in files.items()})


def _compared(best: Score, strategies: Sequence[Score]) -> tuple[Comparison, ...]:
    level = 1 - (1 - LEVEL) / max(len(strategies), 1)
    return tuple(Comparison(s.name, paired_difference(s.right, best.right, level)) for s in strategies)


def majority_label(labels: NDArray[Any]) -> str:
    """The most frequent label, the first in order among equals."""
    found, counts = np.unique(labels, return_counts=True)
    return str(found[counts.argmax()])
