"""Keeping captured inputs: as long, and as many bytes of them, as their endpoint says; never longer unnoticed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from quorate.clock import Clock
from quorate.codecs import sealing, snapshot
from quorate.codecs.capture_reader import CaptureReader
from quorate.codecs.journal import HEADER_SIZE, scan
from quorate.codecs.lookup import Segment
from quorate.codecs.snapshot import CaptureRoute, JournalSettings
from quorate.control.journal import retention
from quorate.control.journal.compact import sweep, unlocked
from quorate.control.journal.retention import DAY, prune, stored
from quorate.errors import NotReady
from quorate.home import Home

log = logging.getLogger("quorate.control")

EVERY_S = 30.0
_KEEP = "keep.json"


class Keep(msgspec.Struct, frozen=True):
    """How long and how much of an endpoint's captured inputs is kept; where it was declared last, if no more."""

    keep_days: float | None
    keep_bytes: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept of one endpoint. ``oldest`` and ``newest`` are Unix seconds."""

    endpoint: str
    files: int
    size: int
    oldest: float | None
    newest: float | None
    declared: bool
    keep_days: float | None
    keep_bytes: int | None


class CaptureKeeper:
    """Deletes captured inputs that are no longer to be kept; only who holds the ingest lock may call :meth:`tidy`."""

    def __init__(self, home: Home, clock: Clock, *, count: Callable[[int], None] = lambda _files: None) -> None:
        self._home = home
        self._clock = clock
        self._count = count
        self._reader = CaptureReader(home.captures)
        self._at = clock.monotonic()
        self._swept: set[str] = set()

    def tidy(self, *, at_once: bool = False) -> int:
        """Twice a minute, or ``at_once``: delete what is too old or too much; how many files that were."""
        if not at_once and self._clock.monotonic() < self._at:
            return 0
        self._at = self._clock.monotonic() + EVERY_S
        declared, deleted, to_seal = _declared(self._home), 0, False
        for endpoint in self._reader.endpoints():
            keep = self._keep(endpoint, declared.get(endpoint))
            files = self._reader.files(endpoint)
            if endpoint not in self._swept:
                self._swept.add(endpoint)
                for folder in {segment.path.parent for segment in files}:
                    sweep(folder)
                    retention.sweep(folder)
            done = prune(
                stored(files),
                JournalSettings(keep_days=keep.keep_days, keep_bytes=keep.keep_bytes),
                self._clock.now(),
                pinned_from=None,  # what an experiment needs of decisions is in the journal; inputs are not held for it
                deletable=lambda segment: unlocked(segment.path),
                shipped=lambda _segment: True,
            )
            deleted += done.files
            if done.files:
                log.info("Deleted %d files (%d bytes) of captured inputs of '%s'.", done.files, done.size, endpoint)
                self._count(done.files)
            to_seal = to_seal or any(self._too_long_open(segment, keep) for segment in files)
        if to_seal:
            sealing.ask(self._home.seal)
        return deleted

    def _keep(self, endpoint: str, route: CaptureRoute | None) -> Keep:
        """What is declared now, and remembered for when it is not any more."""
        path = self._reader.folder(endpoint) / _KEEP
        before = remembered(self._home, endpoint)
        if route is None:
            return before
        keep = Keep(route.keep_days, route.keep_bytes)
        if keep != before or not path.exists():
            temporary = path.with_name(f".{_KEEP}.{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(keep))
            temporary.replace(path)
        return keep

    def _too_long_open(self, segment: Segment, keep: Keep) -> bool:
        """Whether a segment is written to for so long that its first inputs would outlive what is declared."""
        if keep.keep_days is None or unlocked(segment.path):
            return False
        with suppress(OSError):
            with segment.path.open("rb") as file:
                header = scan(file.read(HEADER_SIZE)).header
            if header is not None:
                return self._clock.now() - header.created / 1e9 > min(DAY, keep.keep_days * DAY / 10)
        return False


def held(home: Home) -> list[Held]:
    """What is kept of every endpoint, and of those that are to be captured and have nothing yet."""
    reader, declared = CaptureReader(home.captures), _declared(home)
    found = []
    for endpoint in sorted({*reader.endpoints(), *declared}):
        files = stored(reader.files(endpoint))
        route = declared.get(endpoint)
        keep = remembered(home, endpoint) if route is None else Keep(route.keep_days, route.keep_bytes)
        ages = [each.newest for each in files]
        found.append(
            Held(
                endpoint,
                len(files),
                sum(each.size for each in files),
                min(ages, default=None),
                max(ages, default=None),
                route is not None,
                keep.keep_days,
                keep.keep_bytes,
            )
        )
    return found


def remembered(home: Home, endpoint: str) -> Keep:
    """What was declared for an endpoint last; the defaults where nobody saw that."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((home.captures / endpoint / _KEEP).read_bytes(), type=Keep)
    default = CaptureRoute()
    return Keep(default.keep_days, default.keep_bytes)


def _declared(home: Home) -> dict[str, CaptureRoute]:
    try:
        routing = snapshot.read(home.snapshot)
    except NotReady:
        return {}
    return {route.name: route.capture for route in routing.endpoints if route.capture is not None}
