"""``quorate outcomes`` without a server: what it shows, and what it refuses. Imports end to end are in tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from quorate.cli import main
from quorate.cli import outcomes as command
from quorate.client import OutcomeReceipt, Rejected
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.core.types import Decision, Outcome
from quorate.ids import DecisionId

ONE, TWO = (DecisionId(1_700_000_000_000 + i, 0, 0, i) for i in range(2))


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["outcomes", *args])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


@pytest.fixture
def served(project: Any) -> Any:
    """A project whose journal has two decisions, and the truth of one."""
    project.apply()
    records = [encode_header(Header(0, 0, 0, 1, 7))]
    for i, id_ in enumerate((ONE, TWO)):
        decision = Decision(
            str(id_), "main", 1, 0, "policy", 1_700_000_000.0 + 100 * i, 0.1, 5.0, {"order": f"o{i}", "shop": "x"},
            ("average", "best"), (0.5, 0.5), "average", "average", (), np.zeros((1, 0, 2), np.float32),
            np.zeros((1, 0), np.int8), np.float32([[0.25, 0.75]]), False, 1, b"", classes=("no", "yes"),
        )  # fmt: skip
        records.append(encode_record(RecordKind.DECISION, i, decision_codec.encode(decision), 7))
    outcome = Outcome(str(ONE), 0, "yes", at=1_700_000_030.0, received=1_700_000_030.0)
    records.append(encode_record(RecordKind.OUTCOME, 2, outcome_codec.encode(outcome), 7))
    path = project.home.journal / "0" / segment_name(0, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(records))
    return project


class Client:
    """Takes outcomes and rejects those of labels it does not know."""

    told: ClassVar[list[Any]] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outcomes(self, told: list[Any]) -> OutcomeReceipt:
        wrong = [i for i, one in enumerate(told) if one.get("truth") == "maybe"]
        self.told.extend(told)
        return OutcomeReceipt(
            len(told) - len(wrong), 0, 0, tuple(Rejected(i, "invalid_input", "No class.", "truth") for i in wrong)
        )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    monkeypatch.setattr("quorate.client.Client", Client)
    monkeypatch.setattr(Client, "told", [])
    return Client


def test_what_came_and_how_late(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(served.home.root)
    hours = "100000000"
    code, out, _ = _run(capsys, "show", "main", "--hours", hours, "--json", "--project", folder)
    assert code == 0
    found = json.loads(out)
    assert found["rows"] == 2
    (truth,) = found["metrics"]
    assert (truth["metric"], truth["known_rows"], truth["share"]) == ("truth", 1, 0.5)
    assert truth["seen_p50_s"] == pytest.approx(30.0, rel=0.05)
    code, out, _ = _run(capsys, "show", "main", "--hours", hours, "--project", folder)
    assert code == 0
    for said in (
        "main: 2 rows",
        "50.0%",
        "By age of the decision",
        "By source (ground_truth, expert, user; then others)",
    ):
        assert said in out
    code, out, err = _run(capsys, "show", "main", "--project", folder)
    assert "No outcome was told of the 0 rows" in err
    assert _run(capsys, "show", "nothing", "--project", folder)[0] == 2


def test_a_file_is_told_and_what_is_rejected_has_its_line(
    client: type[Client], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.csv"
    file.write_text(f"decision,label,eur\n{ONE},yes,1.5\n{TWO},maybe,\n{TWO},,x\n")
    kept = tmp_path / "rejected.ndjson"
    words = ("--id", "decision", "--truth", "label", "--reward", "revenue=eur", "--rejected", str(kept), "--json")
    code, out, err = _run(capsys, "import", str(file), *words)
    assert (code, json.loads(out)) == (1, {"accepted": 2, "duplicate": 0, "pending": 0, "rejected": 2})
    assert client.told == [
        {"id": str(ONE), "source": "user", "truth": "yes"},
        {"id": str(ONE), "source": "user", "rewards": {"revenue": 1.5}},
        {"id": str(TWO), "source": "user", "truth": "maybe"},
    ]
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert sorted((each["line"], each["detail"]) for each in lines) == [
        (3, "No class."),
        (4, "'eur' is a finite number; got 'x'."),
    ]
    assert "told.csv:3: No class." in err


def test_decisions_are_found_by_another_key(
    served: Any, client: type[Client], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.ndjson"
    rows = [
        {"key": "o0", "truth": "no", "at": 1_700_000_050},
        {"key": "o1", "truth": "yes"},
        {"key": "o9", "truth": "yes"},
        {"truth": "yes"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "nonsense\n")
    folder = ("--project", str(served.home.root))
    code, _, err = _run(capsys, "import", str(file), "--by", "context.order", "--id", "key", *folder)
    assert code == 1
    assert [(one["id"], one["truth"]) for one in client.told] == [(str(ONE), "no"), (str(TWO), "yes")]
    assert "told.ndjson:3: No decision that is kept has context.order 'o9'." in err
    assert "told.ndjson:4: There is no 'key' in it." in err
    assert "told.ndjson:5: It is not JSON" in err
    client.told.clear()
    code, _, err = _run(capsys, "import", str(file), "--by", "context.shop", "--id", "truth", *folder)
    assert (code, client.told) == (1, [])
    file.write_text(json.dumps({"key": "x", "truth": "no", "day": "2023-11-14T22:15:05Z"}) + "\n")
    by = ("--by", "context.shop", "--id", "key")
    assert "2 decisions have it" in _run(capsys, "import", str(file), *by, *folder)[2]
    code, _, _ = _run(capsys, "import", str(file), *by, "--decided", "day", "--within", "90", *folder)
    assert (code, [one["id"] for one in client.told]) == (0, [str(TWO)])


def test_many_rows_go_in_parts(
    client: type[Client], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PART", 10)
    file = tmp_path / "told.ndjson"
    file.write_text("".join(json.dumps({"id": str(ONE), "truth": "maybe"}) + "\n" for _ in range(45)))
    code, _, err = _run(capsys, "import", str(file))
    assert code == 1
    assert len(client.told) == 45
    assert "told.ndjson:20: No class." in err
    assert "told.ndjson:21:" not in err
    assert "More rows are rejected" in err
    assert "0 accepted, 0 known already, 0 wait for their decision, 45 rejected." in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Give either a FILE, or --sql with --database"),
        (("a.csv", "--sql", "SELECT 1", "--database", "sqlite://"), "Give either a FILE"),
        (("--sql", "SELECT 1"), "--sql with --database"),
        (("none.csv",), "none.csv cannot be read"),
        (("none.csv", "--by", "answer"), "cannot be found by 'answer'"),
        (("--sql", "SELECT nothing", "--database", "sqlite://"), "The query cannot be run"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    words: tuple[str, ...], said: str, client: type[Client], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _run(capsys, "import", *words)
    assert code == 2
    assert said in err
