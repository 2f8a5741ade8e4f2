"""The generic flow: fit the members of a pool, register them, fit its combiners on what the members never saw.

A project's ``train.py`` describes its pool as a :class:`Recipe` and calls :func:`train_pool`. What is registered
already from the same data, code and library versions is kept, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import FloatArray, OutputSpec, Signature, State
from quorate.errors import InvalidInput
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.data import Dataset
from quorate.training.evaluate import model_outputs, score
from quorate.training.export import answers, output_spec, to_artifact
from quorate.training.fitters import fit_log_odds_weights, fit_stack
from quorate.training.parity import Raw
from quorate.training.register import register_model, register_state
from quorate.training.splits import Scheme, Split, folds

Progress = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""Given a label and a number of steps: a context that gives the function to call with each finished step."""

Fitter = Literal["log-odds", "stack"]

RECIPE = "recipe"
"""The note of a manifest that says from which data, code and libraries it was made."""

_LIBRARIES = ("numpy", "onnxruntime", "quorate", "scikit-learn", "skl2onnx")


@dataclass(frozen=True)
class Recipe:
    """Everything a pool is made from.

    ``members`` are unfitted scikit-learn classifiers by name, which get ``preprocess`` of the raw rows as float32
    ``[n, k]``. ``states`` are fitted combiners by name: ``log-odds`` weights from the validation part, or a ``stack``
    on out-of-fold outputs over the training part. ``code`` is a digest of the source that says all this
    (:func:`code_digest`). ``by`` is the scheme that made ``split``.
    """

    data: Dataset
    split: Split
    signature: Signature
    preprocess: Sequence[Mapping[str, Any]]
    members: Mapping[str, Any]
    states: Mapping[str, Fitter]
    code: str
    by: Scheme = "stratified"
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """The newest manifests of members and states; ``made`` names what this run registered, ``kept`` what it found."""

    members: Mapping[str, Manifest]
    states: Mapping[str, Manifest]
    made: tuple[str, ...]
    kept: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """One part of the data, raw and as the members see it; ``truth`` are class indices."""

    raw: Raw
    matrix: FloatArray
    labels: NDArray[np.str_]
    truth: NDArray[np.int64]


def code_digest(*files: Path) -> str:
    """SHA-256, hex, of the files' contents in order."""
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()


def train_pool(recipe: Recipe, registry: Registry, progress: Progress, *, force: bool = False) -> Trained:
    """Register what is missing: members first, each as soon as it is fitted, then combiners' states.

    ``force`` makes everything anew. :class:`~quorate.errors.ParityError` if an artifact does not answer as its
    estimator; :class:`InvalidInput` if the data do not fit the recipe.
    """
    return _Run(recipe, registry, force=force).train(progress)


class _Run:
    def __init__(self, recipe: Recipe, registry: Registry, *, force: bool) -> None:
        self.recipe = recipe
        self.registry = registry
        self.classes = recipe.signature.output.classes
        self.pipeline = Pipeline.from_spec(recipe.preprocess)
        self.data_digest = recipe.data.digest
        self.key = self._key()
        self.force = force
        self.notices: list[str] = []

    def train(self, progress: Progress) -> Trained:
        recipe = self.recipe
        members = {name: self._found(name, self.key) for name in recipe.members}
        missing = [name for name, manifest in members.items() if manifest is None]
        # States fitted on other members than these are of no use.
        states = {name: None if missing else self._found(name, self._state_key(members)) for name in recipe.states}
        unfitted = [name for name, manifest in states.items() if manifest is None]
        stacked = [name for name in unfitted if recipe.states[name] == "stack"]
        made = (*missing, *unfitted)
        if made:
            train, validation = self._part(recipe.split.train), self._part(recipe.split.validation)
            steps = len(missing) + (recipe.folds if stacked else 0) + len(unfitted)
            with progress(recipe.data.name, steps) as done:
                for name in missing:
                    members[name] = self._member(name, train, validation)
                    done(name)
                oof = self._out_of_fold(train, done) if stacked else None
                for name in unfitted:
                    states[name] = self._state(name, members, oof, validation)
                    done(name)
        present = {name: manifest for name, manifest in members.items() if manifest is not None}
        fitted = {name: manifest for name, manifest in states.items() if manifest is not None}
        kept = tuple(name for name in (*present, *fitted) if name not in made)
        return Trained(present, fitted, made, kept, tuple(self.notices))

    def _key(self) -> str:
        split = self.recipe.split
        parts = [
            self.recipe.code,
            self.pipeline.digest,
            self.data_digest,
            [hashlib.sha256(rows.tobytes()).hexdigest() for rows in (split.train, split.validation, split.test)],
            [self.recipe.by, self.recipe.folds, self.recipe.seed],
            [version(library) for library in _LIBRARIES],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _state_key(self, members: Mapping[str, Manifest | None]) -> str:
        refs = [manifest.ref for manifest in members.values() if manifest is not None]
        return hashlib.sha256(json.dumps([self.key, refs]).encode()).hexdigest()

    def _found(self, name: str, key: str) -> Manifest | None:
        """The newest version if it was made from the same things and its files are there."""
        newest = self._newest(name)
        if self.force or newest is None or newest.notes.get(RECIPE) != key:
            return None
        return newest if all(self.registry.blobs.has(digest) for digest in newest.files.values()) else None

    def _newest(self, name: str) -> Manifest | None:
        versions = self.registry.versions(name)
        return self.registry.manifest(f"{name}:{versions[-1]}") if versions else None

    def _part(self, rows: NDArray[np.int64]) -> _Part:
        data = self.recipe.data.take(rows)
        raw: Raw = {name: value if isinstance(value, np.ndarray) else list(value) for name, value in data.raw.items()}
        tensors = self.pipeline.apply(raw, max_pixels=Limits().image_pixels, path=data.name)
        if set(tensors) != {"input"} or tensors["input"].ndim != 2:
            raise InvalidInput(
                "scikit-learn estimators take one matrix [n, k]; end the preprocessing with 'flatten' or 'matrix'.",
                path="preprocess",
            )
        return _Part(raw, tensors["input"].astype(np.float32), data.labels, data.truth(self.classes))

    def _member(self, name: str, train: _Part, validation: _Part) -> Manifest:
        estimator = self._fitted(name, train.matrix, train.labels)
        exported = to_artifact(estimator, validation.matrix)
        if exported.reason is not None:
            self.notices.append(f"'{name}' is saved with skops, because {exported.reason}.")
        reference = answers(estimator, validation.matrix)
        held_out = score(name, "member", (name,), reference, validation.truth)
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
            sample_raw=validation.raw,
            reference_output=reference,
            metrics={
                "validation_accuracy": held_out.accuracy.estimate,
                "validation_macro_f1": held_out.macro_f1.estimate,
                "validation_log_loss": held_out.log_loss,
            },
            data_digest=self.data_digest,
            parent=newest.ref if newest else None,
            notes={RECIPE: self.key} | ({"not_onnx": exported.reason} if exported.reason else {}),
        )

    def _fitted(self, name: str, matrix: FloatArray, labels: NDArray[np.str_]) -> Any:
        from sklearn.base import clone

        estimator = clone(self.recipe.members[name]).fit(matrix, labels)
        if output_spec(estimator) != OutputSpec("scores", classes=self.classes):
            raise InvalidInput(
                f"'{name}' learned the classes {', '.join(output_spec(estimator).classes)}; the signature has "
                f"{', '.join(self.classes)}. Every class must occur in the training part and in every fold.",
                path="labels",
            )
        return estimator

    def _out_of_fold(self, train: _Part, done: Callable[[str], None]) -> tuple[FloatArray, NDArray[np.int64]]:
        """Outputs ``[n, m, k]`` by clones that have not seen the row, and the truth of those rows."""
        recipe = self.recipe
        outputs = np.full((len(train.labels), len(recipe.members), len(self.classes)), np.nan, np.float32)
        part = recipe.data.take(recipe.split.train)
        for number, (fit, held) in enumerate(folds(part, recipe.folds, recipe.by, seed=recipe.seed), start=1):
            for index, name in enumerate(recipe.members):
                clone = self._fitted(name, train.matrix[fit], train.labels[fit])
                outputs[held, index] = answers(clone, train.matrix[held])
            done(f"fold {number}")
        known = np.isfinite(outputs).all(axis=(1, 2))  # the earliest rows are held by no fold by time
        return outputs[known], train.truth[known]

    def _state(
        self,
        name: str,
        members: Mapping[str, Manifest | None],
        oof: tuple[FloatArray, NDArray[np.int64]] | None,
        validation: _Part,
    ) -> Manifest:
        manifests = [manifest for manifest in members.values() if manifest is not None]
        state: State
        if oof is not None and self.recipe.states[name] == "stack":
            state = fit_stack(*oof, list(members), self.classes, seed=self.recipe.seed)
        else:
            outputs = np.stack([model_outputs(self.registry, m, validation.raw) for m in manifests], axis=1)
            state = fit_log_odds_weights(outputs, validation.truth, list(members))
        newest = self._newest(name)
        return register_state(
            self.registry,
            name=name,
            state=state,
            data_digest=self.data_digest,
            parent=newest.ref if newest else None,
            notes={RECIPE: self._state_key(members), "members": ", ".join(m.ref for m in manifests)},
        )
