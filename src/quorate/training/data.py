"""A labelled data set: raw rows as callers send them, the truth (classes or numbers), and a digest of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput


@dataclass(frozen=True)
class Dataset:
    """Rows of one raw signature (before preprocessing) and their truth.

    ``raw`` maps input names to arrays ``[n, …]``, or ``image`` to a list of encoded images; ``labels`` ``[n]`` are
    class labels as text or, for regression, true numbers as float64. ``groups`` ``[n]`` (rows that belong together: a
    patient, a writer) and ``times`` ``[n]`` are for splits by them. :class:`InvalidInput` if the lengths differ, or a
    number is not finite.
    """

    name: str
    raw: Mapping[str, NDArray[Any] | Sequence[bytes]]
    labels: NDArray[Any]
    groups: NDArray[Any] | None = None
    times: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        others = {"groups": self.groups, "times": self.times}
        lengths = {name: len(value) for name, value in {**self.raw, **others}.items() if value is not None}
        if self.labels.ndim != 1 or not (self.labels.dtype.kind == "U" or self.labels.dtype == np.float64):
            raise InvalidInput(
                f"labels must be text [n], or float64 [n] for regression; got {self.labels.dtype} "
                f"{list(self.labels.shape)}; use labels.astype(str), or labels.astype(float).",
                path="labels",
            )
        if self.numbers and not np.isfinite(self.labels).all():
            raise InvalidInput("true numbers must be finite; drop the other rows.", path="labels")
        for name, length in lengths.items():
            if length != len(self.labels):
                raise InvalidInput(f"'{name}' has {length} rows, the labels {len(self.labels)}.", path=name)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def numbers(self) -> bool:
        """Whether the truths are numbers."""
        return self.labels.dtype.kind == "f"

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels that occur, sorted; none of numbers."""
        return () if self.numbers else tuple(np.unique(self.labels).tolist())

    def take(self, rows: NDArray[np.integer[Any]]) -> Dataset:
        """The data set of these rows only, in this order."""
        return replace(
            self,
            raw={
                name: value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows.tolist()]
                for name, value in self.raw.items()
            },
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )

    def truth(self, classes: Sequence[str]) -> NDArray[Any]:
        """Class indices int64 ``[n]`` into ``classes``, or the true numbers float64 ``[n]``.

        :class:`InvalidInput` for a label that is not among the classes.
        """
        if self.numbers:
            return self.labels
        index = {label: position for position, label in enumerate(classes)}
        unknown = sorted(set(self.labels.tolist()) - set(index))
        if unknown:
            raise InvalidInput(
                f"The label '{unknown[0]}' of '{self.name}' is not one of the classes {', '.join(classes)}.",
                path="labels",
            )
        return np.array([index[label] for label in self.labels.tolist()], np.int64)

    @property
    def digest(self) -> str:
        """SHA-256, hex, over names, types, shapes, bytes, labels, groups and times, independent of the machine."""
        total = hashlib.sha256()
        columns = {f"raw.{name}": value for name, value in sorted(self.raw.items())}
        for name, value in {**columns, "labels": self.labels, "groups": self.groups, "times": self.times}.items():
            if value is None:
                continue
            total.update(f"{name}\n".encode())
            if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS":
                plain = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
                total.update(f"{plain.dtype.str} {plain.shape}\n".encode() + plain.tobytes())
            else:
                items = value.ravel().tolist() if isinstance(value, np.ndarray) else value
                for item in items:
                    data = item if isinstance(item, bytes) else str(item).encode()
                    total.update(f"{type(item).__name__} {len(data)}\n".encode() + data)
        return total.hexdigest()
