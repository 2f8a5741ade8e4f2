"""Many decisions by their ids, a file at a time: what :meth:`JournalReader.find` does one by one, for a fraction of
it."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.decision import Packed
from quorate.codecs.journal import HEADER_SIZE, payload_at, scan
from quorate.codecs.lookup import COMPACTED, INDEX, JournalReader, Segment
from quorate.codecs.sidecar import Sidecar
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId

FEW = 24
"""So many of a file are looked up one by one; from there on the file is opened once for all of them."""

Found = tuple[str, Packed | JournalError | None]


def gather(reader: JournalReader, ids: Sequence[str]) -> Iterator[Found]:
    """Each id once, with its decision, None where the journal has none, or the error with which reading it failed.

    They come by slot and in the order they were written; one file is read at a time.
    """
    places, odd = _places(list(dict.fromkeys(ids)))
    yield from _one_by_one(reader, odd)
    files: dict[tuple[int, int], list[Segment]] = {}
    for segment in reader.files() if places.texts else ():
        files.setdefault((segment.slot, segment.boot), []).append(segment)
    for boot, some in places.boots():
        mine = files.get(boot, [])
        firsts = np.array([segment.first for segment in mine], np.uint64)
        at = np.searchsorted(firsts, some.sequences, side="right") - 1
        for start, stop in _runs(at):
            part = some.part(start, stop)
            if at[start] < 0 or stop - start <= FEW:
                yield from _one_by_one(reader, part.texts)
            else:
                yield from _of_file(reader, mine[at[start]], part)


class _Places(NamedTuple):
    """Ids and where they say that their decisions lie, in that order."""

    texts: list[str]
    slots: NDArray[np.uint64]
    boot_numbers: NDArray[np.uint64]
    sequences: NDArray[np.uint64]

    def part(self, start: int, stop: int) -> _Places:
        return _Places(self.texts[start:stop], *(column[start:stop] for column in self[1:]))

    def boots(self) -> Iterator[tuple[tuple[int, int], _Places]]:
        """By slot and boot."""
        for start, stop in _runs(self.slots << np.uint64(22) | self.boot_numbers):
            yield (int(self.slots[start]), int(self.boot_numbers[start])), self.part(start, stop)


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[[ord(digit) for digit in "0123456789abcdef"]] = range(16)
_HYPHENS = [8, 13, 18, 23]
_SLOT, _BOOT, _SEQUENCE = [15, 16, 17], [19, 20, 21, 22, 24, 25], list(range(26, 36))


def _places(texts: list[str]) -> tuple[_Places, list[str]]:
    """Where ids say that their decisions lie; and those that are none of ours, or claim the place of another."""
    fits = [len(text) == 36 and text.isascii() for text in texts]
    odd = [] if all(fits) else [text for text, fit in zip(texts, fits, strict=True) if not fit]
    texts = [text for text, fit in zip(texts, fits, strict=True) if fit] if odd else texts
    characters = np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, 36)
    digits = _DIGITS[characters]
    ours = (characters[:, _HYPHENS] == ord("-")).all(axis=1) & (digits[:, 14] == 7) & (digits[:, 19] >> 2 == 0b10)
    ours &= (np.delete(digits, _HYPHENS, axis=1) < 16).all(axis=1)
    slots, boots, sequences = (_number(digits[:, columns]) for columns in (_SLOT, _BOOT, _SEQUENCE))
    boots &= np.uint64(2**22 - 1)
    order = np.lexsort((sequences, boots, slots))
    order = order[ours[order]]
    places = np.stack([slots[order], boots[order], sequences[order]])
    again = np.zeros(len(order), bool)
    again[1:] = (places[:, 1:] == places[:, :-1]).all(axis=0)
    odd += [texts[i] for i in np.flatnonzero(~ours).tolist()] + [texts[i] for i in order[again].tolist()]
    return _Places([texts[i] for i in order[~again].tolist()], *places[:, ~again]), odd


def _number(digits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hexadecimal digits ``[n, d]``, the highest first, as numbers ``[n]``."""
    found = np.zeros(len(digits), np.uint64)
    for column in digits.T:
        found = found << np.uint64(4) | column
    return found


def _runs(values: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Where equal values stand together: start and stop of each run."""
    if len(values):
        edges = np.flatnonzero(values[1:] != values[:-1]) + 1
        yield from pairwise([0, *edges.tolist(), len(values)])


def _one_by_one(reader: JournalReader, ids: Iterable[str]) -> Iterator[Found]:
    for text in ids:
        try:
            found = reader.find(text)
            yield text, None if found is None else decision_codec.pack(found)
        except JournalError as error:
            yield text, error
        except InvalidInput:
            yield text, None


def _of_file(reader: JournalReader, segment: Segment, wanted: _Places) -> Iterator[Found]:
    missing = dict(zip(wanted.sequences.tolist(), wanted.texts, strict=True))
    try:
        for sequence, decision in (
            _compacted(segment, wanted) if segment.compacted else _written(reader, segment, wanted)
        ):
            text = missing.pop(sequence, None)
            if text is not None:
                fits = isinstance(decision, JournalError) or decision.id == text
                yield text, decision if fits else None
    except FileNotFoundError:
        pass  # compacted or deleted meanwhile
    except JournalError as error:
        yield from ((text, error) for text in missing.values())
        return
    yield from _one_by_one(reader, list(missing.values()))


def _written(reader: JournalReader, segment: Segment, wanted: _Places) -> Iterator[tuple[int, Packed | JournalError]]:
    """Those of the wanted that a segment has; only they are read."""
    offsets = reader.offsets(segment, wanted.sequences)
    there = offsets >= 0
    if not there.any():
        return
    with segment.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = scan(data[:HEADER_SIZE]).header
        salt = 0 if header is None else header.salt
        for sequence, offset in zip(wanted.sequences[there].tolist(), offsets[there].tolist(), strict=True):
            payload = payload_at(data, offset, sequence, salt)
            if payload is not None:
                try:
                    yield sequence, decision_codec.packed(payload)
                except JournalError as error:
                    yield sequence, error


def _compacted(segment: Segment, wanted: _Places) -> Iterator[tuple[int, Packed]]:
    index = Sidecar(segment.beside(INDEX).read_bytes())
    rows = (index.row(DecisionId.parse(text)) for text in wanted.texts)
    for sequence, decision in columnar.read_rows(segment.beside(COMPACTED), [row for row in rows if row is not None]):
        yield sequence, decision_codec.pack(decision)
