"""Segments become columns: only finished ones, exactly, and whatever is killed when."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs import change as change_codec
from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.change import Change
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, scan, segment_name
from quorate.codecs.lookup import JournalReader, Segment
from quorate.codecs.snapshot import JournalSettings
from quorate.control.journal.compact import compact, finished, sweep
from quorate.core.types import Decision, Outcome
from quorate.errors import JournalError
from quorate.ids import DecisionId
from quorate.serving.journal import Journal
from quorate.serving.segments import SegmentFile
from quorate.store.ledger import Progress

pytest.importorskip("pyarrow")

SALT = 5


def decision(sequence: int, *, boot: int = 0) -> Decision:
    rng = np.random.default_rng(sequence)
    return Decision(
        str(DecisionId(1000 + sequence, 0, boot, sequence)), "e", 1, 0, "policy", 1.0, 0.0, 1.0, {"n": sequence},
        ("s",), (1.0,), "s", "s", (), rng.random((2, 0, 2)).astype("f4"), np.zeros((2, 0), "i1"),
        rng.random((2, 2)).astype("f4"), False, 2, b"x", classes=("no", "yes"),
    )  # fmt: skip


def segment(root: Path, count: int = 6, *, first: int = 0, boot: int = 0, sealed: bool = True) -> Segment:
    """A segment of decisions, with an outcome after each third one."""
    path = root / "0" / segment_name(boot, first)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = encode_header(Header(0, boot, first, 1, SALT))
    for sequence in range(first, first + count):
        if (sequence - first) % 3 == 2:
            payload = outcome_codec.encode(Outcome(decision(first).id, 0, "yes", at=1.0 * sequence))
            data += encode_record(RecordKind.OUTCOME, sequence, payload, SALT)
        else:
            payload = decision_codec.encode(decision(sequence, boot=boot))
            data += encode_record(RecordKind.DECISION, sequence, payload, SALT)
    path.write_bytes(data + (encode_record(RecordKind.SEAL, first + count, b"", SALT) if sealed else b""))
    return Segment(0, boot, first, path)


def test_a_change_is_not_kept_in_columns(tmp_path: Path) -> None:
    """Control has it in the audit trail by then: only what was ingested is compacted."""
    found = segment(tmp_path, sealed=False)
    asked = change_codec.encode(Change(1.0, "key k1", "model.unload", "digits"))
    before = found.path.stat().st_size
    with found.path.open("ab") as file:
        file.write(encode_record(RecordKind.CHANGE, 6, asked, SALT) + encode_record(RecordKind.SEAL, 7, b"", SALT))
    assert not finished(found, Progress(1, before))
    done = compact(found)
    assert (done.decisions, done.outcomes) == (4, 2)
    assert not found.path.exists()


def read(path: Path) -> Progress:
    found = scan(path)
    for _ in found:
        pass
    assert found.header is not None
    return Progress(found.header.created, found.end, found.sealed)


def test_a_compacted_segment_is_found_as_before(tmp_path: Path) -> None:
    one, other = segment(tmp_path), segment(tmp_path, first=6)
    reader = JournalReader(tmp_path)
    ids = [decision(i).id for i in (0, 1, 3, 4, 6, 7, 9, 10)]
    before = [reader.find(id_) for id_ in ids]
    outlines = [reader.outline(id_) for id_ in ids]
    made = compact(one)
    assert (made.decisions, made.outcomes) == (4, 2)
    assert made.after == sum(path.stat().st_size for path in (tmp_path / "0").iterdir() if path.suffix != ".qj")
    assert sorted(path.name for path in (tmp_path / "0").iterdir()) == [
        "0000000-0000000000000.outcomes.parquet",
        "0000000-0000000000000.parquet",
        "0000000-0000000000000.qx",
        "0000000-0000000000006.qj",
    ]
    for fresh in (reader, JournalReader(tmp_path)):  # the first has the old list in mind
        after = [fresh.find(id_) for id_ in ids]
        assert [decision_codec.encode(d) for d in after if d] == [decision_codec.encode(d) for d in before if d]
        assert [fresh.outline(id_) for id_ in ids] == outlines
        assert fresh.find(str(DecisionId(1001, 0, 0, 0))) is None
        assert fresh.outline(str(DecisionId(1002, 0, 0, 2))) is None  # an outcome's sequence
    assert reader.segments() == [other]
    assert [each.compacted for each in reader.files()] == [True, False]
    assert {found.id for found in before if found} <= {each.id for each in reader.decisions()}
    told = list(columnar.read_outcomes(one.beside(".outcomes.parquet")))
    assert [(sequence, o.at) for sequence, o in told] == [(2, 2.0), (5, 5.0)]


def test_an_outline_needs_no_parquet(tmp_path: Path) -> None:
    compact(segment(tmp_path))
    program = f"""
        import sys
        from pathlib import Path
        from quorate.codecs.lookup import JournalReader
        import quorate.serving.outcomes
        assert JournalReader(Path({str(tmp_path)!r})).outline({decision(1).id!r}).classes == ("no", "yes")
        assert not [name for name in sys.modules if name.startswith("pyarrow")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_only_what_is_complete_and_ingested_is_finished(tmp_path: Path) -> None:
    sealed, open_ = segment(tmp_path), segment(tmp_path, first=6, sealed=False)
    assert not finished(sealed, None)
    assert finished(sealed, read(sealed.path))
    whole = read(open_.path)
    assert not finished(sealed, Progress(2, 10**6, sealed=True))  # that was another journal, in this place
    newest = list(scan(open_.path))[-1]
    assert not finished(open_, Progress(1, newest.offset))  # a record is not ingested yet
    with open_.path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a worker does that writes to it
        assert not finished(open_, whole)
    assert finished(open_, whole)  # that worker is gone
    with open_.path.open("ab") as file:
        file.write(b"torn")
    assert finished(open_, whole)
    empty = tmp_path / "0" / segment_name(1, 0)
    empty.write_bytes(b"QJ")
    assert not finished(Segment(0, 1, 0, empty), Progress(0, 0))


def test_a_worker_locks_the_segment_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.qj"
    file = SegmentFile(path)
    with path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    file.close()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_damage_and_newer_records_keep_a_segment_as_it_is(tmp_path: Path) -> None:
    damaged = segment(tmp_path)
    data = bytearray(damaged.path.read_bytes())
    data[100] ^= 1
    damaged.path.write_bytes(data)
    with pytest.raises(JournalError, match="damaged"):
        compact(damaged)
    newer = segment(tmp_path, first=6)
    record = encode_record(RecordKind.DECISION, 99, b"\x63from the future", SALT)
    newer.path.write_bytes(segment(tmp_path, first=6, sealed=False).path.read_bytes() + record)
    with pytest.raises(JournalError, match="version 99"):
        compact(newer)
    assert sorted(p.name for p in (tmp_path / "0").iterdir()) == [damaged.path.name, newer.path.name]


def test_a_torn_tail_is_left_out_and_the_age_is_kept(tmp_path: Path) -> None:
    torn = segment(tmp_path, sealed=False)
    with torn.path.open("ab") as file:
        file.write(encode_record(RecordKind.DECISION, 7, b"never finished", SALT)[:-3])
    os.utime(torn.path, (1000.0, 2000.0))
    assert compact(torn).decisions == 4
    assert torn.beside(".parquet").stat().st_mtime == 2000.0


def test_a_boot_whose_segments_are_columns_is_not_begun_again(tmp_path: Path) -> None:
    compact(segment(tmp_path, boot=4))
    journal = Journal(tmp_path, 0, JournalSettings(ring=None), SystemClock(), print)
    assert journal.boot == 5


KILLED = """
    import os, sys
    from pathlib import Path
    from quorate.codecs import parquet
    from quorate.codecs.lookup import JournalReader
    from quorate.control.journal.compact import compact

    parquet.arrow()

    def child(root, left):
        segments = JournalReader(root).segments()

        def watch(event, args):
            nonlocal left
            touches = event in ("os.rename", "os.remove", "os.utime") or (event == "open" and "w" in str(args[1]))
            if touches and str(root) in str(args[0]):
                if left == 0:
                    os._exit(77)
                left -= 1

        sys.addaudithook(watch)
        for each in segments:
            compact(each)

    for k in range(int(sys.argv[2])):
        pid = os.fork()
        if pid == 0:
            try:
                child(Path(sys.argv[1]) / str(k), k)
            except BaseException:
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.timeout(120)
def test_killed_before_any_touch_of_the_disk_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """One process after another is killed before its first, second … operation; each folder is then mended."""
    many = 24
    wanted = [decision(i).id for i in (0, 1, 3, 4)]
    for k in range(many):
        segment(tmp_path / str(k))
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), str(many)]
    codes = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    kills = codes.count("77")
    assert codes == ["77"] * kills + ["0"] * (many - kills)
    assert 8 < kills < many
    for k in range(kills + 1):
        root = tmp_path / str(k)
        reader = JournalReader(root)
        assert all(reader.find(id_) is not None for id_ in wanted)
        assert len(reader.files()) == 1
        sweep(root / "0")
        for left in reader.segments():
            compact(left)
        assert len(list((root / "0").iterdir())) == 3
        found = [d.id for each in reader.files() for _, d in columnar.read_decisions(each.path)]
        assert found == wanted
        told = [s for each in reader.files() for s, _ in columnar.read_outcomes(each.beside(".outcomes.parquet"))]
        assert told == [2, 5]
