"""Out-of-fold outputs are kept where an audit finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorate.codecs import held
from quorate.training import kept


def test_they_are_kept_and_no_more_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = np.random.default_rng(0).dirichlet(np.ones(3), (40, 2)).astype(np.float32)
    truth = np.arange(40) % 3
    path = kept.keep(tmp_path / "registry", "stacked", ["a", "b"], ["x", "y", "z"], outputs, truth)
    assert path == tmp_path / "held" / "stacked.npz"
    found = held.decode(path.read_bytes())
    assert (found.members, found.outputs.shape) == (("a", "b"), (40, 2, 3))
    monkeypatch.setattr(kept, "MOST_BYTES", 10 * outputs[0].nbytes)
    found = held.decode(
        kept.keep(tmp_path / "registry", "stacked", ["a", "b"], ["x", "y", "z"], outputs, truth).read_bytes()
    )
    assert found.truth.tolist() == truth[::4].tolist()
    assert [each.name for each in path.parent.iterdir()] == ["stacked.npz"]
