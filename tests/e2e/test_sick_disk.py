"""A worker whose disk is full, fails or stalls: refusals and losses are as documented, and counted exactly."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.faults.disk import configure, run  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def configured(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits project with an endpoint that sheds and one that drops, applied; copy it, never change it."""
    project = tmp_path_factory.mktemp("configured") / "digits"
    shutil.copytree(trained, project)
    configure(project)
    return project


@pytest.mark.parametrize("endpoint", ["shed", "drop"])
@pytest.mark.parametrize("fault", ["full", "fail", "stall", "both", "small"])
def test_what_is_lost_is_counted_and_nothing_else_is_lost(
    configured: Path, tmp_path: Path, fault: str, endpoint: str
) -> None:
    project = tmp_path / "digits"
    shutil.copytree(configured, project)
    found = run(project, fault, endpoint, root=ROOT, seconds=1.0, clients=2)
    if found is None:
        pytest.skip("no file system may be mounted here")
    assert found.faults == []
    if endpoint == "shed":
        assert found.missing == 0
        assert found.refused.total() > 0
    else:
        assert found.refused.total() == 0
        assert found.answered["during"] > 0
        assert found.missing > 0
