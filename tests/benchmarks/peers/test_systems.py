"""A system that cannot be compared says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import systems
from benchmarks.peers.measured import Sample, note, rows


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(systems, "ENVIRONMENTS", tmp_path)
    return tmp_path


def test_a_framework_that_is_not_installed_says_so(environments: Path) -> None:
    assert "not installed: make" in str(systems.framework("It", "bench-it", lambda *_: [], {}).absent)
    (environments / "bench-it").mkdir()
    (environments / "bench-it" / "failed.txt").write_text("a\nERROR: no version fits\n")
    assert systems.framework("It", "bench-it", lambda *_: [], {}).absent == "not installed: ERROR: no version fits"
    (environments / "bench-it" / ".made").touch()
    assert systems.framework("It", "bench-it", lambda *_: [], {}).absent is None


def test_every_peer_has_pinned_requirements() -> None:
    peers = {s.absent.split("/")[1] for s in systems.frameworks({}) if s.absent and "make" in s.absent}
    assert all((Path("requirements") / f"{name}.txt").is_file() for name in peers)


def test_waiting_for_an_answer_ends_with_the_reason() -> None:
    answers = iter([503, 404, 200])
    systems.until_answers(lambda: next(answers), 20)
    with pytest.raises(RuntimeError, match="422"):
        systems.until_answers(lambda: 422, 20)

    def refuse() -> int:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(RuntimeError, match="nobody listens"):
        systems.until_answers(refuse, 0.2)


def test_a_sample_becomes_rows() -> None:
    samples = {"a": [Sample(10, 1, 2, 3, 4, "5/5"), Sample(20, 1, 2, 3)], "b": [Sample(1, 1, 1, 1)]}
    found = rows("w", "answers", "1/s", samples, lambda sample: sample.rate, {"a": note(samples["a"])})
    assert [(row.system, row.runs, row.note) for row in found] == [
        ("a", (10, 20), "4 not 200; connections "),
        ("b", (1,), ""),
    ]
