"""What a pool is made from, and the digest that says whether it was made from the same things before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from quorate import plugins
from quorate.core.types import Signature
from quorate.errors import ConfigError
from quorate.preprocess import Pipeline
from quorate.registry.manifest import Manifest
from quorate.training.calibrate import CALIBRATIONS, Of
from quorate.training.cascade import Promise
from quorate.training.data import Dataset
from quorate.training.dynamic import METHODS
from quorate.training.splits import Scheme, Split
from quorate.training.trainer import Trainer

Fitter = Literal[
    "log-odds",
    "samme",
    "stack",
    "greedy",
    "cascade",
    "knora-e",
    "knora-u",
    "des-p",
    "ola",
    "meta-des",
    "temperature",
    "isotonic",
    "venn-abers",
    "conformal",
]
OUT_OF_FOLD = frozenset({"stack", "greedy", "cascade", *METHODS, *CALIBRATIONS})
"""Fitters that need each row's outputs by clones that have not seen it."""

ABOUT = frozenset({"conformal", *CALIBRATIONS})
"""Fitters of what belongs to a strategy's answers."""

_REGION = frozenset({"k", "space", "scale"})
_SETTINGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(METHODS, _REGION),
    "meta-des": _REGION | {"kp"},
    "greedy": frozenset({"metric", "steps", "bags", "share"}),
    "cascade": frozenset({"costs", "unit", "stage", "at_least", "within", "stages", "held"}),
    "stack": frozenset({"max_missing", "C"}),
    "conformal": frozenset({"score", "conditional", "penalty", "free", "lower", "upper"}),
}
OF_NUMBERS: Mapping[str, frozenset[str]] = {
    "stack": frozenset({"max_missing"}),
    "conformal": frozenset({"score", "lower", "upper"}),
}
"""Fitters of pools that answer numbers, and their settings."""
_QUANTILES = frozenset({"lower", "upper"})

_WEIGHTS = frozenset({"log-odds", "samme", "greedy"})
"""Fitters whose state is read by the combiner 'weighted'; the others' by the combiner of their own name."""

_LIBRARIES = ("numpy", "onnxruntime", "quorate", "scikit-learn")


@dataclass(frozen=True)
class Fit:
    """How a combiner's state is fitted, and on which ``members`` (None: all of the pool).

    ``log-odds``: weights from the validation part. ``samme``: the weights that boosting gave its rounds. ``stack``: a
    meta-model on out-of-fold outputs over the training part; ``greedy``: weights on those, by greedy selection;
    ``cascade``: a router and combiners on those. The others are methods of dynamic selection: reference rows with
    out-of-fold outputs. ``settings`` are the fitter's own: the arguments of ``fit_stack``, ``fit_greedy``,
    ``fit_cascade``, ``fit_dynamic`` and ``fit_conformal``; :class:`ConfigError` for others,
    :class:`~quorate.errors.InvalidInput` for a cascade that promises nothing, or too much at once.

    ``temperature``, ``isotonic`` and ``venn-abers`` calibrate the answers of the strategy ``of``, and ``conformal``
    makes its sets and intervals, from the validation part: the kind of a combiner that reads no state, the name of
    another state of the recipe (then its members too; that of a calibration means the strategy so calibrated), or an
    :class:`Of`.
    """

    by: Fitter
    members: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    of: str | Of | None = None

    def __post_init__(self) -> None:
        if (self.of is None) == (self.by in ABOUT):
            which = (
                "needs the strategy it is about ('of')" if self.of is None else "is about no strategy; leave out 'of'"
            )
            raise ConfigError(f"'{self.by}' {which}.", path="of")
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
        below = self.about(state)
        under = None if below is None else below.calibrate or below.state
        if under is not None:
            own = self.of(under)
            if chosen is not None and set(chosen) != set(own):
                raise ConfigError(
                    f"State '{state}' is about '{under}', which has the members {', '.join(own)}; leave out its own.",
                    path=f"states.{state}",
                )
            return own
        if chosen is None:
            return self.members
        unknown = sorted(set(chosen) - set(self.members))
        if unknown:
            raise ConfigError(f"State '{state}' names '{unknown[0]}', which no trainer makes.", path=f"states.{state}")
        return tuple(name for name in self.members if name in chosen)

    @property
    def in_order(self) -> tuple[str, ...]:
        """The states' names, those that are about others after them: combiners, their calibrations, their sets."""
        fits = self.states.items()
        rank = {name: 0 if fit.by not in ABOUT else 1 if fit.by in CALIBRATIONS else 2 for name, fit in fits}
        return tuple(sorted(self.states, key=rank.__getitem__))

    def _calibrates(self, state: str) -> bool:
        return state in self.states and self.states[state].by in CALIBRATIONS

    def about(self, state: str) -> Of | None:
        """The strategy that a state is about; None where there is none, :class:`ConfigError` where it is unknown."""
        of = self.states[state].of
        if of is None:
            return None
        path = f"states.{state}"
        if self._calibrates(state) and (of.calibrate if isinstance(of, Of) else self._calibrates(of)):
            raise ConfigError(
                f"State '{state}' would calibrate answers that are calibrated already; name the strategy itself.",
                path=path,
            )
        found = self._named(of) if isinstance(of, str) else of
        if found.kind not in plugins.names("combiners") or plugins.load("combiners", found.kind).learns:
            known = ", ".join((*plugins.names("combiners"), *self.states))
            raise ConfigError(
                f"State '{state}' is about '{found.kind}'; expected a combiner that does not learn while it serves, "
                f"or a state of this recipe: {known}.",
                path=path,
            )
        if found.state is not None and (found.state not in self.states or self.states[found.state].of is not None):
            raise ConfigError(f"State '{state}' is about '{found.state}', which is no combiner's state.", path=path)
        mine = found.calibrate
        if mine is not None and not (self._calibrates(mine) and self.about(mine) == replace(found, calibrate=None)):
            raise ConfigError(
                f"State '{state}' is about answers calibrated by '{mine}', which is no calibration of that strategy in "
                f"this recipe; fit one, or say of='{mine}' if it is one of another strategy.",
                path=path,
            )
        return found

    def _named(self, of: str) -> Of:
        """The strategy that a name stands for."""
        if of not in self.states:
            return Of(of)
        by = self.states[of].by
        if by in CALIBRATIONS:
            below = self.about(of)
            assert below is not None  # noqa: S101 - a calibration is of something
            return replace(below, calibrate=of)
        return Of("weighted" if by in _WEIGHTS else by, state=of)

    def check_kind(self) -> None:
        """:class:`ConfigError` where signature, truths and fitters are not all of classes, or all of numbers."""
        output = self.signature.output
        numbers = output.kind == "values"
        mine, other = ("numbers", "classes") if numbers else ("classes", "numbers")
        if numbers != self.data.numbers:
            raise ConfigError(
                f"The signature answers {mine}, and the labels of '{self.data.name}' are {other}; expected text for "
                "classes, and float64 for numbers.",
                path="signature",
            )
        for name, fit in self.states.items():
            if numbers and (fit.by not in OF_NUMBERS or (fit.by == "stack" and output.width > 1)):
                raise ConfigError(
                    f"State '{name}': '{fit.by}' is not fitted on numbers, but for 'stack' of one target; expected one "
                    f"of {', '.join(OF_NUMBERS)}.",
                    path=f"states.{name}",
                )
            known = OF_NUMBERS[fit.by] if numbers else _SETTINGS.get(fit.by, frozenset()) - _QUANTILES
            unknown = sorted(set(fit.settings) - known)
            if unknown:
                raise ConfigError(
                    f"State '{name}': '{fit.by}' has no setting '{unknown[0]}' where {mine} are answered.",
                    path=f"states.{name}.settings",
                )

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
            [self.signature.output.classes or self.signature.output.names, [described(t) for t in self.trainers]],
            [f"{library} {version(library)}" for library in libraries],
        ]
        return digest(parts)


def described(trainer: Trainer) -> str:
    """What a trainer says of its parameters; its names alone where that would name places in memory."""
    text = repr(trainer)
    return ", ".join(trainer.names) if " at 0x" in text else text


def state_key(
    key: str,
    fit: Fit,
    members: Sequence[Manifest],
    of: Of | None = None,
    below: Manifest | None = None,
    calibration: Manifest | None = None,
) -> str:
    """SHA-256, hex: a state is of use with exactly the members that it was fitted on, the way it was.

    ``of`` is the strategy that it is about, ``below`` the state that this one reads, ``calibration`` its own.
    """
    settings = [dict(sorted(fit.settings.items()))] if fit.settings else []
    under = [] if of is None else [of.kind, dict(sorted(of.params.items())), None if below is None else below.ref]
    calibrated = [] if calibration is None else [calibration.ref]
    return digest([key, fit.by, [manifest.ref for manifest in members], *settings, *under, *calibrated])


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
