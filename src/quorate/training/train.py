"""The generic flow: fit the members of a pool, register them, fit its combiners on what the members never saw.

A project's ``train.py`` describes its pool as a :class:`~quorate.training.recipe.Recipe` and calls :func:`train_pool`.
What is registered already from the same data, code and library versions is kept, and so are the folds of a run that
was cut off, so that it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import Limits
from quorate.core.combine.competence import INPUT
from quorate.core.types import FloatArray, State
from quorate.preprocess import Pipeline
from quorate.preprocess.features import features_of
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training import boosting, fitting, kept
from quorate.training.answers import check_about, strategy_of
from quorate.training.calibrate import Of, Refit, fit_calibration, fit_on
from quorate.training.cascade import Way, fit_with_way
from quorate.training.checkpoints import Checkpoints
from quorate.training.conformal import fit_conformal, fit_conformal_values
from quorate.training.dynamic import METHODS, fit_dynamic
from quorate.training.evaluate import model_outputs, score
from quorate.training.fitters import fit_log_odds_weights, fit_stack, fit_stack_values
from quorate.training.fitting import Done, Job
from quorate.training.greedy import fit_greedy
from quorate.training.latency import latencies
from quorate.training.parity import Raw
from quorate.training.recipe import OUT_OF_FOLD, Fit, Recipe, state_key
from quorate.training.register import register_model, register_state
from quorate.training.splits import Fold, folds
from quorate.training.trainer import Fitted, Rows, Trainer

Progress = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""Given a label and a number of steps: a context that gives the function to call with each finished step."""

RECIPE = "recipe"
"""The note of a manifest that says from which data, code and libraries it was made."""

WORK = "work"
"""The folder beside the registry's in which an unfinished run keeps its folds."""


@dataclass(frozen=True)
class Trained:
    """The newest manifests of members and states; ``made`` names what this run registered, ``kept`` what it found."""

    members: Mapping[str, Manifest]
    states: Mapping[str, Manifest]
    made: tuple[str, ...]
    kept: tuple[str, ...]
    notices: tuple[str, ...]


@contextmanager
def silent(label: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Progress that nobody sees."""
    yield lambda step: None


def train_pool(recipe: Recipe, registry: Registry, progress: Progress = silent, *, force: bool = False) -> Trained:
    """Register what is missing: members, each as soon as it is fitted, then combiners' states.

    ``force`` makes everything anew. :class:`~quorate.errors.ParityError` if an artifact does not answer as what it was
    made from;
    :class:`~quorate.errors.InvalidInput` if the data do not fit the recipe.
    """
    return _Run(recipe, registry, force=force).train(progress)


class _Run:
    def __init__(self, recipe: Recipe, registry: Registry, *, force: bool) -> None:
        self.recipe = recipe
        self.registry = registry
        self.output = recipe.signature.output
        self.classes = self.output.classes
        self.pipeline = Pipeline.from_spec(recipe.preprocess)
        self.data_digest = recipe.data.digest
        self.key = recipe.key
        self.force = force
        self.notices: list[str] = []
        self.members: dict[str, Manifest] = {}
        self.states: dict[str, Manifest | None] = {}
        self.ways: dict[str, Way] = {}  # of cascades that were fitted in this run
        self.outputs: dict[tuple[int, str], FloatArray] = {}  # by fold and first name of a trainer
        self.checkpoints = Checkpoints(registry.root.parent / WORK / self.key[:16])

    def train(self, progress: Progress) -> Trained:
        recipe = self.recipe
        check_about(recipe)
        found = {name: self._found(name, self.key) for name in recipe.members}
        self.members = {name: manifest for name, manifest in found.items() if manifest is not None}
        # Members of one trainer depend on each other: all or none of them are kept.
        unfitted = [t for t in recipe.trainers if any(name not in self.members for name in t.names)]
        missing = [name for trainer in unfitted for name in trainer.names]
        for name in recipe.in_order:
            self.states[name] = self._found_state(name, missing)
        states = self.states
        unstated = [name for name, manifest in states.items() if manifest is None]
        made = (*missing, *unstated)
        if made:
            if self.force:
                self.checkpoints.clear()
            train, _ = self._rows(recipe.split.train)
            validation, validation_raw = self._rows(recipe.split.validation)
            cut = self._folds(unstated)
            jobs = [Job(", ".join(trainer.names), trainer) for trainer in unfitted] + self._fold_jobs(unstated, cut)
            with progress(recipe.data.name, len(jobs) + len(unstated)) as done:
                for finished in fitting.run(jobs, train, recipe.jobs):
                    self._keep(finished, validation, validation_raw)
                    done(finished.job.label)
                for name in unstated:
                    states[name] = self._state(name, train, cut, validation, validation_raw)
                    done(name)
            self.checkpoints.clear()
        present = {name: self.members[name] for name in recipe.members}
        fitted = {name: manifest for name, manifest in states.items() if manifest is not None}
        kept = tuple(name for name in (*present, *fitted) if name not in made)
        return Trained(present, fitted, made, kept, tuple(self.notices))

    # --- what is there ----------------------------------------------------------------------------

    def _found(self, name: str, key: str) -> Manifest | None:
        """The newest version if it was made from the same things and its files are there."""
        newest = self._newest(name)
        if self.force or newest is None or newest.notes.get(RECIPE) != key:
            return None
        return newest if all(self.registry.blobs.has(digest) for digest in newest.files.values()) else None

    def _found_state(self, name: str, missing: Sequence[str]) -> Manifest | None:
        members = self.recipe.of(name)
        if not set(members).isdisjoint(missing):  # one fitted on other members than these is of no use
            return None
        of = self.recipe.about(name)
        if of is not None and any(
            under is not None and self.states[under] is None for under in (of.state, of.calibrate)
        ):
            return None
        return self._found(name, self._state_key(name))

    def _state_key(self, name: str) -> str:
        recipe = self.recipe
        of = recipe.about(name)
        members = [self.members[member] for member in recipe.of(name)]
        return state_key(self.key, recipe.states[name], members, of, *self._under(of))

    def _under(self, of: Of | None) -> tuple[Manifest | None, Manifest | None]:
        """The state that a strategy reads and its calibration, as far as it has them."""
        if of is None:
            return None, None
        found = [None if name is None else self.states[name] for name in (of.state, of.calibrate)]
        return found[0], found[1]

    def _newest(self, name: str) -> Manifest | None:
        versions = self.registry.versions(name)
        return self.registry.manifest(f"{name}:{versions[-1]}") if versions else None

    def _rows(self, rows: NDArray[np.int64]) -> tuple[Rows, Raw]:
        """One part of the data, as the members see it and raw."""
        data = self.recipe.data.take(rows)
        raw: Raw = {name: value if isinstance(value, np.ndarray) else list(value) for name, value in data.raw.items()}
        tensors = self.pipeline.apply(raw, max_pixels=Limits().image_pixels, path=data.name)
        return Rows(tensors, data.truth(self.classes), self.classes), raw

    # --- folds ------------------------------------------------------------------------------------

    def _folds(self, states: Iterable[str]) -> list[Fold]:
        recipe = self.recipe
        if not any(recipe.states[name].by in OUT_OF_FOLD for name in states):
            return []
        return list(folds(recipe.data.take(recipe.split.train), recipe.folds, recipe.by, seed=recipe.seed))

    def _stacked(self, states: Iterable[str]) -> list[Trainer]:
        """The trainers whose out-of-fold outputs are needed."""
        needed = [name for name in states if self.recipe.states[name].by in OUT_OF_FOLD]
        names = {member for name in needed for member in self.recipe.of(name)}
        return [trainer for trainer in self.recipe.trainers if not names.isdisjoint(trainer.names)]

    def _fold_jobs(self, states: Sequence[str], cut: Sequence[Fold]) -> list[Job]:
        """A job for each fold and trainer that no checkpoint has."""
        jobs = []
        for number, fold in enumerate(cut, start=1):
            for trainer in self._stacked(states):
                kept = self.checkpoints.get(_fold_name(number, trainer))
                if kept is not None:
                    self.outputs[number, trainer.names[0]] = kept["outputs"]
                else:
                    label = f"fold {number}: {', '.join(trainer.names)}"
                    jobs.append(Job(label, trainer, number, fold.fit, fold.held))
        return jobs

    def _out_of_fold(self, members: Sequence[str], train: Rows, cut: Sequence[Fold]) -> tuple[FloatArray, Rows]:
        """Outputs ``[n, m, k]`` by clones that have not seen the row, and those rows."""
        outputs = np.full((len(train), len(members), self.output.width), np.nan, np.float32)
        for number, fold in enumerate(cut, start=1):
            for trainer in self.recipe.trainers:
                for index, name in enumerate(trainer.names):
                    if name in members:
                        found = self.outputs[number, trainer.names[0]]
                        outputs[fold.held, members.index(name)] = found[:, index]
        known = np.isfinite(outputs).all(axis=(1, 2))  # the earliest rows are held by no fold by time
        return outputs[known], train.take(np.flatnonzero(known))

    # --- registering ------------------------------------------------------------------------------

    def _keep(self, done: Done, validation: Rows, raw: Raw) -> None:
        if done.outputs is not None:
            self.checkpoints.put(_fold_name(done.job.fold, done.job.trainer), {"outputs": done.outputs})
            self.outputs[done.job.fold, done.job.trainer.names[0]] = done.outputs
            return
        for name, fitted in zip(done.job.trainer.names, done.fitted, strict=True):
            self.members[name] = self._member(name, fitted, validation, raw)

    def _member(self, name: str, fitted: Fitted, validation: Rows, raw: Raw) -> Manifest:
        exported = fitted.export(validation.inputs)
        if exported.reason is not None:
            self.notices.append(f"'{name}' is saved with skops, because {exported.reason}.")
        reference = fitted.answers(validation.inputs)
        newest = self._newest(name)
        return register_model(
            self.registry,
            name=name,
            format=exported.format,
            files=exported.files,
            signature=self.recipe.signature,
            tensors=exported.tensors,
            output_name=exported.output_name,
            preprocess=self.recipe.preprocess,
            options=exported.options,
            sample_raw=raw,
            reference_output=reference,
            metrics={**fitted.metrics, **_judged(name, reference, validation)},
            data_digest=self.data_digest,
            parent=newest.ref if newest else None,
            notes={RECIPE: self.key} | ({"not_onnx": exported.reason} if exported.reason else {}),
        )

    def _state(self, name: str, train: Rows, cut: Sequence[Fold], validation: Rows, raw: Raw) -> Manifest:
        members = self.recipe.of(name)
        manifests = [self.members[member] for member in members]
        newest = self._newest(name)
        return register_state(
            self.registry,
            name=name,
            state=self._fitted_state(name, members, manifests, train, cut, validation, raw),
            data_digest=self.data_digest,
            parent=newest.ref if newest else None,
            notes={
                RECIPE: self._state_key(name),
                "members": ", ".join(m.ref for m in manifests),
            },
        )

    def _fitted_state(
        self,
        name: str,
        members: Sequence[str],
        manifests: Sequence[Manifest],
        train: Rows,
        cut: Sequence[Fold],
        validation: Rows,
        raw: Raw,
    ) -> State:
        fit = self.recipe.states[name]
        if fit.by == "samme":
            return boosting.ensemble_weights({manifest.name: manifest.metrics for manifest in manifests})
        if fit.by in OUT_OF_FOLD:
            outputs, rows = self._out_of_fold(members, train, cut)
            kept.keep(self.registry.root, name, members, self.classes, outputs, rows.truth)
            of = self.recipe.about(name)
            if of is not None:
                return self._calibration(fit.by, of, outputs, rows, members)
            if fit.by == "cascade":
                priced = {} if "costs" in fit.settings else self._priced(manifests, raw)
                state, self.ways[name] = self._cascade(fit, priced, outputs, rows, members)
                return state
            return self._from_outputs(fit, outputs, rows, members)
        outputs = np.stack([model_outputs(self.registry, manifest, raw) for manifest in manifests], axis=1)
        about = self.recipe.about(name)
        if about is not None:
            return self._conformal(about, fit, outputs, members, validation)
        return fit_log_odds_weights(outputs, validation.truth, members)

    def _priced(self, manifests: Sequence[Manifest], raw: Raw) -> dict[str, Any]:
        return {"costs": latencies(self.registry, manifests, raw), "unit": "ms"}

    def _cascade(
        self, fit: Fit, priced: Mapping[str, Any], outputs: FloatArray, rows: Rows, members: Sequence[str]
    ) -> tuple[State, Way]:
        settings = {**fit.settings, **priced}
        return fit_with_way(outputs, rows.truth, members, self.classes, seed=self.recipe.seed, **settings)

    def _conformal(self, of: Of, fit: Fit, outputs: FloatArray, members: Sequence[str], validation: Rows) -> State:
        """The sets or intervals of a strategy, from its answers to the validation part."""
        below, calibration = self._under(of)
        strategy = strategy_of(of, members, below, self.registry, calibration)
        answers = strategy.answers(outputs, features_of(validation.inputs))
        truth, described, settings = validation.truth, strategy.described, fit.settings
        if self.output.kind == "values":
            return fit_conformal_values(answers, truth, self.output.names, outputs=outputs, of=described, **settings)
        return fit_conformal(answers, truth, self.classes, of=described, **{"seed": self.recipe.seed, **settings})

    def _from_outputs(self, fit: Fit, outputs: FloatArray, rows: Rows, members: Sequence[str]) -> State:
        """A combiner's state from out-of-fold outputs on ``rows``."""
        seed = self.recipe.seed
        if self.output.kind == "values":
            return fit_stack_values(outputs, rows.truth[:, None], members, self.output.names, **fit.settings)
        if fit.by == "stack":
            return fit_stack(outputs, rows.truth, members, self.classes, seed=seed, **fit.settings)
        if fit.by == "greedy":
            return fit_greedy(outputs, rows.truth, members, seed=seed, **fit.settings)
        features = features_of(rows.inputs) if fit.settings.get("space", INPUT) == INPUT else None
        return fit_dynamic(fit.by, features, outputs, rows.truth, members, self.classes, **fit.settings)

    def _calibration(self, method: str, of: Of, outputs: FloatArray, rows: Rows, members: Sequence[str]) -> State:
        below: State | Refit | None = None
        looks = False
        if of.state is not None:
            fit, manifest = self.recipe.states[of.state], self.states[of.state]
            assert manifest is not None  # noqa: S101 - it was made before
            if fit.by == "cascade":
                # Its own cross-fitting has what it says to rows that it has not seen, at the price that serves.
                way = self.ways.get(of.state)
                if way is None:  # it was there before: fitted once more, with what its members cost then
                    meta = self._decoded(manifest).meta
                    priced = {"costs": meta["costs"], "unit": meta["unit"]}
                    way = self._cascade(fit, priced, outputs, rows, members)[1]
                return fit_on(method, of, way, rows.truth, members, self.classes)
            if fit.by in OUT_OF_FOLD:

                def below(some: NDArray[np.intp]) -> State:
                    return self._from_outputs(fit, outputs[some], rows.take(some), members)

            else:
                below = self._decoded(manifest)
            looks = fit.by in METHODS and fit.settings.get("space", INPUT) == INPUT
        features = features_of(rows.inputs) if looks else None
        return fit_calibration(
            method,
            of,
            outputs,
            rows.truth,
            members,
            self.classes,
            state=below,
            features=features,
            seed=self.recipe.seed,
        )

    def _decoded(self, manifest: Manifest) -> State:
        return state_codec.decode({name: self.registry.read_blob(d) for name, d in manifest.files.items()})


def _judged(name: str, answers: FloatArray, rows: Rows) -> dict[str, float]:
    """Metrics of a member's answers to the validation part."""
    if not rows.classes:
        error = answers[:, 0].astype(np.float64) - rows.truth
        if answers.shape[1] > 1:  # quantiles are judged by their intervals
            return {}
        return {"validation_rmse": float(np.sqrt(np.mean(error**2))), "validation_mae": float(np.abs(error).mean())}
    held_out = score(name, "member", (name,), answers, rows.truth)
    return {
        "validation_accuracy": held_out.accuracy.estimate,
        "validation_macro_f1": held_out.macro_f1.estimate,
        "validation_log_loss": held_out.log_loss,
    }


def _fold_name(number: int, trainer: Trainer) -> str:
    return f"fold-{number}-{trainer.names[0]}"
