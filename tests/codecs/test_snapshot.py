"""Manifests on disk: whole, few, and nobody else's to read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from quorate.codecs import snapshot
from quorate.codecs.snapshot import Routing


def test_the_newest_is_read_and_old_ones_go(tmp_path: Path) -> None:
    for version in range(1, 9):
        snapshot.write(tmp_path, Routing(version=version), keep=3)
    assert snapshot.read(tmp_path) == Routing(version=8)
    assert snapshot.current_version(tmp_path) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CURRENT",
        *(f"routing-{version}.json" for version in (6, 7, 8)),
    ]


def test_other_users_cannot_read_the_secret(tmp_path: Path) -> None:
    snapshot.write(tmp_path, Routing(version=1))
    assert (tmp_path / "routing-1.json").stat().st_mode & 0o077 == 0


def test_what_was_fitted_for_a_strategy_is_its_state_and_its_calibration() -> None:
    state, calibration = {"state.json": "a"}, snapshot.CalibrationRoute("sure", 2, {"state.json": "b"})
    bare = snapshot.StrategyRoute("s", "mean", ("a",), 1)
    assert bare.fitted == ()
    both = msgspec.structs.replace(bare, state=state, calibrate=calibration)
    assert both.fitted == (state, {"state.json": "b"})
