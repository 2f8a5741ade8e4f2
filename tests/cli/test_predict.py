"""``quorate predict`` against a scripted server: what it sends of files and tables, and what it prints."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_multipart.multipart import parse_options_header

from quorate.cli import main
from quorate.cli import predict as module
from quorate.client import Client

PNG = b"\x89PNG\r\n\x1a\n"
LABEL, SCORES = ("label", "BYTES", []), [("probabilities", "FP32", [2]), ("confidence", "FP32", [])]
ENDPOINTS: dict[str, tuple[list[tuple[str, str, list[int]]], list[tuple[str, str, list[int]]]]] = {
    "digits": ([("image", "BYTES", [])], [LABEL, *SCORES]),
    "hidden": ([("image", "BYTES", [])], [LABEL]),
    "wine": ([("input", "FP64", [2])], [LABEL, *SCORES]),
    "price": ([("area", "FP32", []), ("rooms", "INT64", []), ("new", "BOOL", []), ("town", "BYTES", [])],
              [("value", "FP32", [1])]),
    "pixels": ([("input", "FP32", [8, 8])], [LABEL]),
}  # fmt: skip


class Server:
    """Says a row's or picture's own text back as its label; pictures that hold ``bad`` and rows of 13 are refused."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v2/repository/index":
            return httpx.Response(200, json=[{"name": name} for name in ENDPOINTS])
        name = path.split("/")[3]
        if path.startswith("/v2/models/"):
            return self.describe(name)
        self.asked.append(request)
        fault = self.fault(request)
        return self.predict(name, request) if fault is None else fault

    def describe(self, name: str) -> httpx.Response:
        if name == "svm":
            return httpx.Response(200, json=self._metadata(name, "digits", "quorate_onnx"))
        if name not in ENDPOINTS:
            return httpx.Response(404, json={"error": "no such model"})
        return httpx.Response(200, json=self._metadata(name, name, "quorate_ensemble"))

    def _metadata(self, name: str, like: str, platform: str) -> dict[str, Any]:
        tensors = [
            [{"name": n, "datatype": kind, "shape": [-1, *shape]} for n, kind, shape in each]
            for each in ENDPOINTS[like]
        ]
        return {"name": name, "versions": ["1"], "platform": platform, "inputs": tensors[0], "outputs": tensors[1]}

    def predict(self, name: str, request: httpx.Request) -> httpx.Response:
        if request.headers["content-type"] == "application/json":
            labels = [json.dumps(row) for row in json.loads(request.content)["instances"]]
            wrong = next((i for i, label in enumerate(labels) if "13" in label), None)
        else:
            labels, wrong = [request.content.decode("latin-1").removeprefix(PNG.decode("latin-1"))], None
            if b"bad" in request.content:
                return _problem(422, "No image.", "body[0]")
        if wrong is not None:
            return _problem(422, f"Row {wrong} is unlucky.", f"instances[{wrong}]")
        if name == "price":
            rows: list[dict[str, Any]] = [{"value": float(len(label))} for label in labels]
        elif name == "hidden":
            rows = [{"label": label} for label in labels]
        else:
            rows = [{"label": label, "confidence": 0.75, "probabilities": {"a": 0.75}} for label in labels]
        body = {"id": f"d{len(self.asked)}", "endpoint": name, "predictions": rows}
        if name != "hidden":
            body |= {"strategy": "vote", "degraded": "slow" in labels[0], "missing": [], "latency_ms": 1}
        return httpx.Response(200, json=body)


def _problem(status: int, detail: str, path: str | None = None) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail, "code": "scripted", "path": path})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    found = Server()
    monkeypatch.setattr(module, "Client", partial(Client, transport=httpx.MockTransport(found), sleep=lambda _: None))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUORATE_API_KEY", raising=False)
    monkeypatch.delenv("QUORATE_URL", raising=False)
    return found


@pytest.fixture
def run(server: Server, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    def run(*args: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["predict", *args])
        out, err = capsys.readouterr()
        assert stop.value.code == code, out + err
        return out, err

    return run


Run = Callable[..., tuple[str, str]]


def _pictures(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG + text.encode())


def _json(run: Run, *args: str, code: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*args, "--format", "json", code=code)[0])
    return found


# --- pictures ---


def test_a_table_of_pictures_and_a_summary(run: Run) -> None:
    _pictures(b="two", a="one")
    out, err = run("digits", "b.png", "a.png")
    head, _, *rows = [line.split() for line in out.splitlines()]
    assert head == ["item", "label", "confidence", "strategy", "degraded", "id", "row"]
    assert [[*row[:5], row[6]] for row in rows] == [
        ["b.png", "two", "0.75", "vote", "no", "0"],
        ["a.png", "one", "0.75", "vote", "no", "0"],
    ]
    assert err.startswith("2 items: 2 answered, 0 failed, 0 degraded; ")
    assert err.count("\n") == 1


def test_folders_are_searched_for_pictures(run: Run, server: Server) -> None:
    _pictures(f__deep__b="b", f__a="a", f__c="c", f__z__d="d")
    Path("f/.hidden.png").write_bytes(PNG)
    Path("f/.git").mkdir()
    Path("f/.git/x.png").write_bytes(PNG)
    Path("f/notes.txt").write_text("hello")
    Path("f/by-content").write_bytes(PNG + b"content")
    Path("f/round").symlink_to(Path().absolute(), target_is_directory=True)
    os.mkfifo("f/pipe.png")
    out, err = run("digits", "f", "--format", "csv")
    assert [row["item"] for row in csv.DictReader(io.StringIO(out))] == [
        "f/a.png", "f/by-content", "f/c.png", "f/deep/b.png", "f/z/d.png",
    ]  # fmt: skip
    assert "Left out because no pictures: 1 file." in err
    assert len(server.asked) == 5


def test_what_fails_is_said_at_its_place_and_the_rest_is_answered(run: Run) -> None:
    _pictures(a="a", bad="bad", c="slow")
    Path("empty.png").touch()
    found = _json(run, "digits", "a.png", "bad.png", "missing.png", "empty.png", "c.png", code=1)
    assert [each.get("label") for each in found] == ["a", None, None, None, "slow"]
    assert [each.get("error") for each in found] == [
        None, "No image.", "'missing.png' cannot be read: no such file or directory.",
        "'empty.png' is empty; an image was expected.", None,
    ]  # fmt: skip
    out, err = run("digits", "a.png", "bad.png", "c.png", code=1)
    assert "No image." in out
    assert "3 items: 2 answered, 1 failed, 1 degraded" in err


def test_json_has_everything_and_csv_fixed_columns(run: Run) -> None:
    _pictures(a="a")
    assert _json(run, "digits", "a.png") == [
        {"item": "a.png", "label": "a", "confidence": 0.75, "probabilities": {"a": 0.75}, "strategy": "vote",
         "degraded": False, "missing": [], "id": "d1", "row": 0}
    ]  # fmt: skip
    assert run("digits", "a.png", "--format", "csv")[0] == (
        "item,label,confidence,strategy,degraded,id,row,error\na.png,a,0.75,vote,false,d2,0,\n"
    )


def test_a_blind_endpoint_shows_labels_only(run: Run) -> None:
    _pictures(a="a")
    assert run("hidden", "a.png", "--format", "csv")[0] == "item,label,id,row,error\na.png,a,d1,0,\n"
    assert _json(run, "hidden", "a.png") == [{"item": "a.png", "label": "a", "id": "d2", "row": 0}]


def test_nothing_to_ask_is_no_failure_and_still_valid(run: Run) -> None:
    Path("nothing").mkdir()
    out, err = run("digits", "nothing", "--format", "json")
    assert json.loads(out) == []
    assert "0 items" in err


def test_csv_is_no_formula_and_numbers_stay_numbers(run: Run) -> None:
    _pictures(**{"=a": "=1+1", "-b": "-1", "c": '@x,\n"y"'})
    rows = csv.DictReader(io.StringIO(run("digits", ".", "--format", "csv")[0]))
    assert [(row["item"], row["label"]) for row in rows] == [
        ("./-b.png", "-1"), ("./=a.png", "'=1+1"), ("c.png", "'@x,\n\"y\""),
    ]  # fmt: skip
    assert {each["label"] for each in _json(run, "digits", ".")} == {"=1+1", "-1", '@x,\n"y"'}


def test_names_that_are_no_text_or_command_the_terminal(run: Run) -> None:
    for name in (b"\xff.png", b"\x1b[31m.png"):
        Path(os.fsdecode(name)).write_bytes(PNG + b"x")
    assert [each["item"] for each in _json(run, "digits", ".")] == ["\x1b[31m.png", "\\xff.png"]
    assert "\x1b" not in run("digits", ".")[0]


def test_options_and_key_are_passed_on(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _pictures(a="a")
    monkeypatch.setenv("QUORATE_API_KEY", "secret")
    run("digits", "a.png", "--strategy", "svm", "--max-ms", "50", "--url", "http://h:1")
    (request,) = server.asked
    assert str(request.url) == "http://h:1/v1/endpoints/digits/predict?strategy=svm&max_ms=50.0"
    assert request.headers["authorization"] == "Bearer secret"
    run("digits", "a.png", "--context", "user=7", "--context", "site=a=b")
    assert parse_options_header(server.asked[1].headers["content-type"])[0] == b"multipart/form-data"
    assert b'{"user":"7","site":"a=b"}' in server.asked[1].content


def test_an_output_file_is_whole_and_never_an_input(run: Run) -> None:
    _pictures(a="a")
    out, _ = run("digits", "a.png", "--format", "json", "--output", "found.json")
    assert out == ""
    assert json.loads(Path("found.json").read_text())[0]["label"] == "a"
    run("digits", "a.png", "--output", "table.txt")
    assert "a.png" in Path("table.txt").read_text()
    _, err = run("digits", "a.png", "--output", "./a.png", code=2)
    assert "would be overwritten" in err
    _, err = run("digits", "a.png", "--output", "no/such/folder.csv", code=2)
    assert "cannot be written" in err


def test_a_picture_on_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PNG + b"piped")))
    assert _json(run, "digits", "-")[0]["label"] == "piped"


# --- what ends a run ---


def test_an_endpoint_that_is_not_there(run: Run) -> None:
    assert "There is no endpoint 'nope'; http://127.0.0.1:8000 has: digits, hidden" in run("nope", "a", code=2)[1]
    assert "'svm' is a model" in run("svm", "a", code=2)[1]


@pytest.mark.parametrize(
    ("status", "path"), [(401, None), (403, None), (404, "options.strategy"), (422, "query.max_ms")]
)
def test_a_refusal_of_everything_is_said_once(run: Run, server: Server, status: int, path: str | None) -> None:
    _pictures(**{f"p{i}": "x" for i in range(50)})
    server.fault = lambda _: _problem(status, "Not like this.", path)
    out, err = run("digits", ".", "--format", "json", code=2)
    assert json.loads(out) == []
    assert err.count("Not like this.") == 1
    assert len(server.asked) < 50


def test_a_server_that_goes_away_ends_it_after_a_while(run: Run, server: Server) -> None:
    _pictures(**{f"p{i:02}": f"{i}" for i in range(60)})

    def fault(request: httpx.Request) -> httpx.Response | None:
        if int(request.content[len(PNG) :]) >= 20:
            raise httpx.ConnectError("refused", request=request)
        return None

    server.fault = fault
    out, err = run("digits", ".", "--format", "json", "--concurrency", "2", code=1)
    found = json.loads(out)
    assert len(found) == 28
    assert [each.get("label") for each in found[:20]] == [str(i) for i in range(20)]
    assert all("cannot be reached" in each["error"] for each in found[20:])
    assert "60 items: 20 answered, 8 failed, 0 degraded, 32 not asked" in err
    assert "Stopped: http://127.0.0.1:8000 could not be reached 8 times in a row." in err


def test_an_interruption_leaves_valid_output(run: Run, server: Server) -> None:
    _pictures(**{f"p{i:02}": f"{i}" for i in range(30)})

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.content.endswith(b"G20"):
            raise KeyboardInterrupt
        return None

    Path("p20.png").write_bytes(PNG + b"G20")
    server.fault = fault
    out, err = run("digits", ".", "--format", "json", "--concurrency", "1", code=130)
    assert len(json.loads(out)) == 20
    assert "30 items: 20 answered, 0 failed, 0 degraded, 10 not asked" in err


# --- rows ---


def test_rows_of_an_array_from_csv_with_and_without_a_head(run: Run) -> None:
    Path("plain.csv").write_text("1,2\n3,4.5\n")
    Path("head.csv").write_bytes("\ufeffalcohol,acid\r\n1,2\r\n\r\n3,4.5\r\n".encode())
    assert [(r["item"], r["label"], r["row"]) for r in _json(run, "wine", "plain.csv", "head.csv")] == [
        ("plain.csv:1", "[1.0, 2.0]", 0), ("plain.csv:2", "[3.0, 4.5]", 1),
        ("head.csv:2", "[1.0, 2.0]", 2), ("head.csv:4", "[3.0, 4.5]", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(("first", "wrong"), [("nan,2", "nan"), ("1,many", "many"), ("1,inf", "inf")])
def test_a_bad_first_row_is_no_head(run: Run, first: str, wrong: str) -> None:
    Path("t.csv").write_text(f"{first}\n3,4\n")
    bad, good = _json(run, "wine", "t.csv", code=1)
    assert f"'{wrong}' in column" in bad["error"]
    assert (good["item"], good["label"]) == ("t.csv:2", "[3.0, 4.0]")


def test_text_in_lines_of_json_may_hold_any_separator(run: Run, server: Server) -> None:
    town = "a\u2028b\x85c"
    rows = [{"rooms": 1, "area": 2.0, "new": True, "town": town}] * 2
    Path("t.ndjson").write_bytes("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    assert [found["item"] for found in _json(run, "price", "t.ndjson")] == ["t.ndjson:1", "t.ndjson:2"]
    assert json.loads(server.asked[0].content)["instances"] == rows


def test_rows_by_column_are_converted_and_other_columns_left_out(run: Run, server: Server) -> None:
    Path("homes.csv").write_text('id,rooms,area,new,town\n7,3,55.5,true,"Bonn, am Rhein"\n8,,1e2,0,\n')
    out, err = run("price", "homes.csv", "--format", "csv")
    assert out.splitlines()[0] == "item,value,strategy,degraded,id,row,error"
    assert json.loads(server.asked[0].content)["instances"] == [
        {"rooms": 3, "area": 55.5, "new": True, "town": "Bonn, am Rhein"},
        {"rooms": None, "area": 100.0, "new": False, "town": None},
    ]
    assert "homes.csv: the endpoint has no input 'id'; left out." in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("area,rooms,new\n1,2,true\n", "'t.csv' has no column 'town'; endpoint 'price' takes 'area', 'rooms', 'new', "),
        ("area,area,rooms,new,town\n1,1,2,true,x\n", "'t.csv' has the column 'area' twice."),
        ("", "'t.csv' is empty"),
        ("area,rooms,new,town\n1,2,true\n", "The row has 3 cells, the first line 4."),
        ("area,rooms,new,town\nbig,2,true,x\n", "'big' in column 'area' is not a number."),
        ("area,rooms,new,town\nnan,2,true,x\n", "'nan' in column 'area' is not a number."),
        ("area,rooms,new,town\n1,2.5,true,x\n", "'2.5' in column 'rooms' is not a whole number."),
        ("area,rooms,new,town\n1,1" + 400 * "0" + ",true,x\n", "in column 'rooms' is not a whole number."),
        ("area,rooms,new,town\n1,2,yes,x\n", "'yes' in column 'new' is neither true nor false."),
        ("area,rooms,new,town\n1,2,true,\"x\n", "cannot be read"),
        ("area,rooms,new,town\n1,2,true,\xff\n", "cannot be read"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_say_why(run: Run, server: Server, text: str, says: str) -> None:
    Path("t.csv").write_bytes(text.encode("latin-1"))
    (found,) = _json(run, "price", "t.csv", code=1)
    assert says in found["error"]
    assert server.asked == []


def test_a_bad_row_fails_alone_whether_found_here_or_there(run: Run, server: Server) -> None:
    Path("t.csv").write_text("1,1\n2,x\n13,3\n4,4\n5\n6,6\n")
    found = _json(run, "wine", "t.csv", code=1)
    assert [each["item"] for each in found] == [f"t.csv:{i}" for i in range(1, 7)]
    assert [each.get("label") for each in found] == ["[1.0, 1.0]", None, None, "[4.0, 4.0]", None, "[6.0, 6.0]"]
    errors = [found[i]["error"] for i in (1, 2, 4)]
    assert errors == [
        "'x' in column 'input' is not a number.",
        "Row 0 is unlucky.",
        "The row has 1 cells; the endpoint takes 2.",
    ]
    assert len(server.asked) == 5, "once together, then the four that can be sent by themselves"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", "[[1, 2], [3, 4]]"),
        ("t.json", '{"instances": [[1, 2], [3, 4]]}'),
        ("t.ndjson", "[1, 2]\n\n[3, 4]\n"),
        ("t.jsonl", "[1, 2]\n[3, 4]"),
        ("t.tsv", "1\t2\n3\t4\n"),
        ("-", "[[1, 2], [3, 4]]"),
        ("-", "[1, 2]\n[3, 4]\n"),
        ("-", '{"instances": [[1, 2], [3, 4]]}'),
        ("-", "1,2\n3,4\n"),
        ("unknown.txt", "1,2\n3,4\n"),
    ],
)
def test_rows_of_other_kinds(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    if name == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    else:
        Path(name).write_text(text)
    assert len(_json(run, "wine", name)) == 2
    assert json.loads(server.asked[0].content)["instances"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("t.json", "{", "cannot be read"), ("t.json", '{"rows": []}', "not a list of rows"),
     ("t.ndjson", "[1,\n", "Line 1 is not JSON"), ("t.csv", "1,2\n", "has the shape [8, 8]; send JSON")],
)  # fmt: skip
def test_json_that_is_no_rows(run: Run, name: str, text: str, says: str) -> None:
    Path(name).write_text(text)
    (found,) = _json(run, "pixels", name, code=1)
    assert says in found["error"]


def test_many_rows_go_in_batches_and_keep_their_order(run: Run, server: Server) -> None:
    Path("data").mkdir()
    Path("data/a.csv").write_text("".join(f"{i + 100},0\n" for i in range(600)))
    Path("data/notes.txt").write_text("no table")
    found = _json(run, "wine", "data", code=1)  # the 13 in 113, 130 … is unlucky
    assert [each["item"] for each in found] == [f"data/a.csv:{i}" for i in range(1, 601)]
    for i, each in enumerate(found):
        assert each.get("label") == (None if "13" in f"[{i + 100}.0, 0.0]" else f"[{i + 100}.0, 0.0]")


def test_bad_rows_beyond_a_batch_wait_for_a_good_one_and_at_the_end_stand_alone(run: Run, server: Server) -> None:
    bad = "x,1\n" * 300
    Path("t.csv").write_text(f"0,0\n{bad}1,1\n{bad}")
    found = _json(run, "wine", "t.csv", code=1)
    assert [each["item"] for each in found] == [f"t.csv:{i}" for i in range(1, 603)]
    assert [i for i, each in enumerate(found) if "label" in each] == [0, 301]
    assert all(json.loads(request.content)["instances"] for request in server.asked)
    Path("t.csv").write_text(f"a,b\n{bad}1,1\n")
    assert sum("label" in each for each in _json(run, "wine", "t.csv", code=1)) == 1
    assert all(json.loads(request.content)["instances"] for request in server.asked)


def test_an_output_is_no_table_of_a_folder_that_is_read(run: Run) -> None:
    Path("tables").mkdir()
    Path("tables/a.csv").write_text("1,2\n")
    _, err = run("wine", "tables", "--format", "csv", "--output", "tables/found.csv", code=2)
    assert "tables/found.csv is in a folder whose tables are read" in err
    assert not Path("tables/found.csv").exists()
    run("wine", "tables", "--output", "tables/found.txt")
    assert "tables/a.csv:1" in Path("tables/found.txt").read_text()


def test_an_empty_folder_is_told(run: Run) -> None:
    Path("data").mkdir()
    assert "there is no CSV or JSON file in this folder" in run("wine", "data")[1]


# --- on a terminal ---


def _all_of(leader: int) -> str:
    """What was written to a terminal whose other end is closed."""
    parts = []
    with contextlib.suppress(OSError), os.fdopen(leader, "rb", buffering=0) as terminal:
        while part := terminal.read(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


def test_the_bar_is_on_a_terminals_stderr_and_stdout_stays_clean(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _pictures(a="a", b="b")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        out, _ = run("digits", "a.png", "b.png", "--format", "csv")
    shown = _all_of(leader)
    assert len(list(csv.DictReader(io.StringIO(out)))) == 2
    assert "digits" in shown
    assert "2/2" in shown
