"""``quorate journal`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.cli import main
from quorate.codecs import decision as decision_codec
from quorate.codecs import parquet, snapshot
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.snapshot import JournalSettings, Routing, ShipSettings
from quorate.control.journal import compact
from quorate.control.journal.ingest import ingest_lock
from quorate.core.types import Decision
from quorate.ids import DecisionId


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


@pytest.fixture
def kept(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with one finished segment."""
    monkeypatch.setattr(compact, "SMALL", 0)
    id_ = DecisionId(1_700_000_000_000, 0, 0, 0)
    decision = Decision(
        str(id_), "main", 1, 0, "policy", 1.0, 0.1, 5.0, {}, ("s",), (1.0,), "s", "s", (),
        np.zeros((1, 0, 2), "f4"), np.zeros((1, 0), "i1"), None, False, 1, b"\xab",
    )  # fmt: skip
    path = project.home.journal / "0" / segment_name(0, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(
        encode_header(Header(0, 0, 0, 1, 7))
        + encode_record(RecordKind.DECISION, 0, decision_codec.encode(decision), 7)
        + encode_record(RecordKind.SEAL, 1, b"", 7)
    )
    return project


@pytest.mark.skipif(not parquet.available(), reason="needs the extra arrow")
def test_compact_ship_status_and_prune(kept: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ("--project", str(kept.home.root))
    there = tmp_path / "there"
    assert _run(capsys, "journal", "compact", *folder) == (0, "1 segments were compacted.\n", "")
    assert _run(capsys, "journal", "compact", *folder) == (0, "0 segments were compacted.\n", "")
    code, out, _ = _run(capsys, "decisions", "show", str(DecisionId(1_700_000_000_000, 0, 0, 0)), *folder)
    assert code == 0
    assert "input_digest" in out
    code, _, err = _run(capsys, "journal", "ship", *folder)
    assert code == 2
    assert "set journal.ship" in err
    settings = JournalSettings(keep_bytes=1, keep_until_shipped=True, ship=ShipSettings(to=str(there)))
    snapshot.write(kept.home.snapshot, Routing(1, journal=settings))
    assert _run(capsys, "journal", "prune", *folder)[1] == "0 files (0 bytes) were deleted; 1 are held back.\n"
    assert _run(capsys, "journal", "ship", *folder) == (0, "2 files were shipped.\n", "")
    assert _run(capsys, "journal", "pin", "p", "--since", "2020-01-31", *folder)[0] == 0
    assert _run(capsys, "journal", "prune", *folder)[1].startswith("0 files")
    code, out, _ = _run(capsys, "journal", "status", "--json", *folder)
    shown = json.loads(out)
    assert code == 0
    assert [(f["slot"], f["kind"], f["files"]) for f in shown["files"]] == [(0, "columns", 1)]
    assert (shown["kept"]["compacted"], shown["kept"]["shipped"], shown["kept"]["held"]) == (1, 2, 1)
    assert [p["name"] for p in shown["pins"]] == ["p"]
    code, out, _ = _run(capsys, "journal", "status", *folder)
    assert "segments compacted" in out
    assert "2020-01-31T00:00:00+00:00" in out
    assert _run(capsys, "journal", "unpin", "p", *folder)[0] == 0
    assert _run(capsys, "journal", "unpin", "p", *folder)[0] == 2
    assert _run(capsys, "journal", "prune", *folder)[1].startswith("1 files")
    assert len(list((there / "0").iterdir())) == 2
    code, out, _ = _run(capsys, "doctor", "--json", *folder)
    assert not [f for f in json.loads(out)["findings"] if f["area"] == "journal" and f["level"] == "fail"]


def test_a_failure_to_ship_is_told_and_found_by_doctor(
    kept: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ("--project", str(kept.home.root))
    (tmp_path / "file").touch()
    settings = JournalSettings(compact=False, ship=ShipSettings(to=str(tmp_path / "file" / "x")))
    snapshot.write(kept.home.snapshot, Routing(1, journal=settings))
    code, out, err = _run(capsys, "journal", "ship", *folder)
    assert (code, out) == (1, "0 files were shipped.\n")
    assert "Not all could be" in err
    _, out, _ = _run(capsys, "doctor", "--json", *folder)
    told = [f["finding"] for f in json.loads(out)["findings"] if f["area"] == "journal" and f["level"] == "warn"]
    assert any("Shipping fails (1 times so far" in each for each in told)


def test_while_control_runs_it_does_this(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with ingest_lock(kept.home):
        code, _, err = _run(capsys, "journal", "prune", "--project", str(kept.home.root))
    assert code == 2
    assert "does this by itself" in err


def test_a_wrong_time_is_a_sentence(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "journal", "pin", "p", "--since", "tomorrow", "--project", str(kept.home.root))
    assert code == 2
    assert "got 'tomorrow'" in err
