"""What a request feeds a pool: its raw input, and what the pool's preprocessing makes of that, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Tensors
from quorate.preprocess.prepared import rows_of

Prepare = Callable[[Mapping[str, Any], str], Sequence[Tensors]]
"""Raw input and what its rows are called in errors -> the tensors of every pipeline of the pool."""


class Feed:
    """One request's input; ``tensors`` are there once it is prepared, or else ``refused`` says why it cannot be."""

    __slots__ = ("path", "raw", "refused", "rows", "tensors")

    def __init__(
        self, raw: Mapping[str, Any], rows: int, path: str = "instances", tensors: Sequence[Tensors] | None = None
    ) -> None:
        self.raw = raw
        self.rows = rows
        self.path = path
        self.tensors = tensors
        self.refused: Exception | None = None

    def part(self, rows: NDArray[np.intp]) -> Feed:
        """Some of its rows, prepared as it is itself: what a member is fed that only those ask."""
        assert self.tensors is not None  # noqa: S101 - it is prepared before rows of it are asked for
        return Feed(self.raw, len(rows), self.path, rows_of(self.tensors, rows))


def prepare_all(feeds: Sequence[Feed], prepare: Prepare) -> None:
    """Prepare those that are not yet, in one go where their raw inputs can be joined, else one by one.

    A bad input is its own request's error: the others are prepared without it.
    """
    fresh = [feed for feed in feeds if feed.tensors is None and feed.refused is None]
    if len(fresh) > 1:
        try:
            joined = _joined([feed.raw for feed in fresh])
            together = None if joined is None else prepare(joined, "instances")
        except Exception:
            together = None  # one by one tells whose it is
        if together is not None:
            _share_out(fresh, together)
            return
    for feed in fresh:
        try:
            feed.tensors = prepare(feed.raw, feed.path)
        except Exception as error:  # the request's own; whoever waits for it tells a client's mistake from a fault
            feed.refused = error


def _share_out(feeds: Sequence[Feed], together: Sequence[Tensors]) -> None:
    start = 0
    for feed in feeds:
        stop = start + feed.rows
        feed.tensors = rows_of(together, slice(start, stop))
        start = stop


def _joined(raws: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """All rows one after the other, or None where they do not fit together."""
    joined: dict[str, Any] = {}
    for name, first in raws[0].items():
        parts = [raw[name] for raw in raws]
        if isinstance(first, np.ndarray):
            shape, dtype = first.shape[1:], first.dtype
            if not all(isinstance(p, np.ndarray) and p.shape[1:] == shape and p.dtype == dtype for p in parts):
                return None
            joined[name] = np.concatenate(parts)
        elif all(isinstance(part, list) for part in parts):
            joined[name] = [row for part in parts for row in part]
        else:
            return None
    return joined


def joined(feeds: Sequence[Feed], pipeline: int) -> Tensors:
    """The tensors of prepared feeds, one after the other."""
    if len(feeds) == 1:
        (feed,) = feeds
        assert feed.tensors is not None  # noqa: S101 - they are prepared
        return feed.tensors[pipeline]
    parts = [feed.tensors[pipeline] for feed in feeds if feed.tensors is not None]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
