"""docs/guide.md, followed from the first line to the last, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide.md"


@pytest.mark.slow
def test_the_guide_leads_where_it_says(tmp_path: Path) -> None:
    driver = [sys.executable, str(Path(__file__).with_name("guide_driver.py")), str(PAGE)]
    done = subprocess.run(driver, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert done.stderr.count("Checked against the sample's outputs.") == 3
    for name in ("pipeline", "network", "nearest"):
        assert float(re.findall(rf"^{name} (0\.\d+)", said, re.M)[0]) > 0.85
        assert re.search(rf"^{name} +model", said, re.M)
    assert "quorate.yaml is right: 1 endpoint over 1 pool." in said
    assert "digit.png" in said
    assert '"strategy": "nearest"' in said
    assert re.search(r" by (vote|network-alone) in ", said)
    assert "OutcomeReceipt(accepted=500, duplicate=0, pending=0, rejected=())" in said
    report = said.partition("$ quorate report digits\n")[2]
    shown = PAGE.read_text().partition("```text\n")[2].splitlines()
    assert report.splitlines()[0] == shown[0]
    assert report.splitlines()[1].split() == shown[1].split()
    rows = {line.split()[0]: line.split() for line in report.splitlines()[3:5]}
    assert set(rows) == {"vote", "network-alone"}
    for row in rows.values():
        assert float(row[10]) > 0.9
