"""Promises against rows: ratios within rounds, the worst of several rows, and what was not measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.table import LIMIT, QUORATE, Row, save
from benchmarks.serving.verdict import FIVE, FUSED, Line, render, verdict


def kept(lines: list[Line]) -> dict[tuple[str, str], bool | None]:
    return {(line.what, line.wanted): line.kept for line in lines}


def test_ratios_are_formed_within_rounds(tmp_path: Path) -> None:
    rows = [
        Row("w", QUORATE, "answers", "1/s", (30.0, 200.0, 9.0)),
        Row("w", FIVE, "answers", "1/s", (10.0, 100.0, 9.0)),
        Row("w", FUSED, "answers", "1/s", (30.0, 300.0, 18.0)),
        Row("w", QUORATE, "p99", "ms", (2.0, 2.0, 2.0)),
        Row("w", FIVE, "p99", "ms", (1.0, 2.0, 1.0)),
    ]
    save(rows, "serving-a1", tmp_path)
    assert kept(verdict(tmp_path, ["a1"])) == {
        ("(a) 1 worker, rate", f">= 2 x {FIVE}"): True,
        ("(a) 1 worker, rate", f">= 0.85 x {FUSED}"): False,
        ("(a) 1 worker, p99", f"<= 1 x {FIVE}"): False,
    }


def test_the_worst_row_counts_and_the_place_is_looked_at(tmp_path: Path) -> None:
    rows = [
        Row("100 cycles", QUORATE, "worker 0 (7), slope", "MB/1000 cycles", (0.2,)),
        Row("100 cycles", QUORATE, "control (8), slope", "MB/1000 cycles", (40.0,)),
        Row("100 cycles", QUORATE, "wrong or missing", "", (0.0,)),
    ]
    save(rows, "serving-cycles", tmp_path)
    assert [line.kept for line in verdict(tmp_path, ["cycles"])] == [True, False]
    slow = Row("x, 1 connection", QUORATE, "p50", "ms", (70.0,))
    quick = Row("x, 10 connections", QUORATE, "p50", "ms", (9.0,))
    save([slow, quick], "serving-c-shared", tmp_path)
    assert [line.kept for line in verdict(tmp_path, ["c-shared"])] == [None, True]


def test_a_limit_is_a_system_too(tmp_path: Path) -> None:
    title = "five slow members, 2 cores"
    rows = [
        Row(title, QUORATE, "all members, p50", "ms", (2.2, 2.2)),
        Row(title, LIMIT, "all members, p50", "ms", (2.0,)),
    ]
    save(rows, "serving-h", tmp_path)
    assert [line.kept for line in verdict(tmp_path, ["h"])] == [True, None]


def test_goodput_is_a_share_of_the_peak(tmp_path: Path) -> None:
    save([Row("o", QUORATE, "peak, closed loop", "1/s", (100.0,)), Row("o", QUORATE, "goodput", "1/s", (94.0,))],
         "serving-overload", tmp_path)  # fmt: skip
    found = verdict(tmp_path, ["overload"])
    assert (found[0].found, found[0].kept) == ("0.940", False)


def test_what_was_not_measured_is_neither_kept_nor_broken(tmp_path: Path) -> None:
    found = verdict(tmp_path, ["a1", "f"])
    assert {line.kept for line in found} == {None}
    assert "NO" not in render(found)
