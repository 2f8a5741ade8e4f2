"""The log that the benchmark draws is one that replay reads as it reads any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.decisions import replay
from quorate.codecs.lookup import JournalReader
from quorate.home import Home


def test_a_drawn_log_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(replay, "PER_FILE", 100)
    replay.make(tmp_path, 450)
    assert len(JournalReader(Home(tmp_path).journal).files()) == 5
    found = [replay.ask(tmp_path, question) for question in replay.QUESTIONS.values()]
    assert [(each["method"], each["used"]) for each in found] == [("exact", 450), ("off-policy", 450)]
    one = next(JournalReader(Home(tmp_path).journal).decisions())
    assert (one.endpoint, one.outputs.shape, one.propensities) == ("digits", (1, 5, 10), (0.5, 0.5))
    single = replay.ask(tmp_path, {"strategy": "one"})
    assert 0.1 < single["value"] < found[0]["value"]
