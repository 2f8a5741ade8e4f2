"""The page on statistics runs, and names every method, verdict and check there is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from quorate.core.stats import compare, guard, methods

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()


def test_what_the_page_shows_runs() -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_the_page_names_all_there_is() -> None:
    names = [*methods.METHODS, *get_args(compare.Verdict), *get_args(compare.Kind), *get_args(guard.Guard)]
    for name in names:
        assert f"`{name}`" in PAGE, name
