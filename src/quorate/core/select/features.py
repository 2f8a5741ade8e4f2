"""What a contextual policy looks at, as numbers: declared features of the context and of the facts.

A feature is a number unless ``values`` or ``buckets`` say otherwise. The vector of a request is, in this order,

- every number, scaled: by its declared range to [-1, 1], what lies outside being cut; else by the mean and standard
  deviation of what was learned from (a policy may cut what is far from it); 0 where it is missing;
- for every number, 1 where it is missing (None, text, NaN, no such key, beyond 1e30), else 0;
- for every category, one column a declared value (or bucket), one for any other value, and one where it is missing;
- 1.

Sums of products are kept of the numbers as they came, less their mean so far (so that large offsets do not cost
digits), and are standardised when the weights are solved for: that is exact, as scaling is linear in the columns above.
So no row was scaled by a mean that was not known yet.

Reference for buckets: K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from quorate.core.select.base import Feedback
from quorate.core.select.evidence import Floats
from quorate.core.select.learner import LearnerParams, setting
from quorate.core.types import Scalar
from quorate.errors import ConfigError

_HUGE = 1e30
_NAN = math.nan


@dataclass(frozen=True, slots=True)
class FeatureParams(LearnerParams):
    """What contextual policies look at, and in :class:`LearnerParams` what learners have in common."""

    floor: float = setting(0.01, "The least share of every strategy.")
    features: tuple[str, ...] = setting((), "What it looks at: context.KEY, or names of facts.")
    ranges: Mapping[str, tuple[float, float]] = field(
        default_factory=dict,
        metadata={"description": "Features cut to a declared range, and scaled by it."},
    )
    values: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, metadata={"description": "Categories, with the values that have a column each."}
    )
    buckets: Mapping[str, int] = field(
        default_factory=dict, metadata={"description": "Categories of any values, hashed into that many columns."}
    )


class Features:
    """Reads declared features; ``width`` is the length of a vector, ``numbers`` how many of its columns are scaled.

    Scaled numbers of requests are cut to -``far`` .. ``far``: beyond what was ever seen, a line says little.
    """

    def __init__(
        self,
        names: Sequence[str],
        ranges: Mapping[str, tuple[float, float]],
        values: Mapping[str, tuple[str, ...]],
        buckets: Mapping[str, int],
        far: float = math.inf,
    ) -> None:
        self.names = tuple(names)
        self._far = far
        plain = [name for name in names if name not in values and name not in buckets]
        self.numbers = len(plain)
        self._numbers = [_source(name) for name in plain]
        self._categories: list[tuple[bool, str, Mapping[str, int] | int, int]] = []
        column = 2 * self.numbers
        for name in names:
            if name in values:
                known = {value: i for i, value in enumerate(values[name])}
                self._categories.append((*_source(name), known, column))
                column += len(known) + 2
            elif name in buckets:
                self._categories.append((*_source(name), buckets[name], column))
                column += buckets[name] + 1
        self.width = column + 1
        self.ranged = np.array([name in ranges for name in plain], np.bool_)
        declared = np.array([ranges.get(name, (-1.0, 1.0)) for name in plain], np.float64).reshape(-1, 2)
        self._middle, self._half = declared.mean(1), (declared[:, 1] - declared[:, 0]) / 2.0
        self._middle[~self.ranged], self._half[~self.ranged] = 0.0, 1.0
        self._limit = np.where(self.ranged, 1.0, _HUGE)

    def raw(self, rows: Sequence[Feedback]) -> tuple[Floats, Floats]:
        """Of n rows: the numbers ``[n, m]``, NaN where missing, and the columns after those ``[n, width - 2m]``."""
        numbers = np.array([self._read(row.context, row.facts) for row in rows], np.float64)
        rest = np.zeros((len(rows), self.width - 2 * self.numbers))
        rest[:, -1] = 1.0
        for i, row in enumerate(rows):
            for column in self._columns(row.context, row.facts):
                rest[i, column - 2 * self.numbers] = 1.0
        return self._declared(numbers.reshape(len(rows), self.numbers)), rest

    def vector(
        self, context: Mapping[str, Scalar], facts: Mapping[str, Scalar], centre: Floats, scale: Floats
    ) -> Floats:
        """The vector ``[width]`` of one request, its numbers less ``centre`` over ``scale``."""
        m = self.numbers
        found = np.zeros(self.width)
        found[-1] = 1.0
        if m:
            scaled = (self._declared(np.array(self._read(context, facts), np.float64)) - centre) / scale
            np.minimum(np.maximum(scaled, -self._far, out=scaled), self._far, out=scaled)
            missing = np.isnan(scaled)
            if missing.any():
                scaled[missing] = 0.0
                found[m : 2 * m] = missing
            found[:m] = scaled
        for column in self._columns(context, facts):
            found[column] = 1.0
        return found

    def facts(self) -> frozenset[str]:
        """The facts among the features."""
        return frozenset(name for name in self.names if not name.startswith("context."))

    def _declared(self, numbers: Floats) -> Floats:
        """Those with a declared range, scaled by it and cut to [-1, 1]; the others as they are."""
        if not self.ranged.any():
            return numbers
        scaled: Floats = np.clip((numbers - self._middle) / self._half, -self._limit, self._limit)
        return scaled

    def _read(self, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> list[Any]:
        found = []
        for from_context, key in self._numbers:
            value = context.get(key) if from_context else facts.get(key)
            kind = type(value)
            number = kind is float or kind is int or kind is bool
            found.append(value if number and -_HUGE < value < _HUGE else _NAN)  # type: ignore[operator]
        return found

    def _columns(self, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> list[int]:
        found = []
        for from_context, key, known, first in self._categories:
            value = context.get(key) if from_context else facts.get(key)
            missing = value is None or value != value
            if isinstance(known, int):
                found.append(first + (known if missing else _bucket(_text(value), known)))
            else:
                found.append(first + (len(known) + 1 if missing else known.get(_text(value), len(known))))
        return found


def check_features(
    names: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
    values: Mapping[str, tuple[str, ...]],
    buckets: Mapping[str, int],
) -> None:
    """Raise :class:`ConfigError` unless every feature is declared once, and one way."""
    if not names:
        raise ConfigError("at least one feature is needed, like context.age; got none.", path="features")
    for i, name in enumerate(names):
        source, _, key = name.partition(".")
        if not source or not key:
            raise ConfigError(f"a feature is context.KEY or the name of a fact; got '{name}'.", path=f"features[{i}]")
        if name in names[:i]:
            raise ConfigError(f"the feature '{name}' is listed twice; remove one.", path=f"features[{i}]")
    treatments: Mapping[str, Mapping[str, Any]] = {"ranges": ranges, "values": values, "buckets": buckets}
    seen: dict[str, str] = {}
    for treatment, declared in treatments.items():
        for name in declared:
            path = f"{treatment}.{name}"
            if name not in names:
                raise ConfigError(f"'{name}' is not among the features; list it there.", path=path)
            if name in seen:
                raise ConfigError(f"'{name}' has {seen[name]} and {treatment}; a feature has one treatment.", path=path)
            seen[name] = treatment
    for name, (low, high) in ranges.items():
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"a range is [low, high]; got [{low:g}, {high:g}].", path=f"ranges.{name}")
    for name, listed in values.items():
        if not listed or len(set(listed)) < len(listed):
            raise ConfigError(f"values of '{name}' must be some, each once.", path=f"values.{name}")
    for name, count in buckets.items():
        if not 1 <= count <= 4096:
            raise ConfigError(f"buckets must lie between 1 and 4096; got {count}.", path=f"buckets.{name}")


def _source(name: str) -> tuple[bool, str]:
    return (True, name.removeprefix("context.")) if name.startswith("context.") else (False, name)


def _text(value: Scalar) -> str:
    """As it is written in ``quorate.yaml``: true and false, and whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _bucket(text: str, count: int) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") % count
