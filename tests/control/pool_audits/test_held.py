"""Audits of a file of held-out outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs import held as codec
from quorate.codecs.held import HeldOutputs
from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.run import audit_held
from quorate.errors import FormatRefused, InvalidInput

from .conftest import outputs


def audit(project: Any, path: Path, **asked: Any) -> Answer:
    return audit_held(Question("main", **asked), path, project.home, project.registry, SystemClock())


def written(folder: Path, held: HeldOutputs) -> Path:
    path = folder / "held.npz"
    path.write_bytes(codec.encode(held))
    return path


def test_members_are_found_by_name(project: Any, tmp_path: Path) -> None:
    project.apply()
    scores, truth = outputs(500)
    noise = np.full((500, 1, 2), 0.5, np.float32)
    mixed = np.concatenate([scores[:, [2]], noise, scores[:, [0]], scores[:, [1]]], axis=1)
    found = audit(project, written(tmp_path, HeldOutputs(("c", "z", "a", "b"), ("no", "yes"), mixed, truth)))
    assert (found.source, found.rows, found.counts) == ("held.npz", 500, None)
    assert found.recommended.drop[0] == "c"
    assert any("No member has seen" in each for each in found.assumptions)


def test_rows_of_a_group_belong_together_and_many_are_thinned(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply()
    scores, truth = outputs(400)
    held = HeldOutputs(("a", "b", "c"), ("no", "yes"), scores, truth, group=np.arange(400) // 4)
    path = written(tmp_path, held)
    assert audit(project, path).decisions == 100
    monkeypatch.setattr("quorate.control.pool_audits.held.MOST", 200)
    found = audit(project, path)
    assert (found.rows, found.thinned) == (200, 0.5)


def test_files_that_do_not_fit(project: Any, tmp_path: Path) -> None:
    project.apply()
    scores, truth = outputs(100)
    with pytest.raises(InvalidInput, match="has no outputs of 'c'"):
        audit(project, written(tmp_path, HeldOutputs(("a", "b"), ("no", "yes"), scores[:, :2], truth)))
    with pytest.raises(InvalidInput, match=r"about the classes \[0, 1\]"):
        audit(project, written(tmp_path, HeldOutputs(("a", "b", "c"), ("0", "1"), scores, truth)))
    with pytest.raises(InvalidInput, match="cannot be read"):
        audit(project, tmp_path / "nowhere.npz")
    (tmp_path / "broken.npz").write_bytes(b"no")
    with pytest.raises(FormatRefused, match=r"broken\.npz is not an archive"):
        audit(project, tmp_path / "broken.npz")
