"""What a pool is made from, and the digest that says whether it was made from the same things before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from quorate.core.types import Signature
from quorate.errors import ConfigError
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.training.cascade import Promise
from quorate.training.data import Dataset
from quorate.training.dynamic import METHODS
from quorate.training.splits import Scheme, Split
from quorate.training.trainer import Trainer

Fitter = Literal["log-odds", "samme", "stack", "greedy", "cascade", "knora-e", "knora-u", "des-p", "ola", "meta-des"]
OUT_OF_FOLD = frozenset({"stack", "greedy", "cascade", *METHODS})
"""Fitters that need each row's outputs by clones that have not seen it."""

_REGION = frozenset({"k", "space", "scale"})
_SETTINGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(METHODS, _REGION),
    "meta-des": _REGION | {"kp"},
    "greedy": frozenset({"metric", "steps", "bags", "share"}),
    "cascade": frozenset({"costs", "unit", "at_least", "within", "stages", "held"}),
    "stack": frozenset({"max_missing", "C"}),
}

_LIBRARIES = ("numpy", "onnxruntime", "quorate", "scikit-learn")


@dataclass(frozen=True)
class Fit:
    """How a combiner's state is fitted, and on which ``members`` (None: all of the pool).

    ``log-odds``: weights from the validation part. ``samme``: the weights that boosting gave its rounds. ``stack``: a
    meta-model on out-of-fold outputs over the training part; ``greedy``: weights on those, by greedy selection;
    ``cascade``: a router and combiners on those. The others are methods of dynamic selection: reference rows with
    out-of-fold outputs. ``settings`` are the fitter's own: the arguments of ``fit_stack``, ``fit_greedy``,
    ``fit_cascade`` and ``fit_dynamic``; :class:`ConfigError` for others, :class:`~quorate.errors.InvalidInput` for a
    cascade that promises nothing, or too much at once.
    """

    by: Fitter
    members: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = _SETTINGS.get(self.by, frozenset())
        unknown = sorted(set(self.settings) - known)
        if unknown:
            expected = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"'{self.by}' has no setting '{unknown[0]}'; expected {expected}.", path="settings")
        if self.by == "cascade":
            Promise.from_settings(self.settings.get("at_least"), self.settings.get("within"))


@dataclass(frozen=True)
class Recipe:
    """Everything a pool is made from.

    ``trainers`` make the members and get ``preprocess`` of the raw rows; ``states`` are fitted combiners by name.
    ``code`` is a digest of the source that says all this (:func:`code_digest`). ``by`` is the scheme that made
    ``split``. ``jobs`` processes train at once; 1: this one, -1: as many as there are cores.
    """

    data: Dataset
    split: Split
    signature: Signature
    preprocess: Sequence[Mapping[str, Any]]
    trainers: Sequence[Trainer]
    code: str
    states: Mapping[str, Fit] = field(default_factory=dict)
    by: Scheme = "stratified"
    folds: int = 5
    seed: int = 0
    jobs: int = 1

    @property
    def members(self) -> tuple[str, ...]:
        """All members, in the trainers' order; :class:`ConfigError` if two trainers make one of the same name."""
        names = [name for trainer in self.trainers for name in trainer.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"Two trainers make '{twice[0]}'; give each member its own name.", path="trainers")
        return tuple(names)

    def of(self, state: str) -> tuple[str, ...]:
        """The members that a state is fitted on, in the pool's order; :class:`ConfigError` for an unknown one."""
        chosen = self.states[state].members
        if chosen is None:
            return self.members
        unknown = sorted(set(chosen) - set(self.members))
        if unknown:
            raise ConfigError(f"State '{state}' names '{unknown[0]}', which no trainer makes.", path=f"states.{state}")
        return tuple(name for name in self.members if name in chosen)

    @property
    def key(self) -> str:
        """SHA-256, hex, of data, split, code, preprocessing and library versions."""
        libraries = sorted({*_LIBRARIES, *(library for trainer in self.trainers for library in trainer.libraries)})
        parts = [
            self.code,
            Pipeline.from_spec(self.preprocess).digest,
            self.data.digest,
            [
                hashlib.sha256(rows.tobytes()).hexdigest()
                for rows in (self.split.train, self.split.validation, self.split.test)
            ],
            [self.by, self.folds, self.seed],
            [self.signature.output.classes, [described(trainer) for trainer in self.trainers]],
            [f"{library} {version(library)}" for library in libraries],
        ]
        return digest(parts)


def described(trainer: Trainer) -> str:
    """What a trainer says of its parameters; its names alone where that would name places in memory."""
    text = repr(trainer)
    return ", ".join(trainer.names) if " at 0x" in text else text


def state_key(key: str, fit: Fit, members: Sequence[Manifest]) -> str:
    """SHA-256, hex: a state is of use with exactly the members that it was fitted on, the way it was."""
    settings = [dict(sorted(fit.settings.items()))] if fit.settings else []
    return digest([key, fit.by, [manifest.ref for manifest in members], *settings])


def code_digest(*files: Path) -> str:
    """SHA-256, hex, of the files' contents in order."""
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()


def digest(parts: object) -> str:
    """SHA-256, hex, of plain data."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
