"""Outcomes beside the decisions they are of: read once from the store, kept by slot, merged by boot and sequence.

Ids are ordered by time, so within a slot outcomes come in the order of boots and sequences, as decisions lie in their
files, unless the clock was set back between two boots; then they are sorted. What is kept is 24 bytes an outcome, in
files that have no name: a kill leaves nothing behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.store.known import known

_RECORD = np.dtype([("place", "<i8"), ("row", "<i4"), ("label", "<i4"), ("value", "<f8")])
_BOOT = 40  # bits of a sequence; a place is the boot before the sequence
MARGIN_S = 3600.0
"""A decision's id is of the time it was made, not of its arrival."""


@dataclass
class Found:
    """Outcomes ``[n]`` of the decisions of one head: ``decision`` their places in it, ascending, ``row`` the row,
    ``label`` a place in :attr:`Outcomes.labels` or -1, ``value`` a number or NaN."""

    decision: NDArray[np.int64]
    row: NDArray[np.int64]
    label: NDArray[np.int64]
    value: NDArray[np.float64]


class Outcomes:
    """One metric's outcomes; close it when done."""

    def __init__(self, folder: Path) -> None:
        self.labels: dict[str, int] = {}
        self.count = 0
        self._folder = folder
        self._files: dict[int, BinaryIO] = {}
        self._maps: dict[int, NDArray[Any]] = {}
        self._stack = ExitStack()

    def load(
        self,
        connection: sa.Connection,
        metric: str,
        precedence: Sequence[str],
        since: float | None,
        until: float | None,
    ) -> Iterator[int]:
        """Read them from the store; yields now and then how many there are so far."""
        since = None if since is None else since - MARGIN_S
        until = None if until is None else until + MARGIN_S
        for some in known(connection, metric, self.labels, precedence, since=since, until=until):
            records = np.empty(len(some.row), _RECORD)
            records["place"] = some.boot << _BOOT | some.sequence
            for name in ("row", "label", "value"):
                records[name] = getattr(some, name)
            for slot in np.unique(some.slot).tolist():
                self._file(slot).write(records[some.slot == slot].tobytes())
            self.count += len(records)
            yield self.count
        for slot, file in self._files.items():
            file.flush()
            kept: NDArray[Any] = np.memmap(file, _RECORD, "r")
            ordered = bool((kept["place"][1:] >= kept["place"][:-1]).all())
            self._maps[slot] = kept if ordered else kept[np.argsort(kept["place"], kind="stable")]

    def of(self, slot: int, boot: int, sequence: NDArray[np.int64]) -> Found:
        """Those of decisions with these sequences, ascending, of one slot and boot."""
        records = self._maps.get(slot)
        if records is None or not len(sequence):
            none = np.zeros(0, np.int64)
            return Found(none, none, none, np.zeros(0))
        places = boot << _BOOT | sequence
        low, high = np.searchsorted(records["place"], [places[0], places[-1] + 1])
        mine = np.array(records[low:high])
        at = np.searchsorted(places, mine["place"])
        fits = places[np.minimum(at, len(places) - 1)] == mine["place"]
        at, mine = at[fits], mine[fits]
        return Found(at, mine["row"].astype(np.int64), mine["label"].astype(np.int64), mine["value"])

    def close(self) -> None:
        """Forget them."""
        self._maps.clear()
        self._stack.close()

    def _file(self, slot: int) -> BinaryIO:
        if slot not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            made = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it lives as long as this
            self._stack.callback(made.close)
            self._files[slot] = made
        return self._files[slot]
