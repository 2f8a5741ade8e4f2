from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).parent / "crash_driver.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills")


def drive(mode: str, root: Path, *more: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(DRIVER), mode, str(root / "registry"), *more], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_kill_at_every_touch_of_the_disk_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    found = drive("points", tmp_path)
    assert found["kills"] > 20
    assert found["versions"] > 1


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments_leave_the_old_or_the_new_state(tmp_path: Path, seed: int) -> None:
    assert drive("random", tmp_path, str(seed))["kills"] == 40


def test_concurrent_registers_get_distinct_consecutive_versions(tmp_path: Path) -> None:
    assert drive("concurrent", tmp_path) == {"versions": 40}


def test_a_write_the_system_refuses_leaves_the_old_state(tmp_path: Path) -> None:
    assert drive("limited", tmp_path) == {"versions": 1}
