"""Dynamic selection: members are chosen anew for every input, by how they did on the known rows that are most like it.

Known rows (the reference set) are held out: each has its features, and for every member whether it was right there
(``hits``). The ``k`` of them that are nearest to an input are its region of competence. A method turns the hits in the
region into weights of the members, and the members vote with these:

    answer_i = sum_j w_ij v_ij / sum_j w_ij

with v_ij the one-hot label of member j (``voting: hard``, the lower class on a tie within a member) or its
probabilities (``soft``). A tie between classes goes to the lower one, as argmax takes it. Where all labels agree, a
hard vote needs no region, and none is looked for.

Nearness is Euclidean, in the space of the features (standardised where the state says so; a feature that is not finite
counts as the reference's mean) or of the members' outputs. Of equal distances the lower reference row is nearer.

A member that did not answer has weight 0, and its output is no coordinate of the space of outputs. Where only members
of weight 0 answered, they count equally.

References: R. Cruz, R. Sabourin, G. Cavalcanti, "Dynamic classifier selection: recent advances and perspectives",
Information Fusion 41, 2018; R. Cruz et al., "DESlib: a dynamic ensemble selection library in Python", JMLR 21, 2020.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import OK
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_output, check_state
from quorate.core.combine.neighbours import Matrix, nearest, squared_norms
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

VERSION = 1
"""Format of the fitted state, for r reference rows of d features, m members and K classes.

Meta: ``members`` and ``classes``, both in order; ``k``, the size of a region; ``space``, ``input`` or ``outputs``;
``features``, d (0 in the space of outputs). Arrays: ``hits`` uint8 ``[r, m]``. For ``input`` also ``reference``
float32 or float64 ``[r, d]``, ``norms`` float64 ``[r]`` (its squared norms), ``centre``, ``scale`` and ``fill`` (for
what is not finite) float64 ``[d]``; for ``outputs`` also ``profiles`` float32 ``[r, m * q]`` (see
:func:`profiles_of`) and ``profile_norms`` ``[r]``.
"""

INPUT, OUTPUTS = "input", "outputs"
_ROWS = 1024
"""Rows that are combined at a time."""


@dataclass(frozen=True, slots=True)
class DynamicParams:
    """``voting``: ``hard`` counts labels of the members that were chosen, ``soft`` averages their probabilities."""

    voting: Literal["hard", "soft"] = "hard"


@dataclass(frozen=True, slots=True)
class Region:
    """What a method is told of n rows.

    ``hits`` uint8 ``[n, k, m]``: whether a member was right on each of the k neighbours, the nearest first;
    ``neighbours`` int ``[n, k]``; ``outputs`` float32 ``[n, m, K]`` and ``ok`` bool ``[n, m]`` of the rows themselves.
    """

    hits: NDArray[np.uint8]
    neighbours: NDArray[np.intp]
    outputs: FloatArray
    ok: NDArray[np.bool_]


class Dynamic(Combiner):
    """What the methods share; one of them says how competent members are, given a region."""

    Params = DynamicParams
    needs_state = True
    missing = "members that did not answer weigh nothing; the others are judged as if they were the whole pool"

    @abstractmethod
    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """Weights of the members float64 ``[n, m]``, not negative; those of members that did not answer are ignored."""

    def shapes(self, meta: Mapping[str, Any], members: int) -> dict[str, tuple[int, ...]]:
        """Shapes of arrays ``[r, …]`` or ``[…]`` (with a leading -1) that a method's state has besides."""
        return {}

    def feature_width(self, state: State | None) -> int:
        """See :meth:`Combiner.feature_width`."""
        return 0 if state is None else int(state.meta.get("features", 0))

    def worth(self, members: Sequence[str], state: State | None) -> tuple[float, ...]:
        """The share of reference rows on which each member is right; see :meth:`Combiner.worth`."""
        return super().worth(members, state) if state is None else tuple(state.arrays["hits"].mean(axis=0).tolist())

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """A state fitted on these members and classes, complete and finite."""
        check_output(self, output)
        if state is None:
            raise _no_state(self.kind)
        check_state(self, state, VERSION, members)
        if self.params.voting not in ("hard", "soft"):
            raise ConfigError(f"voting must be 'hard' or 'soft'; got '{self.params.voting}'.", path="voting")
        fitted = tuple(state.meta.get("classes", ()))
        if fitted != output.classes:
            raise ConfigError(
                f"the state was fitted for the classes [{', '.join(fitted)}]; the pool's models answer "
                f"[{', '.join(output.classes)}]. Fit it again on this pool.",
                path="state",
            )
        wrong = _wrong(state, len(members), output.width, self)
        if wrong is not None:
            raise ConfigError(f"the state's {wrong} is not what it should be; fit it again.", path="state")

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """The chosen members' vote per row; see :meth:`Combiner.combine`.

        :class:`ConfigError` without a state, or without ``features`` ``[n, d]`` where it looks at them.
        """
        if state is None:
            raise _no_state(self.kind)
        width = self.feature_width(state)
        if width and (features is None or features.shape != (len(outputs), width)):
            got = "none" if features is None else f"{list(features.shape)}"
            raise ConfigError(f"'{self.kind}' looks at features [{len(outputs)}, {width}]; got {got}.", path="state")
        n, _, k = outputs.shape
        ok = status == OK
        answer = np.full((n, k), np.nan, np.float32)
        todo = ok.any(axis=1)
        if self.params.voting == "hard" and n:
            agreed, label = _agreement(outputs, ok)
            agreed &= todo
            answer[agreed] = label[agreed, None] == np.arange(k)
            todo &= ~agreed
        rows = np.flatnonzero(todo)
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            given = features[some] if width and features is not None else None
            answer[some] = self._vote(outputs[some], ok[some], state, given)
        return answer

    def _vote(
        self, outputs: FloatArray, ok: NDArray[np.bool_], state: State, features: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        size = int(state.meta["k"])
        if features is not None:
            arrays = state.arrays
            neighbours, _ = nearest(standardised(features, arrays), arrays["reference"], arrays["norms"], size)
        else:
            neighbours = alike(outputs, ok, state, size)
        region = Region(state.arrays["hits"][neighbours], neighbours, outputs, ok)
        weights = np.where(ok, self.weights(region, state), 0.0)
        total = np.add.reduce(weights, axis=1, keepdims=True)
        if not total.all():
            weights = np.where(total > 0, weights, ok)
            total = np.add.reduce(weights, axis=1, keepdims=True)
        if self.params.voting == "hard":
            votes: NDArray[Any] = outputs.argmax(axis=2)[:, :, None] == np.arange(outputs.shape[2])
        else:
            votes = outputs if ok.all() else np.where(ok[:, :, None], outputs, 0.0)
        answer: NDArray[np.float64] = (weights[:, None, :] @ votes)[:, 0] / total
        return answer


def standardised(features: NDArray[Any], arrays: Mapping[str, NDArray[Any]]) -> Matrix:
    """Features ``[n, d]`` as the reference has them: centred, scaled, and filled where they are not finite."""
    found = (features - arrays["centre"]) / arrays["scale"]
    finite = np.isfinite(found)
    if not finite.all():
        found = np.where(finite, found, arrays["fill"])
    standard: Matrix = found.astype(arrays["reference"].dtype, copy=False)
    return standard


def profiles_of(outputs: FloatArray) -> FloatArray:
    """Rows of outputs ``[n, m, K]`` as points ``[n, m * q]``: q = K, but of two classes the first one's score alone."""
    kept = outputs[:, :, :1] if outputs.shape[2] == 2 else outputs
    return np.ascontiguousarray(kept, np.float32).reshape(len(outputs), -1)


def alike(outputs: FloatArray, ok: NDArray[np.bool_], state: State, k: int) -> NDArray[np.intp]:
    """The ``k`` reference rows with the most similar outputs, int ``[n, k]``, by the members that answered."""
    profiles, norms = state.arrays["profiles"], state.arrays["profile_norms"]
    points = profiles_of(outputs)
    if ok.all():
        return nearest(points, profiles, norms, k)[0]
    found = np.empty((len(outputs), k), np.intp)
    q = profiles.shape[1] // ok.shape[1]
    patterns, which = np.unique(ok, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.reshape(-1) == number)
        columns = np.repeat(pattern, q)
        left = np.ascontiguousarray(profiles[:, columns])
        found[rows] = nearest(points[np.ix_(rows, np.flatnonzero(columns))], left, squared_norms(left), k)[0]
    return found


def _agreement(outputs: FloatArray, ok: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether all that answered a row say the same label, bool ``[n]``, and the label of the first of them."""
    labels = outputs.argmax(axis=2)
    first = labels[np.arange(len(labels)), ok.argmax(axis=1)]
    agreed: NDArray[np.bool_] = ((labels == first[:, None]) | ~ok).all(axis=1)
    return agreed, first


def _no_state(kind: str) -> ConfigError:
    return ConfigError(f"'{kind}' needs a fitted state; name one from the registry under 'state'.", path="state")


def _wrong(state: State, m: int, classes: int, combiner: Dynamic) -> str | None:
    """The name of what does not fit in a state; None if all does."""
    meta, arrays = state.meta, state.arrays
    hits = arrays.get("hits")
    if hits is None or hits.ndim != 2 or hits.shape[1] != m or hits.dtype != np.uint8 or not len(hits):
        return "array 'hits'"
    r, d, space = len(hits), meta.get("features"), meta.get("space")
    k = meta.get("k")
    if not isinstance(k, int) or not 1 <= k <= r:
        return "'k'"
    if not isinstance(d, int) or space not in (INPUT, OUTPUTS) or (d > 0) != (space == INPUT):
        return "'space'"
    try:
        extra = combiner.shapes(meta, m)
    except (KeyError, TypeError):
        return "metadata"
    shapes: dict[str, tuple[int, ...]] = {name: tuple(r if n < 0 else n for n in s) for name, s in extra.items()}
    if space == INPUT:
        shapes |= {"reference": (r, d), "norms": (r,), "centre": (d,), "scale": (d,), "fill": (d,)}
    if space == OUTPUTS or "profiles" in shapes:
        shapes |= {"profiles": (r, m * (1 if classes == 2 else classes)), "profile_norms": (r,)}
    for name, shape in shapes.items():
        found = arrays.get(name)
        if found is None or found.shape != shape or not np.isfinite(found).all():
            return f"array '{name}'"
    if hits.max() > 1:
        return "array 'hits'"
    if space == INPUT and not (arrays["scale"] > 0).all():
        return "array 'scale'"
    for rows, norms in (("reference", "norms"), ("profiles", "profile_norms")):
        if rows in shapes and not np.allclose(squared_norms(arrays[rows]), arrays[norms], rtol=1e-6):
            return f"array '{norms}'"
    return None
