"""Captured inputs and outcomes become a data set that says where it is from, and that training reads."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.codecs import capture as capture_codec
from quorate.codecs import decision as decision_codec
from quorate.codecs import parquet
from quorate.codecs.capture import Capture
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import Segment
from quorate.control.captures import exporting
from quorate.control.captures.dataset_files import digest_of_files
from quorate.control.captures.datasets import Card, export
from quorate.control.captures.erasing import ask
from quorate.control.captures.exporting import DatasetDesk, write
from quorate.control.journal.compact import compact
from quorate.core.types import Decision, Outcome
from quorate.errors import ConfigError, Conflict, InvalidInput, NotFound
from quorate.ids import DecisionId
from quorate.store import ledger
from quorate.store.audit import entries
from quorate.store.datasets import exports, update_export
from quorate.store.erasures import Erasure, add_erasure, update_erasure
from quorate.store.revisions import add_revision
from quorate.training.exported import read_exported

SALT = 9


class Shop:
    """A project with captured inputs of two rows each."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.home = project.home

    def keep(self, inputs: list[dict[str, Any]], *, missing: tuple[int, ...] = (), **changes: Any) -> list[str]:
        captures, decisions, ids = b"", b"", []
        for i, columns in enumerate(inputs):
            id_ = str(DecisionId(1000 + i, 0, 0, i))
            rows = len(next(iter(columns.values())))
            made = Capture(id_, "shop", 1 + i % 2, 100.0 * i, rows, 0.5, columns)._replace(**changes)
            captures += encode_record(RecordKind.CAPTURE, i, capture_codec.encode(made), SALT)
            if i not in missing:
                decisions += encode_record(RecordKind.DECISION, i, decision_codec.encode(self.decision(i, rows)), SALT)
            ids.append(id_)
        for folder, data in ((self.home.captures / "shop", captures), (self.home.journal, decisions)):
            path = folder / "0" / segment_name(0, 0)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_header(Header(0, 0, 0, 1, SALT)) + data)
        return ids

    @staticmethod
    def decision(i: int, rows: int) -> Decision:
        outputs = np.array([[[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]] * rows, "f4")
        answer = np.array([[0.75, 0.25]] * rows, "f4")
        return Decision(
            str(DecisionId(1000 + i, 0, 0, i)), "shop", 1, 0, "policy", 100.0 * i, 0.0, 1.0, {}, ("s",), (1.0,), "s",
            "s", (), outputs, np.zeros((rows, 3), "i1"), answer, False, rows, b"", classes=("no", "yes"),
        )  # fmt: skip

    def tell(self, *outcomes: Outcome) -> None:
        with self.project.database.begin() as connection:
            ledger.put_outcomes(connection, [value for outcome in outcomes for value in ledger.told(outcome)])

    def export(self, out: Path, **more: Any) -> Card:
        return export(self.home, self.project.database, self.project.clock, "shop", out, author="tester", **more)


@pytest.fixture
def shop(project: Any) -> Shop:
    return Shop(project)


def table(n: int = 2, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"size": rng.normal(size=n).astype("f4"), "count": np.arange(n), "town": ["a,b", 'c"d'][:n]}


def grid(seed: int) -> Any:
    """Numbers ``[2, 3, 2]``, one of them not known."""
    made = np.random.default_rng(seed).random((2, 3, 2)).astype("f4")
    made[1, 2, 0] = np.nan
    return made


def read(out: Path, form: str) -> list[dict[str, Any]]:
    if form == "csv":
        with (out / "data.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    if form == "parquet":
        from pyarrow import parquet

        found: list[dict[str, Any]] = parquet.read_table(out / "data.parquet").to_pylist()
        return found
    return [json.loads(line) for line in (out / "data.ndjson").read_bytes().splitlines()]


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_rows_have_input_answer_outcome_and_weight(shop: Shop, tmp_path: Path, form: Any) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    inputs = [table(seed=i) for i in range(3)]
    ids = shop.keep(inputs, missing=(2,))
    shop.tell(
        Outcome(ids[0], 0, "yes", source="user", at=2.0),
        Outcome(ids[0], 0, "no", source="expert", at=1.0),  # takes precedence, though it is older
        Outcome(ids[1], 1, "yes", source="user", at=1.0),
        Outcome(ids[1], 1, None, {"reward": 0.5}, at=1.0),
    )
    card = shop.export(tmp_path / "set", form=form)
    rows = read(tmp_path / "set", form)
    assert [(r["decision"], int(r["row"])) for r in rows] == [(i, k) for i in ids for k in (0, 1)]
    assert [r["truth"] or None for r in rows] == ["no", None, None, "yes", None, None]
    assert [r["truth_source"] or None for r in rows] == ["expert", None, None, "user", None, None]
    assert {float(r["weight"]) for r in rows} == {2.0}
    assert [r["answer"] or None for r in rows] == ["no"] * 4 + [None] * 2
    assert float(rows[0]["confidence"]) == 0.75
    assert float(rows[0]["disagreement"]) == pytest.approx(1 / 3)
    rewards = [r["rewards"] if isinstance(r["rewards"], dict) else json.loads(r["rewards"]) for r in rows]
    assert rewards == [{}, {}, {}, {"reward": 0.5}, {}, {}]
    assert [np.float32(r["size"]) for r in rows] == [x for one in inputs for x in one["size"]]
    assert [r["town"] for r in rows[:2]] == ["a,b", 'c"d']
    assert (card.rows, card.decisions, card.rows_with_truth, card.without_decision) == (6, 3, 2, 1)
    assert (card.truth_sources, card.classes, card.shares) == (
        {"expert": 1, "user": 1},
        {"no": 1, "yes": 1},
        {"0.5": 6},
    )
    assert (card.first, card.last, card.revisions) == (0.0, 200.0, [1, 2])


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_training_reads_exactly_what_was_captured(shop: Shop, tmp_path: Path, form: Any) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    inputs = [table(seed=i) | {"grid": grid(i)} for i in range(3)]
    ids = shop.keep(inputs)
    shop.tell(*(Outcome(id_, row, "yes" if row else "no", at=1.0) for id_ in ids for row in (0, 1)))
    shop.export(tmp_path / "set", form=form)
    found = read_exported(tmp_path / "set")
    assert found.data.labels.tolist() == ["no", "yes"] * 3
    assert found.weights.tolist() == [2.0] * 6
    assert found.decisions[:2] == (f"{ids[0]}:0", f"{ids[0]}:1")
    for name in ("size", "count", "grid"):
        expected = np.concatenate([one[name] for one in inputs])
        column = np.asarray(found.data.raw[name])
        assert (column.dtype, column.tobytes()) == (expected.dtype, expected.tobytes())
    assert list(found.data.raw["town"]) == ["a,b", 'c"d'] * 3


def test_only_rows_with_or_without_a_truth_and_of_a_time(shop: Shop, tmp_path: Path) -> None:
    ids = shop.keep([table() for _ in range(4)])
    shop.tell(Outcome(ids[1], 0, "yes", at=1.0), Outcome(ids[3], 1, "no", at=1.0))
    known = shop.export(tmp_path / "with", truth="with")
    assert (known.rows, known.decisions) == (2, 2)
    unknown = shop.export(tmp_path / "without", truth="without")
    assert (unknown.rows, unknown.rows_with_truth) == (6, 0)
    assert shop.export(tmp_path / "between", since=100.0, until=300.0).rows == 4
    with pytest.raises(ConfigError, match="has a truth"):
        read_exported(tmp_path / "without")


def test_decisions_in_columns_are_found_too(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet, "ROW_GROUP", 3)
    shop.keep([table(seed=i) for i in range(8)], missing=(4,))
    before = shop.export(tmp_path / "before")
    compact(Segment(0, 0, 0, shop.home.journal / "0" / segment_name(0, 0)))
    after = shop.export(tmp_path / "after")
    assert after.digest == before.digest
    assert (after.without_decision, after.decisions) == (1, 8)


def picture(value: int, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(file, format=kind)
    return file.getvalue()


def test_images_lie_by_class(shop: Shop, tmp_path: Path) -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    ids = shop.keep([{"image": [picture(1), picture(2, "PNG")]}, {"image": [pixels]}])
    shop.tell(Outcome(ids[0], 0, "../yes", at=1.0), Outcome(ids[1], 0, "no", at=1.0))
    card = shop.export(tmp_path / "set", form="folder")
    names = sorted(str(p.relative_to(tmp_path / "set")) for p in (tmp_path / "set").rglob("*") if p.is_file())
    assert names == [
        "%2E.%2Fyes/" + f"{ids[0]}-0.jpg", f"_unlabelled/{ids[0]}-1.png", "card.json", "card.md", "data.ndjson",
        f"no/{ids[1]}-0.png",
    ]  # fmt: skip
    assert (tmp_path / "set" / names[0]).read_bytes() == picture(1)
    found = read_exported(tmp_path / "set")
    assert found.data.labels.tolist() == ["../yes", "no"]
    assert found.data.raw["image"][0] == picture(1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.data.raw["image"][1]))), pixels)
    assert [one.kind for one in card.inputs] == ["image"]
    beside = shop.export(tmp_path / "table", form="csv")
    assert beside.rows == 3
    assert len(list((tmp_path / "table" / "images").iterdir())) == 3


def test_the_card_says_where_it_is_from_and_what_was_left_out(shop: Shop, tmp_path: Path) -> None:
    shop.keep([table(), {"other": np.arange(2)}, table()], removed=("email",), only=("errors",))
    path = shop.home.captures / "shop" / "0" / segment_name(0, 0)
    newer = encode_record(RecordKind.CAPTURE, 50, b"\x63later", SALT)
    path.write_bytes(path.read_bytes() + b"some bytes that are none" + newer)
    card = shop.export(tmp_path / "set")
    assert (card.rows, card.other_inputs, card.unreadable_records) == (4, 1, 1)
    assert card.damaged_bytes == len(b"some bytes that are none")
    assert (card.removed, card.only) == (["email"], ["errors"])
    stored = json.loads((tmp_path / "set" / "card.json").read_bytes())
    assert stored["endpoint"] == "shop"
    assert stored["author"] == "tester"
    page = (tmp_path / "set" / "card.md").read_text()
    assert "| columns removed | email |" in page
    assert card.digest in page
    for name in ("card.json", "card.md"):
        (tmp_path / "set" / name).unlink()
    assert digest_of_files(tmp_path / "set") == card.digest
    again = shop.export(tmp_path / "again")
    assert again.digest == card.digest


def test_a_data_set_is_whole_or_not_there(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.keep([table()])
    out = tmp_path / "set"
    out.mkdir()
    with pytest.raises(ConfigError, match="exists"):
        shop.export(out)
    out.rmdir()
    with monkeypatch.context() as patched:
        patched.setattr("quorate.control.captures.datasets.digest_of_files", lambda folder: Path("/nowhere").stat())
        with pytest.raises(ConfigError, match="cannot be written"):
            shop.export(out)
    assert list(tmp_path.glob("*set*")) == []
    with pytest.raises(InvalidInput, match="images by class"):
        shop.export(out, form="folder")
    with pytest.raises(NotFound, match="data status"):
        export(shop.home, shop.project.database, shop.project.clock, "other", out)


def test_it_is_remembered_who_wrote_what_where(shop: Shop, tmp_path: Path) -> None:
    shop.keep([table()])
    parts = (shop.home, shop.project.database, shop.project.clock, "shop")
    options = {"form": "ndjson", "truth": "all"}
    card = write(*parts, tmp_path / "set", author="tester", options=options)
    with pytest.raises(ConfigError, match="exists"):
        write(*parts, tmp_path / "set", author="tester", options=options)
    with shop.project.database.read() as connection:
        (made,) = exports(connection, "shop")
        (failed,) = exports(connection, "shop", states=("failed",))
        entry = entries(connection)[0]
        assert exports(connection, "other") == []
    assert (made.place, made.rows, made.digest, made.state) == (str(tmp_path / "set"), 2, card.digest, "done")
    assert "exists" in (failed.error or "")
    assert (entry.action, entry.actor, entry.subject) == ("data.export", "tester", "shop")


@pytest.fixture
def desk(shop: Shop) -> DatasetDesk:
    with shop.project.database.begin() as connection:
        add_revision(connection, "shop", "{}", author="t", now=0.0)
    return DatasetDesk(shop.home, shop.project.database, shop.project.clock)


def test_control_writes_a_data_set_that_is_fetched_as_one_file(shop: Shop, desk: DatasetDesk) -> None:
    shop.keep([table()])
    made = desk.submit("shop", {"form": "csv", "truth": "all", "since": None, "until": None}, author="key k")
    with pytest.raises(Conflict, match="queued"):
        desk.result(made.id)
    assert desk.work()
    assert not desk.work()
    done = desk.get(made.id)
    assert (done.state, done.rows, done.error) == ("done", 2, None)
    with zipfile.ZipFile(desk.result(made.id)) as packed:
        assert sorted(packed.namelist()) == ["card.json", "card.md", "data.csv"]
        assert json.loads(packed.read("card.json"))["digest"] == done.digest
    assert [path.name for path in shop.home.datasets.iterdir()] == [f"{made.id}.zip"]
    desk.delete(made.id)
    assert list(shop.home.datasets.iterdir()) == []
    with pytest.raises(NotFound):
        desk.get(made.id)


def test_one_that_cannot_be_written_says_why_and_an_interrupted_one_goes_on(shop: Shop, desk: DatasetDesk) -> None:
    options = {"form": "csv", "truth": "all", "since": None, "until": None}
    failing = desk.submit("shop", options, author="t")
    assert desk.work()
    assert "No input of endpoint 'shop'" in (desk.get(failing.id).error or "")
    shop.keep([table()])
    interrupted = desk.submit("shop", options, author="t")
    with shop.project.database.begin() as connection:
        update_export(connection, interrupted.id, state="running")
    (shop.home.datasets / interrupted.id).mkdir(parents=True)
    assert desk.work()
    assert desk.get(interrupted.id).state == "done"
    with pytest.raises(NotFound):
        desk.submit("other", options, author="t")


def test_it_is_written_again_where_somebody_was_erased_meanwhile(
    shop: Shop, desk: DatasetDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.keep([table()])
    made = desk.submit("shop", {"form": "csv", "truth": "all", "since": None, "until": None}, author="t")
    written = []
    real = exporting.export

    def watched(*args: Any, **more: Any) -> Card:
        card = real(*args, **more)
        written.append(card.rows)
        if len(written) == 1:
            shop.keep([table(), table()])  # what an erasure has left
            now = shop.project.clock.now()
            erased = Erasure("e", "shop", "unit", "", "", False, "t", "done", now - 1, now)
            with shop.project.database.begin() as connection:
                add_erasure(connection, erased)
            shop.project.clock.advance(1)
        return card

    monkeypatch.setattr(exporting, "export", watched)
    assert desk.work()
    assert desk.get(made.id).state == "running"
    assert list(shop.home.datasets.iterdir()) == []
    assert desk.work()
    assert written == [2, 4]
    assert desk.get(made.id).rows == 4


def test_none_is_written_while_somebody_is_erased(shop: Shop, desk: DatasetDesk) -> None:
    shop.keep([table()])
    asked = ask(shop.home, shop.project.database, shop.project.clock, "shop", unit="ann", author="t")
    made = desk.submit("shop", {"form": "csv", "truth": "all", "since": None, "until": None}, author="t")
    assert not desk.work()
    with shop.project.database.begin() as connection:
        update_erasure(connection, asked.id, state="done", finished=shop.project.clock.now())
    shop.project.clock.advance(1)
    assert desk.work()
    assert desk.get(made.id).state == "done"


def test_data_sets_are_kept_as_long_as_results_of_jobs(shop: Shop, desk: DatasetDesk) -> None:
    shop.keep([table()])
    made = desk.submit("shop", {"form": "csv", "truth": "all", "since": None, "until": None}, author="t")
    desk.work()
    shop.project.clock.advance(6 * 86_400)
    desk.work()
    assert desk.result(made.id).exists()
    shop.project.clock.advance(2 * 86_400)
    desk.work()
    assert desk.list() == []
    assert list(shop.home.datasets.iterdir()) == []


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no exported data set"):
        read_exported(tmp_path)
    (tmp_path / "card.json").write_text('{"endpoint": "e", "format": "csv", "inputs": [], "card_format": 9}')
    with pytest.raises(ConfigError, match="format 9"):
        read_exported(tmp_path)
