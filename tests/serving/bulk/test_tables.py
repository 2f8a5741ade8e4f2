"""What reading tables brings into a worker."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import UnsupportedMediaType

CODE = """
import sys
from quorate.serving.bulk.tables import load_arrow
from quorate.codecs.batch import ArrowWriter, ParquetWriter
assert "pyarrow" not in sys.modules
load_arrow()
for kind in (ArrowWriter, ParquetWriter):
    writer = kind()
    writer.rows([{"row": 0, "prediction": {"label": "x", "probabilities": {"x": 1.0}}, "decision": "d"}])
    writer.end({})
assert "pandas" not in sys.modules
import pandas
print(pandas.there)
"""


def test_a_worker_that_reads_tables_imports_no_pandas(tmp_path: Path) -> None:
    """Where there is one, that is; afterwards others may import it."""
    (tmp_path / "pandas.py").write_text("there = 'there'\n__version__ = '9'")
    code = f"import sys; sys.path.append({str(tmp_path)!r})\n{CODE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "there"


def test_without_the_extra_tables_are_refused_with_a_sentence(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    form = "application/vnd.apache.arrow.stream"
    for more in ({"form": form}, {"accept": form.encode()}):
        with pytest.raises(UnsupportedMediaType, match="the extra 'arrow'"):
            bench.score(b"[1, 2]", **more)
