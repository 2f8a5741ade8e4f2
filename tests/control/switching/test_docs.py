"""docs/switching.md: its commands run on the history it tells of, and print what it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main
from quorate.cli import switches as command
from quorate.control.switching.quantities import find
from quorate.control.switching.report import report
from quorate.store import usage
from quorate.store.usage import Used
from quorate.telemetry.counters import Counters

from .conftest import GIB, PRICES

PAGE = (Path(__file__).parents[3] / "docs" / "switching.md").read_text("utf-8")
BLOCKS = re.findall(r"^```console\n\$ (quorate [^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def site(switched: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The history of the page, whose commands see its clock."""
    monkeypatch.chdir(switched.home.root)
    monkeypatch.setattr(command, "SystemClock", lambda: switched.clock)
    monkeypatch.setattr(command, "local_user", lambda: "ada")
    worker = Counters(switched.home.telemetry / "worker-0.qt")
    for member, ms in (("a", 2.0), ("b", 3.0)):
        worker.histogram("quorate_member_duration_seconds", member=member).observe(ms)
    at = (switched.start + 60) * 60.0 + 10.0
    records = [switched.decision(0, i, at + s, 1 + (s > 1), latency_ms=6.0) for i, s in enumerate((-2, 0.1, 1.2, 3.0))]
    switched.journal(0, records, created=at - 60)
    yield switched
    worker.close()


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert isinstance(stop.value.code, int)
    return stop.value.code, *capsys.readouterr()


def later(site: Any) -> None:
    """Two and a half hours later, ``average`` has answered as often, a little slower than it was promised."""
    minutes = range(211, 360)
    site.traffic(minutes, 3, "average", [11.0 * (0.505 + i / 100) for i in range(100)])
    site.judge(minutes, 3, "average", 79, 21)
    site.used(minutes, usage.WORKER, "worker-0", Used(60.0, 3.5, 2.0 * GIB * 60))
    site.used(minutes, usage.HOST, "c", Used(60.0, 0.0, 1.0 * GIB * 60))
    site.used(minutes, usage.ENDPOINT, "main", Used(60.0, requests=100.0))
    at = (site.start + 210) * 60.0 + 30.0
    records = [site.decision(1, i, at + s, 2 + (s > 1), latency_ms=9.0) for i, s in enumerate((-2, 0.4, 1.3))]
    site.journal(1, records, created=at - 60)
    site.at(360)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_its_commands_print_what_it_shows(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert [shlex.split(line)[2] for line, _ in BLOCKS] == ["plan", "list", "show"]
    plan, listed, shown = BLOCKS
    code, out, err = _run(capsys, *shlex.split(plan[0])[1:])
    assert (code, _lines(out)) == (0, _lines(plan[1])), out
    for note in err.splitlines():
        assert note in " ".join(PAGE.split()), note
    site.at(210, 30.0)
    site.apply("average", PRICES)
    later(site)
    for line, text in (listed, shown):
        code, out, _ = _run(capsys, *shlex.split(line)[1:])
        assert (code, _lines(out)) == (0, _lines(text)), out


def test_json_has_all_of_it(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    code, out, _ = _run(capsys, "switches", "show", "main", "1", "--json")
    found = json.loads(out)
    expected = report(site.database, site.reader, site.served, "main", 1, now=site.clock.now())
    assert (code, found["summary"]) == (0, expected.summary)
    accuracy = find(expected.quantities, "accuracy")
    assert accuracy is not None
    assert next(each for each in found["quantities"] if each["name"] == "accuracy")["low"] == accuracy.low
    assert json.loads(_run(capsys, "switches", "list", "main", "--json")[1])[0]["number"] == 1
    assert json.loads(_run(capsys, "switches", "plan", "main", "--to", "average", "--json")[1])["revision"] == 2


def test_a_file_is_planned_for(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    other = site.home.root / "other.yaml"
    other.write_text(site.home.config.read_text().replace("policy: best", "policy: average"))
    code, out, _ = _run(capsys, "switches", "plan", "main", "--file", "other.yaml")
    assert code == 0
    assert "main: as the configuration says (other policy); revision 2 answers now" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("plan", "main"), "give --to or --file"),
        (("plan", "main", "--to", "best", "--file", "x.yaml"), "give --to or --file"),
        (("plan", "main", "--file", "missing.yaml"), "missing.yaml cannot be read"),
        (("plan", "main", "--to", "best"), "nothing would change"),
        (("show", "main", "7"), "has no switch 7"),
        (("list", "nothing"), "There is no endpoint 'nothing'"),
    ],
)
def test_mistakes_are_one_sentence(
    site: Any, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], message: str
) -> None:
    code, _, err = _run(capsys, "switches", *args)
    assert code == 2
    assert message in err
