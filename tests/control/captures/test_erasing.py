"""One subject is taken out of everything, nothing else is touched, and whatever is killed when."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs import capture as capture_codec
from quorate.codecs import decision as decision_codec
from quorate.codecs import erasure, sealing
from quorate.codecs.capture import Capture
from quorate.codecs.capture_reader import CaptureReader
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, scan, segment_name
from quorate.codecs.lookup import JournalReader, Segment
from quorate.codecs.snapshot import ShipSettings
from quorate.control import keys
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.captures.erasing import Eraser, ask, forget_answers, get
from quorate.control.journal.compact import compact
from quorate.control.journal.ingest import Ingest
from quorate.control.journal.ship import Shipper
from quorate.core.erasing import is_erased
from quorate.core.record import KeyedHash
from quorate.core.types import Decision
from quorate.errors import InvalidInput, NotFound
from quorate.ids import DecisionId
from quorate.serving.idempotency import IdempotencyTable
from quorate.store.audit import entries
from quorate.store.datasets import DONE, Exported, add_export, exports
from quorate.store.erasures import Erasure
from quorate.store.revisions import add_revision
from quorate.testing.clock import FakeClock

SALT = 5
USERS = ("ann", "bob", "ann", "eve", "ann", "bob")


class Shop:
    """A project with an endpoint whose decisions and captured inputs are of a few users."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.home = project.home
        self.database = project.database
        self.clock = project.clock
        content = {"endpoint": {"name": "shop", "revision": 0, "pool": "p", "strategies": []}, "pool": {}}
        content["endpoint"] |= {"policy": {"kind": "split", "sticky": "user"}}  # type: ignore[operator]
        with self.database.begin() as connection:
            add_revision(connection, "shop", json.dumps(content), author="t", now=0.0)

    def decision(self, sequence: int, user: str, endpoint: str = "shop", **changes: Any) -> Decision:
        rng = np.random.default_rng(sequence)
        base: dict[str, Any] = {
            "id": str(DecisionId(1000 + sequence, 0, 0, sequence)), "endpoint": endpoint, "revision": 1,
            "state_version": 0, "source": "policy", "arrived": 60.0 * sequence, "queue_ms": 0.5, "latency_ms": 1.0,
            "context": {"user": user, "n": sequence}, "strategies": ("s", "t"), "propensities": (0.25, 0.75),
            "assigned": "s", "served": "s", "members": (), "outputs": rng.random((2, 3, 2)).astype("f4"),
            "status": np.zeros((2, 3), "i1"), "answer": rng.random((2, 2)).astype("f4"), "degraded": False, "rows": 2,
            "input_digest": b"digest", "classes": ("no", "yes"), "unit": user, "request_id": f"r-{user}",
            "idempotency_key": f"k-{user}", "traceparent": "00-1", "facts": {"input.rows": 2}, "capture": "kept",
        }  # fmt: skip
        return Decision(**(base | changes))

    def journal(self, decisions: list[Decision], *, first: int = 0, sealed: bool = True) -> Segment:
        path = self.home.journal / "0" / segment_name(0, first)
        records = [(RecordKind.DECISION, DecisionId.parse(d.id).sequence, decision_codec.encode(d)) for d in decisions]
        self._write(path, first, records, sealed)
        return Segment(0, 0, first, path)

    def captures(self, decisions: list[Decision], *, first: int = 0) -> Segment:
        path = self.home.captures / "shop" / "0" / segment_name(0, first)
        records = []
        for d in decisions:
            inputs = {"x": np.arange(2.0), "name": [f"input of {d.unit}"]}
            made = Capture(d.id, d.endpoint, 1, d.arrived, 2, 0.5, inputs, (), d.context, d.unit)
            records.append((RecordKind.CAPTURE, DecisionId.parse(d.id).sequence, capture_codec.encode(made)))
        self._write(path, first, records, True)
        return Segment(0, 0, first, path)

    def _write(self, path: Path, first: int, records: list[tuple[int, int, bytes]], sealed: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode_header(Header(0, 0, first, 1, SALT)) + b"".join(encode_record(*r, SALT) for r in records)
        end = encode_record(RecordKind.SEAL, first + 1000, b"", SALT) if sealed else b""
        path.write_bytes(data + end)
        os.utime(path, (1000.0, 2000.0))

    def usual(self) -> list[Decision]:
        made = [self.decision(i, user) for i, user in enumerate(USERS)]
        self.journal(made)
        self.captures(made)
        self.ingest()
        return made

    def ingest(self) -> None:
        Ingest(JournalReader(self.home.journal), self.database).catch_up()

    def eraser(self, **more: Any) -> Eraser:
        return Eraser(self.home, self.database, self.clock, **more)

    def ask(self, **subject: Any) -> Erasure:
        return ask(self.home, self.database, self.clock, "shop", author="tester", **subject)

    def erase(self, **subject: Any) -> Erasure:
        asked = self.ask(**subject)
        self.eraser().work()
        return get(self.database, asked.id)

    def found(self) -> list[Decision]:
        return list(JournalReader(self.home.journal).decisions())

    def everything(self) -> bytes:
        """All bytes of the project's state, SQL included."""
        return b"".join(path.read_bytes() for path in sorted(self.home.state.rglob("*")) if path.is_file())


@pytest.fixture
def shop(project: Any) -> Shop:
    return Shop(project)


class Port:
    """Sends requests to the control port's application."""

    def __init__(self, shop: Shop) -> None:
        journal = JournalReader(shop.home.journal)
        services = Services(shop.home, shop.project.registry, shop.database, journal, shop.clock)
        self.app = create_app(services, Access(shop.home, shop.database, "127.0.0.1"))

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture
def port(shop: Shop) -> Port:
    return Port(shop)


@pytest.mark.parametrize("compacted", [False, True], ids=["segments", "columns"])
@pytest.mark.parametrize(
    "subject", [{"context": {"user": "ann"}}, {"unit": "ann"}, "decisions"], ids=["context", "unit", "decisions"]
)
def test_a_subject_goes_and_everybody_else_stays_as_they_were(shop: Shop, compacted: bool, subject: Any) -> None:
    made = shop.usual()
    path = shop.home.journal / "0" / segment_name(0, 0)
    if compacted:
        pytest.importorskip("pyarrow")
        compact(Segment(0, 0, 0, path))
        path = path.with_suffix(".parquet")
    if subject == "decisions":
        subject = {"decisions": [d.id for d in made if d.unit == "ann"]}
    before = {d.id: decision_codec.encode(d) for d in shop.found()}
    done = shop.erase(**subject)
    assert done.state == "done"
    assert (done.report["decisions"], done.report["captures"], done.report["files"]) == (3, 3, 2)
    assert path.stat().st_mtime == 2000.0
    marks = set()
    for decision in shop.found():
        old = made[DecisionId.parse(decision.id).sequence]
        if old.unit != "ann":
            assert decision_codec.encode(decision) == before[decision.id]
            continue
        assert is_erased(decision.capture)
        marks.add((decision.capture, decision.unit))
        assert decision.unit is not None
        assert "ann" not in decision.unit
        for field in Decision._fields:
            value = getattr(decision, field)
            if field in ("context", "facts", "input_digest", "request_id", "idempotency_key", "traceparent"):
                assert not value
            elif isinstance(value, np.ndarray):
                assert value.tobytes() == getattr(old, field).tobytes()
            elif field not in ("unit", "capture"):
                assert value == getattr(old, field), field
    assert len(marks) == 1  # whoever it was, it was one
    kept = list(CaptureReader(shop.home.captures).captures("shop"))
    assert [capture.unit for capture in kept] == ["bob", "eve", "bob"]
    reader = JournalReader(shop.home.journal)
    assert all(reader.find(d.id) is not None and reader.outline(d.id) is not None for d in made)


def test_no_byte_of_the_subject_is_left(shop: Shop) -> None:
    shop.usual()
    assert b"ann" in shop.everything()
    assert shop.erase(context={"user": "ann"}).state == "done"
    left = shop.everything()
    assert b"ann" not in left
    assert b"bob" in left


def test_what_was_recorded_hashed_is_found_by_the_same_hash(shop: Shop) -> None:
    hashed = KeyedHash("")("ann")
    made = [shop.decision(0, hashed), shop.decision(1, "bob"), shop.decision(2, "x", context={}, unit=hashed)]
    shop.journal(made)
    shop.ingest()
    assert shop.erase(context={"user": "ann"}).report["decisions"] == 2  # the third by its unit, which is that key
    assert hashed.encode() not in (shop.home.journal / "0" / segment_name(0, 0)).read_bytes()


def test_another_endpoint_keeps_its_own(shop: Shop) -> None:
    shop.journal([shop.decision(0, "ann"), shop.decision(1, "ann", endpoint="other")])
    shop.ingest()
    assert shop.erase(unit="ann").report["decisions"] == 1
    assert [d.unit == "ann" for d in shop.found()] == [False, True]


def test_a_dry_run_says_what_would_go_and_changes_nothing(shop: Shop) -> None:
    shop.usual()
    files = list(shop.home.state.rglob("*.qj"))
    before = [path.read_bytes() for path in files]
    done = shop.erase(context={"user": "ann"}, dry_run=True)
    assert (done.report["decisions"], done.report["captures"]) == (3, 3)
    assert [path.read_bytes() for path in files] == before
    assert shop.erase(context={"user": "ann"}).report["decisions"] == 3
    assert shop.erase(context={"user": "ann"}).report["decisions"] == 0


def test_the_audit_trail_names_who_asked_and_nobody_else(shop: Shop) -> None:
    shop.usual()
    done = shop.erase(context={"user": "ann"})
    with shop.database.read() as connection:
        trail = [e for e in entries(connection) if e.action.startswith("erasure")]
    assert [(e.actor, e.action, e.subject) for e in trail] == [
        ("tester", "erasure.done", "shop"), ("tester", "erasure.ask", "shop"),
    ]  # fmt: skip
    assert trail[0].detail["subject"] == trail[1].detail["subject"] == KeyedHash("")("ann")
    assert trail[0].detail["decisions"] == 3
    assert (done.subject, done.token) == ("", "")
    by_id = shop.erase(decisions=[shop.decision(1, "bob").id])
    assert by_id.report["decisions"] == 1


def test_what_is_open_is_sealed_first(shop: Shop) -> None:
    made = shop.usual()
    open_ = shop.journal([shop.decision(10, "ann")], first=10, sealed=False)
    asked = shop.ask(unit="ann")
    eraser = shop.eraser()
    with open_.path.open("r+b") as worker:
        fcntl.flock(worker, fcntl.LOCK_EX)
        assert not eraser.work()
        waiting = get(shop.database, asked.id)
        assert waiting.state == "waiting"
        assert waiting.report["waiting"] == [f"journal/0/{open_.path.name}"]
        assert sealing.stamp(shop.home.seal) is not None  # workers were asked
    assert not eraser.work()  # nobody writes to it any more, but it is not ingested
    shop.ingest()
    assert eraser.work()
    assert get(shop.database, asked.id).report["decisions"] == 4
    assert [d.id for d in shop.found()] == [*(d.id for d in made), shop.decision(10, "ann").id]


def test_what_comes_later_is_waited_for_by_nobody(shop: Shop) -> None:
    shop.usual()
    asked = shop.ask(unit="ann")
    later = shop.journal([shop.decision(10, "eve")], first=10, sealed=False)
    data = later.path.read_bytes()
    created = int((asked.created + 1) * 1e9)
    later.path.write_bytes(encode_header(Header(0, 0, 10, created, SALT)) + data[36 + 4 :])
    with later.path.open("r+b") as worker:
        fcntl.flock(worker, fcntl.LOCK_EX)
        assert shop.eraser().work()


def test_it_waits_while_something_else_rewrites_files(shop: Shop) -> None:
    shop.usual()
    shop.ask(unit="ann")
    busy = [True]
    eraser = shop.eraser(busy=lambda: busy[0])
    assert not eraser.work()
    assert eraser.pending
    busy.clear()
    busy.append(False)
    assert eraser.work()
    eraser.work()
    assert not eraser.pending


def test_a_turn_is_short_and_the_next_one_goes_on(shop: Shop) -> None:
    for first in range(0, 40, 10):
        made = [shop.decision(first + i, user) for i, user in enumerate(USERS)]
        shop.journal(made, first=first)
    shop.ingest()
    asked = shop.ask(unit="ann")
    eraser, turns = shop.eraser(), 1
    while eraser.work(budget_s=0.0) and get(shop.database, asked.id).state != "done":
        turns += 1
    assert turns == 5
    assert get(shop.database, asked.id).report["decisions"] == 12


def test_one_that_was_interrupted_begins_again_and_counts_right(shop: Shop) -> None:
    for first in range(0, 40, 10):
        made = [shop.decision(first + i, user) for i, user in enumerate(USERS)]
        shop.journal(made, first=first)
    shop.captures(made, first=30)
    shop.ingest()
    asked = shop.ask(unit="ann")
    killed = shop.eraser()
    assert killed.work(budget_s=0.0)
    assert killed.work(budget_s=0.0)  # two files are written anew; then this process is no more
    assert sum(d.unit == "ann" for d in shop.found()) == 6
    assert get(shop.database, asked.id).state == "running"
    assert shop.eraser().work()
    done = get(shop.database, asked.id)
    assert (done.state, done.report["decisions"], done.report["captures"], done.report["files"]) == ("done", 12, 3, 5)
    assert len({d.unit for d in shop.found() if is_erased(d.capture)}) == 1


def test_an_old_index_in_memory_finds_what_was_rewritten(shop: Shop) -> None:
    made = shop.usual()
    reader = JournalReader(shop.home.journal)
    assert reader.find(made[5].id) is not None
    shop.erase(unit="ann")
    for decision in made:
        found = reader.find(decision.id)
        assert found is not None
        assert found.id == decision.id
        assert reader.outline(decision.id) is not None


def test_ingesting_goes_on_after_a_segment_was_rewritten(shop: Shop) -> None:
    shop.usual()
    shop.erase(unit="ann")
    fresh = Ingest(JournalReader(shop.home.journal), shop.database)
    assert fresh.catch_up() == 0


def test_a_full_disk_changes_nothing_and_it_begins_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.usual()
    before = {path: path.read_bytes() for path in shop.home.state.rglob("*.qj")}

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    asked = shop.ask(unit="ann")
    eraser = shop.eraser()
    with monkeypatch.context() as patched:
        patched.setattr("quorate.codecs.erasure._write", full)
        assert not eraser.work()
    assert "No space left" in (get(shop.database, asked.id).error or "")
    assert {path: path.read_bytes() for path in shop.home.state.rglob("*.qj")} == before
    assert not list(shop.home.state.rglob(".tmp-*"))
    assert not eraser.work()  # not at once
    shop.clock.advance(61)
    assert eraser.work()
    done = get(shop.database, asked.id)
    assert (done.state, done.error, done.report["decisions"]) == ("done", None, 3)


def test_bad_bytes_are_told_and_do_not_stop_it(shop: Shop) -> None:
    made = shop.usual()
    path = shop.home.captures / "shop" / "0" / segment_name(0, 0)
    data = bytearray(path.read_bytes())
    data[data.index(b"input of eve")] ^= 1
    path.write_bytes(data)
    dry = shop.erase(unit="ann", dry_run=True)
    done = shop.erase(unit="ann")
    assert dry.report["damaged"] == done.report["damaged"] > 0
    assert done.report["captures"] == 3
    found = scan(path)
    assert [r.sequence for r in found if r.kind == RecordKind.CAPTURE] == [0, 1, 2, 4, 5]
    assert not found.damage
    assert [c.id for c in CaptureReader(shop.home.captures).captures("shop")] == [made[1].id, made[5].id]
    newer = encode_record(RecordKind.CAPTURE, 1001, b"\x63from the future", SALT)
    with path.open("r+b") as file:
        sealed = encode_record(RecordKind.SEAL, 1000, b"", SALT)
        file.truncate(path.stat().st_size - len(sealed))
        file.seek(0, 2)
        file.write(newer)
    done = shop.erase(unit="bob")
    assert done.report["unreadable"] == 1
    assert [r.payload for r in scan(path)][-1] == b"\x63from the future"


def test_remembered_answers_are_forgotten(shop: Shop) -> None:
    path = shop.home.run / "idempotency.db"
    table = IdempotencyTable(path, slot=0, boot=0, clock=SystemClock())
    table.close()
    mine, other = shop.decision(0, "ann").id, shop.decision(1, "bob").id
    with sqlite3.connect(path) as connection:
        for key, id_ in (("a", mine), ("b", other)):
            body = json.dumps({"id": id_}).encode()
            connection.execute("INSERT INTO claims (key, fingerprint, slot, boot, at, body) VALUES (?, x'', 0, 0, 0, ?)", (key, body))  # fmt: skip  # noqa: E501
    connection.close()
    assert forget_answers(path, [mine], dry_run=True) == 1
    assert forget_answers(path, [mine]) == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT key FROM claims").fetchall() == [("b",)]
    connection.close()


def test_what_was_shipped_is_listed_and_shipped_again(shop: Shop, tmp_path: Path) -> None:
    made = shop.usual()
    segment = Segment(0, 0, 0, shop.home.journal / "0" / segment_name(0, 0))
    shipper = Shipper(ShipSettings(to=str(tmp_path / "away")), FakeClock())
    assert shipper.run([segment]) == 1
    assert shipper.run([segment]) == 0
    with shop.database.begin() as connection:
        add_export(connection, Exported("1", "shop", "/elsewhere/set", "csv", "tester", 1.0, DONE))
        add_export(connection, Exported("2", "shop", str(shop.home.datasets / "2.zip"), "csv", "tester", 0.0, DONE))
    shop.home.datasets.mkdir()
    (shop.home.datasets / "2.zip").write_bytes(b"ann")
    assert shop.erase(unit="ann", dry_run=True).report["exports"][0] == "/elsewhere/set"
    assert (shop.home.datasets / "2.zip").exists()
    done = shop.erase(unit="ann")
    assert done.report["exports"] == ["/elsewhere/set", str(shop.home.datasets / "2.zip")]
    assert not (shop.home.datasets / "2.zip").exists()
    with shop.database.read() as connection:
        assert [made.id for made in exports(connection)] == ["1"]
    assert len(done.report["shipped"]) == 1
    assert done.report["shipped"][0].endswith(f"0/{segment.path.name}")
    copy = tmp_path / "away" / "0" / segment.path.name
    assert b"r-ann" in copy.read_bytes()
    assert shipper.run([segment]) == 1  # with what it remembers, and without
    assert b"r-ann" not in copy.read_bytes()
    assert Shipper(shipper.settings, FakeClock()).run([segment]) == 0
    assert made[1].request_id is not None
    assert made[1].request_id.encode() in copy.read_bytes()


@pytest.mark.parametrize(
    ("subject", "path"),
    [
        ({}, "subject"),
        ({"unit": "a", "context": {"b": "c"}}, "subject"),
        ({"context": {"a": 1, "b": 2}}, "subject"),
        ({"context": {"a b": 1}}, "context"),
        ({"context": {"a": None}}, "context"),
        ({"decisions": ["junk"]}, "id"),
    ],
)
def test_who_is_meant_must_be_clear(shop: Shop, subject: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.ask(**subject)
    assert refused.value.path == path
    with pytest.raises(NotFound, match="never was one"):
        ask(shop.home, shop.database, shop.clock, "nobody", unit="ann", author="tester")


KILLED = """
    import os, sys
    from pathlib import Path
    from quorate.codecs import erasure, parquet

    if parquet.available():
        parquet.arrow()

    def child(root, left):
        def match(id_, endpoint, context, unit):
            return unit == "ann"

        def watch(event, args):
            nonlocal left
            touches = event in ("os.rename", "os.remove", "os.utime") or (event == "open" and "w" in str(args[1]))
            if touches and str(root) in str(args[0]):
                if left == 0:
                    os.kill(os.getpid(), 9)
                left -= 1

        sys.addaudithook(watch)
        for path in sorted(root.iterdir()):
            erase = erasure.erase_columns if path.suffix == ".parquet" else erasure.erase_segment
            if path.suffix in (".parquet", ".qj") and ".outcomes" not in path.name:
                erase(path, match, "t1", dry_run=False)

    for k in range(int(sys.argv[2])):
        pid = os.fork()
        if pid == 0:
            try:
                child(Path(sys.argv[1]) / str(k) / "0", k)
            except BaseException as error:
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.timeout(120)
def test_killed_before_any_touch_of_the_disk_it_is_finished_later(shop: Shop, tmp_path: Path) -> None:
    """kill -9 before the first, second … operation on a folder of a segment and columns; each is then gone on with."""
    pytest.importorskip("pyarrow")
    one = [shop.decision(i, user) for i, user in enumerate(USERS)]
    other = [shop.decision(10 + i, user) for i, user in enumerate(USERS)]
    shop.journal(one)
    compact(Segment(0, 0, 0, shop.home.journal / "0" / segment_name(0, 0)))
    shop.journal(other, first=10)
    many = 12
    for k in range(many):
        target = tmp_path / "copies" / str(k) / "0"
        target.mkdir(parents=True)
        for path in (shop.home.journal / "0").iterdir():
            (target / path.name).write_bytes(path.read_bytes())
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "copies"), str(many)]
    codes = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    kills = codes.count("-9")
    assert codes == ["-9"] * kills + ["0"] * (many - kills)
    assert 4 < kills < many
    wanted = [d.id for d in (*one, *other)]
    for k in range(kills + 1):
        root = tmp_path / "copies" / str(k)
        assert [d.id for d in JournalReader(root).decisions()] == wanted  # whole at any moment
        counts = 0
        for segment in JournalReader(root).files():
            erase = erasure.erase_columns if segment.compacted else erasure.erase_segment
            taken = erase(segment.path, lambda i, e, c, unit: unit == "ann", "t1", dry_run=False)
            counts += len(taken.ids) + len(taken.before)
        assert counts == 6  # as many as if nobody had been killed
        units = [d.unit for d in JournalReader(root).decisions()]
        assert units == ["erased-t1" if d.unit == "ann" else d.unit for d in (*one, *other)]


def test_a_digest_of_all_that_stays_is_the_same_after_two_erasures(shop: Shop) -> None:
    shop.usual()

    def digest() -> str:
        return hashlib.sha256(b"".join(decision_codec.encode(d) for d in shop.found() if d.unit == "eve")).hexdigest()

    before = digest()
    shop.erase(unit="ann")
    shop.erase(unit="bob")
    assert digest() == before
    assert len({d.unit for d in shop.found()}) == 3


# --- over HTTP ------------------------------------------------------------------------------------


def test_an_erasure_is_asked_for_done_and_looked_at(shop: Shop, port: Port) -> None:
    shop.usual()
    asked = port("POST", "/v1/erasures", json={"endpoint": "shop", "context": {"user": "ann"}})
    assert asked.status_code == 202
    made = asked.json()
    assert (made["state"], made["by"], made["decisions"]) == ("queued", "context.user", 0)
    assert Eraser(shop.home, shop.database, shop.clock).work()
    done = port("GET", f"/v1/erasures/{made['id']}").json()
    assert (done["state"], done["decisions"], done["captures"]) == ("done", 3, 3)
    assert port("GET", "/v1/erasures").json() == [done]
    assert "ann" not in port("GET", "/v1/audit").text
    assert port("GET", "/v1/erasures/" + "0" * 32).status_code == 404


def test_what_is_kept_is_listed(shop: Shop, port: Port) -> None:
    shop.usual()
    found = port("GET", "/v1/captures").json()
    (one,) = found
    assert (one["endpoint"], one["files"], one["declared"], one["keep_days"]) == ("shop", 1, False, 30.0)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"endpoint": "shop"}, "subject"),
        ({"endpoint": "shop", "unit": "a", "decisions": ["b"]}, "subject"),
        ({"endpoint": "shop", "context": {"a": 1, "b": 2}}, "context"),
        ({"endpoint": "shop", "decisions": ["x"]}, "id"),
        ({"endpoint": "shop", "who": "x"}, "who"),
    ],
)
def test_who_is_meant_must_be_clear_over_http_too(shop: Shop, port: Port, body: Any, path: str) -> None:
    answer = port("POST", "/v1/erasures", json=body)
    assert answer.status_code == 422
    assert path in answer.json()["path"]


def test_only_an_admin_may_erase(shop: Shop, port: Port) -> None:
    shop.project.apply()
    secrets = {
        role: keys.create(shop.home, shop.database, name=role, roles=(role,), author="t", clock=shop.clock)[1]
        for role in ("operate", "admin")
    }
    body = {"endpoint": "shop", "unit": "ann"}
    found = {
        role: port("POST", "/v1/erasures", json=body, headers={"x-api-key": secret}).status_code
        for role, secret in secrets.items()
    }
    assert found == {"operate": 403, "admin": 202}
