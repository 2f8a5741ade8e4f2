"""The journal's files, one after the other, and what could not be read of them; pinned while they are read."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from quorate.clock import Clock
from quorate.codecs.lookup import COMPACTED, JournalReader, Segment
from quorate.codecs.sidecar import Sidecar
from quorate.control.journal.pins import Pin, pin, unpin
from quorate.control.replay.asked import Files
from quorate.control.replay.slices import Columns, Head, Records
from quorate.errors import JournalError
from quorate.home import Home

log = logging.getLogger("quorate.control")

PIN = "replay-"
HOLD_S = 900.0
"""How long a pin holds; it is renewed while reading, so that one whose owner was killed lapses."""


@contextmanager
def held(home: Home, clock: Clock, since: float | None) -> Iterator[Callable[[], None]]:
    """Hold back the deletion of decisions from ``since`` on; call what is yielded now and then to go on holding."""
    name = f"{PIN}{secrets.token_hex(8)}"
    last = -HOLD_S

    def hold() -> None:
        nonlocal last
        if clock.monotonic() - last > HOLD_S / 3:
            pin(home, Pin(name, since or 0.0, "a replay reads them", clock.now() + HOLD_S))
            last = clock.monotonic()

    sweep(home, clock)
    hold()
    try:
        yield hold
    finally:
        unpin(home, name)


def sweep(home: Home, clock: Clock) -> None:
    """Remove the pins of replays that were killed and have lapsed."""
    for path in (home.journal / "pins").glob(f"{PIN}*.json"):
        try:
            lapsed = (msgspec.json.decode(path.read_bytes(), type=Pin).until or 0.0) <= clock.now()
        except (OSError, msgspec.MsgspecError):
            continue  # gone meanwhile; a broken one is retention's to tell
        if lapsed:
            unpin(home, path.stem)


def read(
    home: Home,
    endpoint: str,
    since: float | None,
    until: float | None,
    files: Files,
    add: Callable[[int, int, Head], None],
    told: Callable[[int], None],
    *,
    by_time: bool = False,
) -> None:
    """Give every head of decisions in that time to ``add``; ``told`` after each file how many files were read.

    Files come by slot, or all of them ``by_time``, the oldest first.
    A file that cannot be read is counted and logged, and reading goes on behind it. A damaged compacted file counts
    as far as it could be read.
    """
    files_there = JournalReader(home.journal).files()
    if by_time:
        files_there = sorted(files_there, key=_newest)
    for number, segment in enumerate(files_there, 1):
        if since is None or _newest(segment) >= since:
            _read(segment, endpoint, since, until, files, add)
        told(number)


def _newest(segment: Segment) -> float:
    """When the newest record of a file came; unknown counts as now."""
    try:
        return segment.path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _read(
    segment: Segment,
    endpoint: str,
    since: float | None,
    until: float | None,
    files: Files,
    add: Callable[[int, int, Head], None],
) -> None:
    if not segment.compacted:
        records = Records(segment.path, endpoint)
        try:
            for head in records:
                add(segment.slot, segment.boot, head)
            files.segments += 1
            files.damaged_bytes += records.damaged
            files.unreadable_records += records.unreadable
            return
        except FileNotFoundError:
            segment = segment._replace(path=segment.beside(COMPACTED))  # compacted meanwhile, or deleted
        except (JournalError, OSError) as error:
            log.error("Replay leaves %s out: %s", segment.path, error)
            files.damaged += 1
            return
    columns = Columns(segment.path, endpoint, since, until)
    try:
        for head in columns:
            add(segment.slot, segment.boot, head)
        files.compacted += 1
    except FileNotFoundError:
        files.gone += 1
    except (JournalError, OSError) as error:
        log.error("Replay leaves %s out from decision %d on: %s", segment.path, columns.read, error)
        files.damaged += 1
        files.unread_decisions += (columns.total or _indexed(segment)) - columns.read


def _indexed(segment: Segment) -> int:
    """How many decisions a damaged file had, by its index; 0 where that is damaged too."""
    try:
        return len(Sidecar(segment.beside(".qx").read_bytes()))
    except (JournalError, OSError):
        return 0
