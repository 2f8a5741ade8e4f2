"""Rings: where a worker's newest records lie until its segment on the disk has them.

A ring is a file of bounded size in a file system that is memory (tmpfs), with the header of a segment and then records
as segments hold them, each overwritten once the disk has it. It outlives its worker, however that ends. The link
``journal/<slot>/<boot>-0000000000000.ring`` says where it is; a ring is locked while its worker lives, and gone with
its link when that closed its journal in good order. After a NUL at its end it tells where its link is.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quorate.codecs.journal import (
    HEADER_SIZE,
    Header,
    Record,
    RecordKind,
    decision_in,
    encode_header,
    encode_record,
    parse_stem,
    scan,
    segment_name,
)
from quorate.codecs.sidecar import Sidecar
from quorate.errors import JournalError

log = logging.getLogger("quorate.journal")

SUFFIX = ".ring"
PREFIX = "quorate-"
"""What the names of rings begin with, in a folder that others use as well."""
FORSAKEN_S = 86_400.0
TEMPORARY = ".rescue-"


def link_of(folder: Path, boot: int) -> Path:
    """The link to a boot's ring, in the folder of its slot."""
    return (folder / segment_name(boot, 0)).with_suffix(SUFFIX)


def find(folder: Path, boot: int, sequence: int) -> bytes | None:
    """The payload of a decision that is in its boot's ring, or was before others took its place; else None."""
    try:
        data = link_of(folder, boot).read_bytes()
        header = scan(data[:HEADER_SIZE]).header
    except (OSError, JournalError):
        return None
    return None if header is None else decision_in(data, sequence, header.salt)


def newest(folder: Path) -> dict[int, list[Record]]:
    """What the rings of a slot hold, by boot and in order of sequence, much of which segments have as well."""
    found: dict[int, list[Record]] = {}
    for link in folder.glob(f"*{SUFFIX}"):
        name = parse_stem(link.name)
        with suppress(OSError, JournalError):
            if name is not None:
                found[name[0]] = sorted(scan(link), key=lambda record: record.sequence)
    return found


def rescue(folder: Path, now: float) -> int:
    """Bring to the disk what killed workers of a slot left in their rings; the number of records.

    They become a sealed segment of their boot, created at ``now`` (Unix seconds); files that are there are not touched.
    ``OSError``, after which the rings are still there.
    """
    rescued = 0
    if not folder.is_dir():
        return 0
    for link in sorted(folder.glob(f"*{SUFFIX}")):
        name = parse_stem(link.name)
        if name is None:
            continue
        with _held(link) as ring:
            if ring is not None:
                rescued += _rescue(folder, name[0], ring, now)
                remove(link)
                continue
        if not link.exists() and link.is_symlink():
            log.error("The ring %s is gone, with what its worker had not brought to the disk yet.", link.readlink())
            link.unlink(missing_ok=True)
    return rescued


def remove(link: Path) -> None:
    """Delete a ring, its link first: a link without a ring would say that records were lost."""
    with suppress(OSError):
        target = link.readlink()
        link.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def sweep(memory: Path, now: float) -> None:
    """Delete rings whose link is gone, with its project, and that nobody has written to for a day."""
    for path in memory.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            stat = path.stat(follow_symlinks=False)
            if stat.st_uid != os.getuid() or now - stat.st_mtime < FORSAKEN_S:
                continue
        with _held(path) as ring:
            if ring is None:
                continue
            link = Path(os.fsdecode(ring.rpartition(b"\0")[2]))
            with suppress(OSError):
                if not (link.is_symlink() and link.readlink() == path):
                    path.unlink()


@contextmanager
def _held(link: Path) -> Iterator[bytes | None]:
    """The bytes of a ring that no worker has, which none can take while the block runs; None where there is none."""
    try:
        descriptor = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                data: bytes | None = file.read()
        except OSError:
            data = None
        yield data
    finally:
        os.close(descriptor)


def _rescue(folder: Path, boot: int, ring: bytes, now: float) -> int:
    header = scan(ring[:HEADER_SIZE]).header
    if header is None:
        return 0
    known = _last(folder, boot)
    found = {record.sequence: record for record in scan(ring) if record.sequence > known}
    if not found:
        return 0
    records = [found[sequence] for sequence in sorted(found)]
    _write(folder / segment_name(boot, records[0].sequence), header, records, now)
    log.warning("%d records that a killed worker had not brought to the disk were found in its ring.", len(records))
    return len(records)


def _write(path: Path, header: Header, records: list[Record], now: float) -> None:
    parts = [encode_header(header._replace(first=records[0].sequence, created=int(now * 1e9)))]
    parts += [encode_record(each.kind, each.sequence, each.payload, header.salt) for each in records]
    parts.append(encode_record(RecordKind.SEAL, records[-1].sequence + 1, b"", header.salt))
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    temporary.write_bytes(b"".join(parts))
    temporary.replace(path)


def _last(folder: Path, boot: int) -> int:
    """The newest sequence that the boot's segments hold, or held before they were deleted; -1 where there is none."""
    newest = [-1]
    for path in folder.glob(f"{boot:07d}-*"):
        name = parse_stem(path.name)
        if name is not None:
            newest.append(name[1] - 1)
        if path.suffix == ".qj":
            newest += [record.sequence for record in scan(path) if record.kind != RecordKind.SEAL]
        elif path.suffix == ".qx":
            newest.append(Sidecar(path.read_bytes()).newest)
    return max(newest)
