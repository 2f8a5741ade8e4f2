"""``quorate report`` and ``quorate decisions`` from the command line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from quorate.cli import main
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.control.journal.ingest import ingest_lock
from quorate.core.types import Decision, MemberRun, Outcome, Status
from quorate.ids import DecisionId

MEMBERS = (MemberRun("a", 1, Status.OK, 1.0), MemberRun("b", 2, Status.FAILED, None, "member_timeout"))
ONE = DecisionId(1_700_000_000_000, 0, 0, 0)


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


@pytest.fixture
def served(project: Any) -> Any:
    """A project whose journal has one decision, and its truth."""
    decision = Decision(
        str(ONE), "main", 1, 0, "policy", 1_700_000_000.0, 0.1, 5.0, {"user": "u"}, ("average", "best"), (0.5, 0.5),
        "average", "best", MEMBERS,
        np.float32([[[0.25, 0.75], [np.nan, np.nan]]]), np.int8([[0, 1]]), np.float32([[0.25, 0.75]]), True, 1, b"\xab",
        classes=("no", "yes"),
    )  # fmt: skip
    path = project.home.journal / "0" / segment_name(0, 0)
    path.parent.mkdir(parents=True)
    outcome = Outcome(str(ONE), 0, "yes", at=1.0, received=1.0)
    path.write_bytes(
        encode_header(Header(0, 0, 0, 1, 7))
        + encode_record(RecordKind.DECISION, 0, decision_codec.encode(decision), 7)
        + encode_record(RecordKind.OUTCOME, 1, outcome_codec.encode(outcome), 7)
    )
    return project


def test_report_ingests_and_compares(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(served.home.root)
    for _ in range(2):
        code, out, err = _run(capsys, "report", "main", "--json", "--project", folder)
        assert (code, err) == (0, "")
        [strategy] = json.loads(out)["strategies"]
        assert {name: strategy[name] for name in ("strategy", "requests", "degraded", "fallbacks", "accuracy")} == {
            "strategy": "average", "requests": 1, "degraded": 1, "fallbacks": 1, "accuracy": 1.0,
        }  # fmt: skip
    code, out, _ = _run(capsys, "report", "main", "--project", folder)
    assert code == 0
    assert "main: assigned by the policy" in out
    assert "100.0%" in out
    assert "0.2065 to 1.0000" in out


def test_report_reads_what_control_ingested_where_that_holds_the_lock(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    served.apply()
    folder = str(served.home.root)
    with ingest_lock(served.home) as mine:
        assert mine
        code, out, err = _run(capsys, "report", "main", "--project", folder)
    assert (code, out) == (0, "")
    assert "No strategy was assigned at endpoint 'main'" in err
    assert "average" in _run(capsys, "report", "main", "--project", folder)[1]


def test_report_of_the_last_hours_only(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    served.apply()
    code, out, _ = _run(capsys, "report", "main", "--hours", "1", "--json", "--project", str(served.home.root))
    assert code == 0
    assert json.loads(out)["strategies"] == []


def test_report_of_an_unknown_endpoint_is_an_error(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "report", "nothing", "--project", str(served.home.root))
    assert code == 2
    assert "There is no endpoint 'nothing'" in err


def test_a_decision_is_shown(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(served.home.root)
    _run(capsys, "report", "main", "--project", folder)
    code, out, _ = _run(capsys, "decisions", "show", str(ONE), "--json", "--project", folder)
    shown = json.loads(out)
    assert code == 0
    assert (shown["id"], shown["assigned"], shown["served"]) == (str(ONE), "average", "best")
    assert shown["propensities"] == {"average": 0.5, "best": 0.5}
    assert shown["members"][1] == {
        "name": "b", "version": 2, "status": "failed", "latency_ms": None, "reason": "member_timeout",
        "row_status": ["failed"], "skipped": [None], "outputs": [[None, None]],
    }  # fmt: skip
    assert [(o["value"], o["state"]) for o in shown["outcomes"]] == [("yes", "joined")]
    code, out, _ = _run(capsys, "decisions", "show", str(ONE), "--project", folder)
    assert code == 0
    for said in ("member_timeout", "yes 0.750", "2023-11-14T22:13:20.000+00:00", "ab", "joined"):
        assert said in out


@pytest.mark.parametrize("wrong", ["nonsense", str(ONE._replace(sequence=9))])
def test_a_decision_that_is_not_there_is_an_error(served: Any, capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    code, _, err = _run(capsys, "decisions", "show", wrong, "--project", str(served.home.root))
    assert code == 2
    assert wrong in err
