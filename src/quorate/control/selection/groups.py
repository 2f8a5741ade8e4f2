"""Rows in groups: by predicted label, by a key of the context, or by where a number lies among the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, OutputSpec, Scalar, Signature

MOST = 12
"""Values of a context key that are groups of their own; the others are one together."""
BINS = 5
"""Groups of a number, of about as many rows each."""
KEYS, FEATURES = 20, 100
"""Ways to group that are offered, at most."""
NOT_SENT, OTHERS, NO_NUMBER, NO_ANSWER = "(not sent)", "(others)", "(no number)", "(no answer)"

Groups = tuple[list[str], NDArray[np.intp]]
"""The names of groups, and which one each row is in, ``[n]``."""


def by_label(answers: FloatArray, output: OutputSpec) -> Groups:
    """By the class that is predicted, in the order of the classes; numbers by where they lie."""
    if output.kind == "values":
        return by_number(answers[:, 0])
    known = np.isfinite(answers).all(axis=1)
    labels = np.where(known, np.nan_to_num(answers).argmax(axis=1), len(output.classes))
    return _used([*output.classes, NO_ANSWER], labels)


def by_context(contexts: Sequence[Mapping[str, Scalar]], key: str) -> Groups:
    """By the value of a key: the most frequent ones, the others together, and where it was not sent."""
    texts = [_text(context[key]) if key in context else None for context in contexts]
    often = [text for text, _ in Counter(text for text in texts if text is not None).most_common(MOST)]
    names = [*sorted(often), OTHERS, NOT_SENT]
    places = {name: i for i, name in enumerate(sorted(often))}
    return _used(names, np.array([len(often) + 1 if t is None else places.get(t, len(often)) for t in texts], np.intp))


def by_number(values: NDArray[Any]) -> Groups:
    """By quantiles, as many as :data:`BINS`; equal numbers are in one group. Rows that are no numbers come last.

    >>> by_number(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan]))[0]
    ['up to 1', 'above 1, up to 2', 'above 2, up to 3', 'above 3, up to 4', 'above 4', '(no number)']
    """
    finite = np.isfinite(values)
    numbers = np.asarray(values, np.float64)
    if not finite.any():
        return _used([NO_NUMBER], np.zeros(len(values), np.intp))
    inner = np.quantile(numbers[finite], np.arange(1, BINS) / BINS, method="inverted_cdf")
    least, most = numbers[finite].min(), numbers[finite].max()
    edges = np.unique(inner[inner < most])
    texts = _told(edges, least, most)
    names = [f"up to {texts[0]}"] if texts else ["all"]
    names += [f"above {low}, up to {high}" for low, high in pairwise(texts)]
    names += [f"above {texts[-1]}"] if texts else []
    places = np.where(finite, np.searchsorted(edges, np.where(finite, numbers, 0.0), side="left"), len(names))
    return _used([*names, NO_NUMBER], places)


def features_of(signature: Signature, width: int) -> list[str]:
    """What the features are called: the signature's columns where there is one for each, else by their number."""
    names = [spec.name for spec in signature.inputs]
    if signature.input_kind == "columns" and len(names) == width:
        return names
    return [str(number) for number in range(1, width + 1)]


def keys_of(contexts: Sequence[Mapping[str, Scalar]]) -> list[str]:
    """Context keys that callers sent, the most frequent ones, by name."""
    counted = Counter(key for context in contexts for key in context)
    return sorted(key for key, _ in counted.most_common(KEYS))


def _used(names: Sequence[str], places: NDArray[np.intp]) -> Groups:
    """Only the groups that have rows."""
    there, index = np.unique(places, return_inverse=True)
    return [names[i] for i in there.tolist()], index.reshape(-1)


def _told(edges: NDArray[np.float64], least: float, most: float) -> list[str]:
    """Edges with as few digits as tell them from each other, and from the numbers at both ends."""
    for digits in range(3, 17):
        texts = [f"{edge:.{digits}g}" for edge in edges.tolist()]
        ends = {f"{end:.{digits}g}" for end in (least, most) if end not in edges}
        if len({*texts, *ends}) == len(texts) + len(ends):
            return texts
    return [repr(edge) for edge in edges.tolist()]


def _text(value: Scalar) -> str:
    return "true" if value is True else "false" if value is False else "none" if value is None else str(value)
