"""Reading captured inputs: which segments there are, what is in them, and the input of one decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quorate.codecs import capture as codec
from quorate.codecs.capture import Capture
from quorate.codecs.journal import RecordKind, scan
from quorate.codecs.lookup import JournalReader, Segment
from quorate.errors import JournalError
from quorate.ids import DecisionId


@dataclass(slots=True)
class Losses:
    """What could not be read: ``damaged`` bytes that hold no record, and ``unreadable`` records of a newer release."""

    damaged: int = 0
    unreadable: int = 0


class CaptureReader:
    """Reads the captured inputs below ``root``, also while they are being written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def endpoints(self) -> list[str]:
        """The endpoints that anything is kept of, by name."""
        try:
            return sorted(folder.name for folder in self._root.iterdir() if folder.is_dir())
        except FileNotFoundError:
            return []

    def folder(self, endpoint: str) -> Path:
        """Where an endpoint's captured inputs are."""
        return self._root / endpoint

    def files(self, endpoint: str) -> list[Segment]:
        """An endpoint's segments, by slot and in the order written."""
        return JournalReader(self.folder(endpoint)).files()

    def captures(self, endpoint: str, losses: Losses | None = None) -> Iterator[Capture]:
        """Every captured input of an endpoint that was not erased, by slot and in the order written.

        What cannot be read is passed over, and counted in ``losses``.
        """
        for segment in self.files(endpoint):
            yield from (capture for _, capture in read_segment(segment.path, losses) if capture.erased is None)

    def find(self, endpoint: str, decision_id: str) -> Capture | None:
        """The input of a decision; None if it is not kept (or not yet, or no longer, or was erased)."""
        wanted = DecisionId.parse(decision_id)
        files = [s for s in self.files(endpoint) if (s.slot, s.boot) == (wanted.slot, wanted.boot)]
        for segment in reversed([s for s in files if s.first <= wanted.sequence]):
            for sequence, capture in read_segment(segment.path):
                if sequence == wanted.sequence and capture.id == str(wanted):
                    return capture if capture.erased is None else None
            break  # the last that begins at or before it is the only one that can hold it
        return None


def read_segment(path: Path, losses: Losses | None = None) -> Iterator[tuple[int, Capture]]:
    """The captured inputs of one segment with their sequences, erased ones too; nothing if it is gone."""
    losses = losses if losses is not None else Losses()
    try:
        found = scan(path)
    except FileNotFoundError:
        return
    for record in found:
        if record.kind != RecordKind.CAPTURE:
            continue
        try:
            yield record.sequence, codec.decode(record.payload)
        except JournalError:
            losses.unreadable += 1
    losses.damaged += sum(damage.length for damage in found.damage)
