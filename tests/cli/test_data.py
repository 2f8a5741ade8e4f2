"""``quorate data`` and ``quorate erase`` from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.cli import main
from quorate.codecs import capture as capture_codec
from quorate.codecs import decision as decision_codec
from quorate.codecs.capture import Capture
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.control.captures.erasing import ask
from quorate.control.journal.ingest import ingest_lock
from quorate.core.types import Decision
from quorate.ids import DecisionId

ID = str(DecisionId(1_700_000_000_000, 0, 0, 0))


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


@pytest.fixture
def kept(project: Any) -> Any:
    """A project with one decision and its captured input."""
    project.apply()
    decision = Decision(
        ID, "main", 1, 0, "policy", 1.0, 0.1, 5.0, {"user": "ann"}, ("s",), (1.0,), "s", "s", (),
        np.zeros((1, 0, 2), "f4"), np.zeros((1, 0), "i1"), np.array([[0.25, 0.75]], "f4"), False, 1, b"\xab",
        classes=("no", "yes"),
    )  # fmt: skip
    capture = Capture(ID, "main", 1, 1.0, 1, 1.0, {"input": np.zeros((1, 4), "f4")}, (), {"user": "ann"})
    payloads = {
        project.home.journal: (RecordKind.DECISION, decision_codec.encode(decision)),
        project.home.captures / "main": (RecordKind.CAPTURE, capture_codec.encode(capture)),
    }
    for folder, (kind, payload) in payloads.items():
        path = folder / "0" / segment_name(0, 0)
        path.parent.mkdir(parents=True)
        end = encode_record(RecordKind.SEAL, 1, b"", 7)
        path.write_bytes(encode_header(Header(0, 0, 0, 1, 7)) + encode_record(kind, 0, payload, 7) + end)
    return project


def test_a_data_set_is_written_and_listed(
    kept: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--project", str(kept.home.root))
    out = tmp_path / "set"
    code, said, noted = _run(capsys, "data", "export", "main", "--out", str(out), "--format", "csv", *where)
    assert (code, said.strip()) == (0, str(out))
    assert "1 rows of 1 decisions, 0 with a truth" in noted
    assert (out / "data.csv").read_text().splitlines()[1].split(",")[0] == ID
    code, said, _ = _run(capsys, "data", "status", "--json", *where)
    shown = json.loads(said)
    assert (shown["captures"][0]["endpoint"], shown["captures"][0]["files"]) == ("main", 1)
    assert (shown["exports"][0]["place"], shown["exports"][0]["rows"]) == (str(out), 1)
    assert "main" in _run(capsys, "data", "status", *where)[1]
    for wrong in (("--format", "xml"), ("--with", "some"), ("--since", "soon"), ("--since", "2999-01-01")):
        code, _, error = _run(capsys, "data", "export", "main", "--out", str(tmp_path / "x"), *wrong, *where)
        assert code == 2
        assert wrong[0] in error
    assert not (tmp_path / "x").exists()


def test_old_inputs_are_pruned(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--project", str(kept.home.root))
    assert "0 files" in _run(capsys, "data", "prune", *where)[1]
    os.utime(kept.home.captures / "main" / "0" / segment_name(0, 0), (1.0, 1.0))
    assert "1 files" in _run(capsys, "data", "prune", *where)[1]
    with ingest_lock(kept.home):
        code, _, error = _run(capsys, "data", "prune", *where)
    assert (code, "by itself" in error) == (2, True)


def test_a_subject_is_erased_without_a_server(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--project", str(kept.home.root))
    code, out, _ = _run(capsys, "erase", "main", "--context", "user=ann", "--dry-run", "--json", *where)
    assert (code, json.loads(out)["decisions"], json.loads(out)["dry_run"]) == (0, 1, True)
    code, out, _ = _run(capsys, "erase", "main", "--context", "user=ann", *where)
    assert code == 0
    assert "decisions blanked" in out
    assert b"ann" not in (kept.home.journal / "0" / segment_name(0, 0)).read_bytes()
    code, out, _ = _run(capsys, "erase", "main", "--decision", ID, "--json", *where)
    assert (code, json.loads(out)["decisions"]) == (0, 0)  # it is erased already
    assert _run(capsys, "erase", "main", *where)[0] == 2
    assert _run(capsys, "erase", "main", "--context", "ann", *where)[0] == 2


def test_where_the_control_process_runs_it_is_waited_for(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--project", str(kept.home.root))
    with ingest_lock(kept.home):
        code, _, noted = _run(capsys, "erase", "main", "--unit", "ann", "--wait-s", "0", *where)
    assert code == 1
    assert "not done" in noted


def test_the_doctor_says_what_is_kept_and_not_done(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = kept.home.captures / "main" / "0" / segment_name(0, 0)
    data = path.read_bytes()
    path.write_bytes(data[:50] + b"?" + data[51:])
    ask(kept.home, kept.database, kept.clock, "main", unit="ann", author="t")
    _, out, _ = _run(capsys, "doctor", "--project", str(kept.home.root), "--json")
    said = [f["finding"] for f in json.loads(out)["findings"] if f["area"] == "captures"]
    assert len(said) == 4
    assert "bytes are damaged" in said[0]
    assert "captures nothing any more" in said[1]
    assert "0 inputs of 'main'" in said[2]
    assert "is not done: it is queued" in said[3]
