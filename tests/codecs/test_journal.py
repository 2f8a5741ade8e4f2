"""Segments: every complete record of any prefix is read, none is invented, damage is skipped and reported."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.codecs.journal import (
    FORMAT,
    HEADER_SIZE,
    MAX_RECORD,
    OVERHEAD,
    Damage,
    Header,
    RecordKind,
    encode_header,
    encode_record,
    parse_name,
    scan,
    segment_name,
)
from quorate.errors import JournalError, TooLarge
from quorate.ids import MAX_BOOT, MAX_SEQUENCE

HEADER = Header(slot=3, boot=7, first=100, created=1_700_000_000_000_000_000, salt=0xDEADBEEF)
PAYLOADS = [b"", b"a", b"decision " * 5, bytes(range(256)), b"\x00" * 40, b"last one"]


def records(payloads: list[bytes] = PAYLOADS, *, first: int = 100, salt: int = HEADER.salt) -> list[bytes]:
    kinds = (RecordKind.DECISION, RecordKind.OUTCOME)
    return [encode_record(kinds[i % 2], first + i, payload, salt) for i, payload in enumerate(payloads)]


def segment(payloads: list[bytes] = PAYLOADS) -> bytes:
    return encode_header(HEADER) + b"".join(records(payloads))


def test_reads_back_what_was_written() -> None:
    found = scan(segment())
    read = list(found)
    assert [r.payload for r in read] == PAYLOADS
    assert [r.sequence for r in read] == [100, 101, 102, 103, 104, 105]
    assert [r.kind for r in read] == [1, 2, 1, 2, 1, 2]
    assert found.header == HEADER
    assert found.damage == []
    assert (found.end, found.tail, found.sealed) == (len(segment()), 0, False)
    assert next((r.offset, r.end) for r in read) == (HEADER_SIZE, HEADER_SIZE + OVERHEAD)


def test_a_cut_at_every_byte_yields_the_complete_records_and_no_other() -> None:
    whole = segment()
    ends = [r.end for r in scan(whole)]
    for cut in range(len(whole) + 1):
        found = scan(whole[:cut])
        read = list(found)
        complete = sum(end <= cut for end in ends)
        assert [r.payload for r in read] == PAYLOADS[:complete], cut
        assert found.damage == []
        if cut >= HEADER_SIZE:
            assert found.end == (ends[complete - 1] if complete else HEADER_SIZE)
            assert found.tail == cut - found.end
        else:
            assert (found.header, found.end, found.tail) == (None, 0, 0)


def test_reading_goes_on_where_it_ended_at_every_cut() -> None:
    whole = segment()
    for cut in range(len(whole)):
        first = scan(whole[:cut])
        before = list(first)
        after = list(scan(whole, first.end))
        assert [r.payload for r in before + after] == PAYLOADS


def test_a_flipped_bit_costs_one_record_and_is_reported() -> None:
    whole = segment()
    extents = [(r.offset, r.end) for r in scan(whole)]
    for position in range(HEADER_SIZE, len(whole)):
        for bit in (0, 3, 7):
            broken = bytearray(whole)
            broken[position] ^= 1 << bit
            found = scan(bytes(broken))
            read = [r.payload for r in found]
            hit = next(i for i, (start, end) in enumerate(extents) if start <= position < end)
            assert read == PAYLOADS[:hit] + PAYLOADS[hit + 1 :], (position, bit)
            start, end = extents[hit]
            if hit + 1 < len(extents):
                assert found.damage == [Damage(start, end - start)]
            else:  # nothing valid behind it: the same as a torn tail
                assert (found.damage, found.tail) == ([], end - start)


def test_a_flipped_bit_in_the_header_loses_no_record_unless_it_hits_the_salt() -> None:
    whole = segment()
    salt = range(HEADER_SIZE - 8, HEADER_SIZE - 4)
    for position in range(HEADER_SIZE):
        broken = bytearray(whole)
        broken[position] ^= 1
        found = scan(bytes(broken))
        assert [r.payload for r in found] == ([] if position in salt else PAYLOADS)
        assert found.damage[0] == Damage(0, HEADER_SIZE)


def test_garbage_between_records_is_skipped() -> None:
    parts = records()
    garbage = bytes(range(1, 200)) * 20
    found = scan(encode_header(HEADER) + parts[0] + garbage + b"".join(parts[1:]))
    assert [r.payload for r in found] == PAYLOADS
    assert found.damage == [Damage(HEADER_SIZE + len(parts[0]), len(garbage))]


def test_a_record_after_more_garbage_than_one_search_window_is_found() -> None:
    parts = records()
    garbage = b"\xff" * ((1 << 20) + 5)
    found = scan(encode_header(HEADER) + parts[0] + garbage + parts[2])
    assert [r.sequence for r in found] == [100, 102]


def test_bytes_that_imitate_a_record_in_a_damaged_payload_are_not_one() -> None:
    fake = records([b"invented"], first=101, salt=0)
    parts = [
        encode_record(RecordKind.DECISION, 100, fake[0] * 3, HEADER.salt),
        encode_record(RecordKind.DECISION, 101, b"real", HEADER.salt),
    ]
    broken = bytearray(encode_header(HEADER) + b"".join(parts))
    broken[HEADER_SIZE] ^= 1  # its length
    assert [r.payload for r in scan(bytes(broken))] == [b"real"]


def test_nothing_is_read_behind_a_seal() -> None:
    seal = encode_record(RecordKind.SEAL, 101, b"", HEADER.salt)
    found = scan(encode_header(HEADER) + records()[0] + seal + records()[1])
    assert [r.kind for r in found] == [RecordKind.DECISION, RecordKind.SEAL]
    assert found.sealed


@pytest.mark.parametrize("length", [0, 8, MAX_RECORD + 1, 0xFFFFFFFF])
def test_lengths_out_of_bounds_are_no_records(length: int) -> None:
    body = struct.pack("<BQ", 1, 100)[: max(length, 0)]
    record = struct.pack("<II", length, zlib.crc32(body, HEADER.salt)) + body
    found = scan(encode_header(HEADER) + record + b"\x00" * 64)
    assert list(found) == []
    assert found.end == HEADER_SIZE


def test_a_newer_format_is_refused() -> None:
    raw = bytearray(encode_header(HEADER))
    raw[4:6] = struct.pack("<H", FORMAT + 1)
    raw[-4:] = struct.pack("<I", zlib.crc32(bytes(raw[:-4])))
    with pytest.raises(JournalError, match=r"format 2; this release reads \(1,\)"):
        list(scan(bytes(raw)))


def test_a_path_reads_like_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.qj"
    path.write_bytes(segment())
    middle = list(scan(segment()))[2].offset
    assert list(scan(path)) == list(scan(segment()))
    assert list(scan(path, middle)) == list(scan(segment(), middle)) == list(scan(segment()))[2:]


def test_a_record_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.codecs.journal.MAX_RECORD", 100)
    encode_record(RecordKind.DECISION, 0, b"x" * 91, 0)
    with pytest.raises(TooLarge, match="may have 100 bytes; got 101"):
        encode_record(RecordKind.DECISION, 0, b"x" * 92, 0)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 2**32 - 1))
def test_random_bytes_hold_no_records(noise: bytes, salt: int) -> None:
    assert list(scan(encode_header(HEADER._replace(salt=salt)) + noise)) == []


@given(st.integers(0, MAX_BOOT), st.integers(0, MAX_SEQUENCE), st.integers(0, MAX_BOOT), st.integers(0, MAX_SEQUENCE))
def test_names_round_trip_and_sort_in_order(boot: int, first: int, other_boot: int, other_first: int) -> None:
    name, other = segment_name(boot, first), segment_name(other_boot, other_first)
    assert parse_name(name) == (boot, first)
    assert (name < other) == ((boot, first) < (other_boot, other_first))


@pytest.mark.parametrize(
    "name", ["", "1-2.qj", ".qj", "0000001-0000000000002.tmp", "9999999-0000000000000.qj", "a-b.qj"]
)
def test_other_names_are_not_segments(name: str) -> None:
    assert parse_name(name) is None
