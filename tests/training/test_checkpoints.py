"""What an unfinished run keeps is whole, or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorate.training.checkpoints import Checkpoints


def test_arrays_come_back_until_they_are_cleared(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "work" / "abc")
    assert kept.get("fold-1") is None
    kept.put("fold-1", {"outputs": np.arange(6.0).reshape(2, 3)})
    found = Checkpoints(tmp_path / "work" / "abc").get("fold-1")
    assert found is not None
    assert np.array_equal(found["outputs"], np.arange(6.0).reshape(2, 3))
    kept.clear()
    assert kept.get("fold-1") is None
    assert not (tmp_path / "work").exists()
    kept.clear()


def test_clearing_leaves_another_runs_alone(tmp_path: Path) -> None:
    mine, other = Checkpoints(tmp_path / "work" / "a"), Checkpoints(tmp_path / "work" / "b")
    for kept in (mine, other):
        kept.put("x", {"outputs": np.ones(1)})
    mine.clear()
    assert other.get("x") is not None


def test_a_torn_file_counts_as_none(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.put("x", {"outputs": np.arange(1000.0)})
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:700])
    assert kept.get("x") is None
