"""``quorate schema`` from the command line."""

from __future__ import annotations

import json

import pytest

from quorate.cli import main
from quorate.spec import json_schema


def test_it_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["schema"])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
