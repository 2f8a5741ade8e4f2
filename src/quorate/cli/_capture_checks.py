"""What ``quorate doctor`` looks at in captured inputs and erasures."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.cli._patient import Finding, Patient
from quorate.codecs.capture_reader import CaptureReader, Losses, read_segment
from quorate.control.captures.keeping import held
from quorate.store.database import schema_versions
from quorate.store.erasures import OPEN, erasures


def captures(patient: Patient) -> Iterator[Finding]:
    """What is kept of inputs, whether it can be read, and erasures that are not done."""
    area, found = "captures", held(patient.home)
    reader = CaptureReader(patient.home.captures)
    for each in found:
        losses = Losses()
        count = sum(1 for segment in reader.files(each.endpoint) for _ in read_segment(segment.path, losses))
        if losses.damaged or losses.unreadable:
            yield Finding(
                area,
                "warn",
                f"Of the captured inputs of '{each.endpoint}' {losses.damaged} bytes are damaged and "
                f"{losses.unreadable} records cannot be read.",
                "Nothing: what is intact is used. An erasure cannot search them.",
            )
        if each.files and not each.declared:
            days = "for ever" if each.keep_days is None else f"{each.keep_days:g} days"
            yield Finding(
                area,
                "warn",
                f"'{each.endpoint}' captures nothing any more; {each.size} bytes of inputs are kept, each {days}.",
                f"Delete {reader.folder(each.endpoint)} if they are not needed.",
            )
        if each.files:
            yield Finding(area, "ok", f"{count} inputs of '{each.endpoint}' are kept, in {each.size} bytes.")
    if patient.database.version() != schema_versions()[-1]:
        return
    with patient.database.read() as connection:
        waiting = erasures(connection, states=OPEN)
    for one in waiting:
        why = one.error or f"it is {one.state}"
        yield Finding(
            area,
            "warn",
            f"The erasure {one.id} of a subject of '{one.endpoint}' is not done: {why}.",
            "Start the server, or run `quorate erase` again; each goes on with what is not done.",
        )
