from pathlib import Path

import msgspec

from quorate.codecs.snapshot import Limits
from quorate.web.auth import ROLES
from quorate.web.limits import READ_TIMEOUT_S
from quorate.web.problem import TABLE

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
ROWS = [
    [cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")
]


def test_every_problem_is_documented_with_its_status():
    documented = {(row[1], row[0]) for row in ROWS if row[0].isdigit()}
    assert documented == {(code, str(status)) for code, (status, _) in TABLE.items()}


def test_every_role_is_documented():
    assert set(ROLES) <= {row[0] for row in ROWS}


def _size(value):
    return f"{value >> 30} GiB" if value >= 2**30 else f"{value >> 20} MiB"


def test_every_limit_is_documented_with_its_default():
    defaults = {row[2].removeprefix("limits."): row[1] for row in ROWS if len(row) == 4}
    for name, value in msgspec.structs.asdict(Limits()).items():
        shown = _size(value) if name.endswith("_bytes") else f"{value:g} s" if name.endswith("_s") else f"{value:,}"
        assert defaults[name] == shown
    assert f"| {READ_TIMEOUT_S:g} s |" in PAGE
