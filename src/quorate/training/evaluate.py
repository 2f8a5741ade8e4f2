"""Evaluation on held-out rows: the artifacts as they are served, combined by the very combiners that serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, Limits, PoolRoute, StrategyRoute
from quorate.core.calibrate.ece import Error, of_answers
from quorate.core.calibrate.methods import calibrate
from quorate.core.combine.base import Combiner
from quorate.core.plan.trace import trace
from quorate.core.stats.f1 import confusion, macro_f1_interval
from quorate.core.stats.intervals import Interval, paired_difference, wilson
from quorate.core.types import FloatArray, State, StatusArray
from quorate.errors import InvalidInput
from quorate.preprocess import Pipeline
from quorate.preprocess.features import features_of
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
class Choice:
    """The strategy and the member that are best on the validation part, and how they do on the test part.

    ``validation`` has both accuracies there. ``against_member`` and ``against_best`` are paired 95 % intervals of the
    strategy's test accuracy less that of the chosen member, and of the member best on the test part. ``comparisons``
    are those of :class:`Evaluation`, but with the chosen member, whom nothing favours. ``confusion`` int64 ``[k, k]``
    is the strategy's on the test part, rows true classes.
    """

    rows: int
    strategy: str
    member: str
    validation: tuple[Interval, Interval]
    against_member: Interval
    against_best: Interval
    comparisons: tuple[Comparison, ...]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Calibrated:
    """How far a strategy's confidences were from what came true: the calibration error, and, where it is calibrated by
    ``method``, that of the same answers before."""

    strategy: str
    method: str | None
    error: Error
    before: Error | None


@dataclass(frozen=True)
class Evaluation:
    """Members and strategies of one endpoint on the same held-out rows.

    ``baseline`` always answers ``majority``, the most frequent class in training. ``comparisons`` hold together with
    95 % (Bonferroni) and are about the member that is best on these very rows, which favours the member; ``choice`` is
    there where a validation part was given, and favours nobody.
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
    choice: Choice | None = None
    calibrations: tuple[Calibrated, ...] = ()


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
    pool: PoolRoute,
    endpoint: EndpointRoute,
    registry: Registry,
    test: Dataset,
    majority: str,
    *,
    validation: Dataset | None = None,
    seed: int = 0,
) -> Evaluation:
    """Run every member of the pool on ``test`` and combine their outputs as every strategy of the endpoint does.

    ``majority`` is the most frequent label of the training part. With ``validation`` a strategy and a member are
    chosen on that part. :class:`InvalidInput` if the pool does not answer with classes or a part is empty.
    """
    classes = pool.signature.output.classes
    if not classes or not len(test) or (validation is not None and not len(validation)):
        raise InvalidInput(f"Pool '{pool.name}' can be evaluated on labelled rows of classes only.", path="test")
    manifests = [registry.manifest(f"{member.name}:{member.version}") for member in pool.members]
    on_test = _scored(endpoint, manifests, registry, test, classes, seed)
    best = best_of(on_test.members)
    return Evaluation(
        endpoint=endpoint.name,
        pool=pool.name,
        data=test.name,
        rows=len(test),
        classes=classes,
        majority=majority,
        baseline=wilson(int((test.labels == majority).sum()), len(test), LEVEL),
        members=on_test.members,
        strategies=on_test.strategies,
        best_member=best.name,
        comparisons=_compared(best, on_test.ensembles),
        rounds=_rounds(manifests),
        calibrations=on_test.calibrations,
        choice=None
        if validation is None
        else _choice(_scored(endpoint, manifests, registry, validation, classes, seed), on_test, len(validation)),
    )


@dataclass(frozen=True)
class _Scored:
    """Everybody on one part; ``confusions`` by strategy."""

    members: tuple[Score, ...]
    strategies: tuple[Score, ...]
    confusions: Mapping[str, NDArray[np.int64]]
    calibrations: tuple[Calibrated, ...]

    @property
    def ensembles(self) -> list[Score]:
        """The strategies that combine several members."""
        return [strategy for strategy in self.strategies if len(strategy.members) > 1]


def _scored(
    endpoint: EndpointRoute,
    manifests: Sequence[Manifest],
    registry: Registry,
    data: Dataset,
    classes: tuple[str, ...],
    seed: int,
) -> _Scored:
    truth = data.truth(classes)
    names = [manifest.name for manifest in manifests]
    raw: Raw = {name: value if isinstance(value, np.ndarray) else list(value) for name, value in data.raw.items()}
    outputs = np.stack([model_outputs(registry, manifest, raw) for manifest in manifests], axis=1)
    strategies, confusions, calibrations = [], {}, []
    for s in endpoint.strategies:
        columns = [names.index(member) for member in s.members]
        plain, asked = said(s, outputs[:, columns], registry, manifests[columns[0]], raw)
        calibration = None if s.calibrate is None else _state(s.calibrate.files, registry)
        answer = calibrate(plain, calibration, asked)
        calibrations.append(_calibrated(s.name, calibration, plain, answer, truth))
        strategies.append(score(s.name, s.kind, s.members, answer, truth, seed))
        confusions[s.name] = confusion(truth, answer.argmax(axis=1), len(classes))
    members = (score(name, "member", (name,), outputs[:, i], truth, seed) for i, name in enumerate(names))
    return _Scored(tuple(members), tuple(strategies), confusions, tuple(calibrations))


def _calibrated(
    name: str, calibration: State | None, plain: FloatArray, answer: FloatArray, truth: NDArray[np.int64]
) -> Calibrated:
    after = of_answers(answer, truth)
    before = None if calibration is None else of_answers(plain, truth)
    assert after is not None  # noqa: S101 - there are rows
    method = None if calibration is None else calibration.kind
    return Calibrated(name, method, after.error, None if before is None else before.error)


def best_of(scores: Sequence[Score]) -> Score:
    """The one with the highest accuracy; among equals that with the lowest log loss."""
    return max(scores, key=lambda found: (found.accuracy.estimate, -found.log_loss))


def _choice(validation: _Scored, test: _Scored, rows: int) -> Choice:
    strategy, member = best_of(validation.strategies), best_of(validation.members)
    judged = {found.name: found for found in test.strategies}[strategy.name]
    alone = {found.name: found for found in test.members}[member.name]
    return Choice(
        rows=rows,
        strategy=strategy.name,
        member=member.name,
        validation=(strategy.accuracy, member.accuracy),
        against_member=paired_difference(judged.right, alone.right, LEVEL),
        against_best=paired_difference(judged.right, best_of(test.members).right, LEVEL),
        comparisons=_compared(alone, test.ensembles),
        confusion=test.confusions[strategy.name],
    )


def _rounds(manifests: Sequence[Manifest]) -> tuple[Round, ...]:
    boosted = sorted((m for m in manifests if boosting.ROUND in m.metrics), key=lambda m: m.metrics[boosting.ROUND])
    names = (boosting.ERROR, boosting.WEIGHT, boosting.EFFECTIVE, boosting.HEAVIEST)
    return tuple(Round(m.name, *(m.metrics[name] for name in names)) for m in boosted)


def combined(strategy: StrategyRoute, outputs: FloatArray, registry: Registry, first: Manifest, raw: Raw) -> FloatArray:
    """What a strategy combines to ``[n, k]``, not calibrated, from its members' outputs ``[n, m, k]``, all present;
    those that its plan would not have asked are not looked at.

    ``first`` is its first member, whose preprocessing of the ``raw`` rows makes the features where some are needed.
    """
    return said(strategy, outputs, registry, first, raw)[0]


def said(
    strategy: StrategyRoute, outputs: FloatArray, registry: Registry, first: Manifest, raw: Raw
) -> tuple[FloatArray, StatusArray]:
    """:func:`combined`, and the status ``[n, m]`` of its members by which that came about."""
    combiner: Combiner = plugins.build("combiners", strategy.kind, strategy.params)
    status, state, features = np.zeros(outputs.shape[:2], np.int8), _state(strategy.state, registry), None
    if combiner.feature_width(state):
        pipeline = Pipeline.from_spec(first.preprocess)
        limit = Limits().image_pixels
        parts = [features_of(pipeline.apply(rows, max_pixels=limit, path="rows")) for rows in batches(raw, _BATCH)]
        features = np.concatenate(parts)
    status = trace(combiner.plan(strategy.members, state), outputs, status).status(status)
    return combiner.combine(outputs, status, state, features), status


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
