"""Somebody else's networks, imported as the example's README says and served: real photographs in, dishes out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "food11"
DATA = Path(os.environ.get("QUORATE_DATA") or ROOT.parent / "shared" / "data")
PHOTOGRAPHS = DATA / "images" / "food_slices"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ((DATA / "pretrained" / "food11_mobilenetv2").is_dir() and PHOTOGRAPHS.is_dir()),
        reason=f"no weights and photographs in {DATA}; see examples/food11",
    ),
]


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A copy of the example after the commands that its README shows."""
    project = tmp_path / "food11"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
    (commands,) = re.findall(r"^```bash\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.S | re.M)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=project,
        env={**os.environ, "QUORATE_DATA": str(DATA), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["static:1", "dynamic:1", "quorate.yaml is right: 1 endpoint over 1 pool."]
    return project


def test_photographs_are_answered_alike_alone_and_together(imported: Path, server: Any) -> None:
    started = server(imported, "--workers", "1")
    url = f"{started.url}/v1/endpoints/food11/predict"
    dishes = {
        "indian_dessert/jalebi.jpg": "Noodles/Pasta",  # what it looks like to the networks; it is a dessert
        "templates/food/09/001.png": "Soup",
        "templates/food/10/002.png": "Vegetable/Fruit",
        "templates/food/05/002.png": "Meat",
    }
    pictures = [(PHOTOGRAPHS / name).read_bytes() for name in dishes]
    answers = []
    for picture, label in zip(pictures, dishes.values(), strict=True):
        answer = started.http.post(url, content=picture, headers={"content-type": "image/*"}).json()
        assert answer["predictions"][0]["label"] == label
        assert (answer["strategy"], answer["degraded"], answer["missing"]) == ("soft-vote", False, [])
        answers.append(answer["predictions"][0])
    files = [("file", (str(index), picture)) for index, picture in enumerate(pictures)]
    together = started.http.post(url, files=files).json()["predictions"]
    assert together == answers  # although one network was quantised dynamically
    for strategy in ("static-alone", "dynamic-alone"):
        content = {"content": pictures[1], "headers": {"content-type": "image/png"}, "params": {"strategy": strategy}}
        answer = started.http.post(url, **content).json()
        assert answer["strategy"] == strategy
        assert answer["predictions"][0]["probabilities"] != answers[1]["probabilities"]
    shown = re.search(r"^  (curl .*)$", started.log(), re.M)
    assert shown is not None
    assert "content-type: image/jpeg" in shown[1]
    done = subprocess.run(["bash", "-c", shown[1]], cwd=Path.cwd(), capture_output=True, text=True, check=False)
    assert '"label":"Vegetable/Fruit"' in done.stdout, done.stderr
