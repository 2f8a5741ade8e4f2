"""Batches end to end without a transport: formats, options, faults, revisions, back-pressure."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from quorate.codecs.batch import ARROW, NDJSON, PARQUET
from quorate.codecs.snapshot import PolicyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import (
    InvalidInput,
    MalformedRequest,
    MemberCrashed,
    NotFound,
    Overloaded,
    QuorateError,
    TooLarge,
    UnsupportedMediaType,
)
from quorate.serving.bulk import feed, scorer
from quorate.web.limits import ClientDisconnected

ROW = b"[1, 2]\n"
COLUMNS = Signature(
    "columns",
    (
        TensorSpec("größe", "float32", (None,), nullable=True),
        TensorSpec("n", "int64", (None,)),
        TensorSpec("text", "str", (None,)),
    ),
    OutputSpec("scores", ("no", "yes")),
)


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=5)
    return sink.getvalue()


def file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, row_group_size=4)
    return sink.getvalue()


def numbers(rows: int) -> pa.Table:
    return pa.table({"input": pa.array([[i, 1.0] for i in range(rows)], pa.list_(pa.float32(), 2))})


def sums(house: Any) -> Any:
    """A member that says "yes" with the first number, so that every row can be told from the others."""

    def answer(tensors: Any) -> Any:
        yes = np.clip(tensors["input"][:, 0] / 1000, 0, 1)
        return np.stack([1 - yes, yes], axis=1).astype(np.float32)

    return house.pool(a=house.inline(answer))


def test_every_line_is_answered_in_order_with_its_id_and_decision(bench: Any) -> None:
    bench.publish(sums(bench.house))
    body = b"".join(json.dumps({"id": f"r{i}", "instance": [i, 0]}).encode() + b"\n" for i in range(300))
    rows, summary = bench.score([body[i : i + 37] for i in range(0, len(body), 37)])
    assert [row["row"] for row in rows] == list(range(300))
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(300)]
    assert [row["prediction"]["probabilities"]["yes"] for row in rows] == pytest.approx([i / 1000 for i in range(300)])
    assert {row["revision"] for row in rows} == {2}
    assert {(row["strategy"], row["degraded"]) for row in rows} == {("average", False)}
    assert summary == {"rows": 300, "answered": 300, "failed": 0, "complete": True}
    decisions = {decision.id: decision for decision in bench.house.journal.decisions}
    assert sum(decision.rows for decision in decisions.values()) == 300
    assert 1 < len(decisions) < 300
    for row in rows:
        said = decisions[row["decision"]].answer[row["decision_row"]]
        assert said[1] == pytest.approx(row["prediction"]["probabilities"]["yes"], abs=1e-6)
    assert {decision.request_id for decision in decisions.values()} == {"r1"}


def test_bare_rows_envelopes_blank_lines_and_a_missing_last_newline(bench: Any) -> None:
    rows, summary = bench.score(b'[1,2]\r\n\n  \n{"instance":[3,4],"id":7}\n[5,6]')
    assert [(row["row"], row.get("id")) for row in rows] == [(0, None), (1, 7), (2, None)]
    assert summary["answered"] == 3


def test_a_bad_line_fails_alone_and_says_why(bench: Any) -> None:
    lines = [
        b"[1, 2]",
        b"no json",
        b'{"instance": [1, 2], "more": 1}',
        b"[1, 2, 3]",
        b'["1", 2]',
        b'{"id": "\xff", "instance": [1, 2]}',
        b"[1, NaN]",
        b'1],"context":{"a":1},"x":[1',
        b"[" * 100 + b"]" * 100,
        b'{"id": {"a": 1}, "instance": [1, 2]}',
        b'{"instance": [1, 2], "context": {"a": [1]}}',
        b"[" + b"1" * 400 + b", 1]",
        b"[3, 4]",
    ]
    rows, summary = bench.score(b"\n".join(lines))
    assert [("error" in row) for row in rows] == [False, *[True] * 11, False]
    assert summary == {"rows": 13, "answered": 2, "failed": 11, "complete": True}
    codes = [row.get("error", {}).get("code") for row in rows]
    assert codes[1] == codes[5] == codes[6] == codes[7] == "malformed_request"
    assert codes[2] == codes[3] == codes[4] == codes[9] == codes[10] == "invalid_input"
    assert codes[8] == codes[11] == "too_large"
    assert rows[3]["error"]["path"] == "instance"
    assert rows[4]["error"]["path"] == "instance[0]"
    assert "instances" not in json.dumps(rows)
    assert sum(decision.rows for decision in bench.house.journal.decisions) == 2


def test_a_line_of_any_length_costs_no_memory_and_fails_alone(bench: Any) -> None:
    bench.publish(body_bytes=1000)

    def body() -> Any:
        yield ROW + b"["
        for _ in range(1600):  # 100 MiB
            yield b"1," * 32768
        yield b"1]\n" + ROW

    rows, summary = bench.score(body())
    assert ["error" in row for row in rows] == [False, True, False]
    assert rows[1]["error"]["code"] == "too_large"
    assert "limits.body_bytes" in rows[1]["error"]["detail"]
    assert summary["complete"]


def test_nothing_sent_is_nothing_answered(bench: Any) -> None:
    nothing = {"rows": 0, "answered": 0, "failed": 0, "complete": True}
    assert bench.score(b"") == ([], nothing)
    assert bench.score(b"\n\n") == ([], nothing)
    assert bench.table(stream(numbers(0)), ARROW, ARROW) == ([], nothing)
    assert bench.table(file(numbers(0)), PARQUET, PARQUET) == ([], nothing)
    with pytest.raises(MalformedRequest, match="before its schema"):
        bench.score(b"", ARROW)
    with pytest.raises(MalformedRequest, match="not a Parquet file"):
        bench.score(b"", PARQUET)


@pytest.mark.parametrize("accept", [NDJSON, ARROW, PARQUET])
@pytest.mark.parametrize("form", [ARROW, PARQUET])
def test_tables_are_answered_in_any_format(bench: Any, form: str, accept: str) -> None:
    bench.publish(sums(bench.house))
    table = (
        numbers(23)
        .append_column("id", pa.array([f"r{i}" for i in range(23)]))
        .append_column("label", pa.array(["x"] * 23))
    )
    body = stream(table) if form == ARROW else file(table)
    if accept == NDJSON:
        rows, summary = bench.score(body, form, accept=accept.encode())
        said = [row["prediction"]["probabilities"]["yes"] for row in rows]
    else:
        rows, summary = bench.table(body, form, accept)
        said = [dict(row["probabilities"])["yes"] for row in rows]
        assert {row["error"] for row in rows} == {None}
    assert [row["row"] for row in rows] == list(range(23))
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(23)]
    assert said == pytest.approx([i / 1000 for i in range(23)])
    assert summary == {"rows": 23, "answered": 23, "failed": 0, "complete": True, "ignored": ["label"]}
    assert all(decision.input_digest for decision in bench.house.journal.decisions)


def test_columns_with_unicode_names_nulls_and_bad_values(bench: Any) -> None:
    seen: list[Any] = []

    def answer(tensors: Any) -> Any:
        seen.extend(zip(*[tensors[name].tolist() for name in ("größe", "n", "text")], strict=True))
        return np.full((len(tensors["n"]), 2), 0.5, np.float32)

    bench.publish(bench.house.pool(signature=COLUMNS, a=bench.house.inline(answer)))
    good = {"größe": 1.5, "n": 2, "text": "ä"}
    lines = [good, {**good, "größe": None}, {**good, "n": None}, {**good, "n": 2.5}, {**good, "text": 1}, {"n": 1}]
    rows, _ = bench.score("\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode())
    assert ["error" in row for row in rows] == [False, False, True, True, True, True]
    assert rows[2]["error"]["path"] == "instance.n"
    assert seen[0] == (1.5, 2, "ä")
    assert np.isnan(seen[1][0])
    seen.clear()
    table = pa.table(
        {
            "größe": pa.array([1.5, None, 3.0, float("inf")], pa.float64()),
            "n": pa.array([1, 2, None, 4], pa.int32()),
            "text": pa.array(["a", "b", "c", "d"]).dictionary_encode(),
        }
    )
    for body, form in ((stream(table), ARROW), (stream(table, compression="zstd"), ARROW), (file(table), PARQUET)):
        rows, summary = bench.table(body, form, ARROW)
        assert [row["error_path"] for row in rows] == [None, None, "instance.n", "instance.größe"]
        assert rows[2]["error"] == "Row 2 has no value for column 'n' (int64); send one."
        assert (summary["answered"], summary["failed"]) == (2, 2)
    assert [each[2] for each in seen] == ["a", "b"] * 3


def test_tables_of_the_wrong_columns_are_refused_as_a_whole(bench: Any) -> None:
    bench.publish(bench.house.pool(signature=COLUMNS, a=bench.house.inline(0.5)))
    good = {"größe": [1.0], "n": [1], "text": ["a"]}
    wrong = {
        "n": {**good, "n": ["1"]},
        "text": {**good, "text": [1]},
        "größe": {**good, "größe": [[1.0]]},
    }
    for name, table in wrong.items():
        for form, write in ((ARROW, stream), (PARQUET, file)):
            with pytest.raises(InvalidInput, match=name) as caught:
                bench.score(write(pa.table(table)), form)
            assert caught.value.path == name
    with pytest.raises(InvalidInput, match="There is no column 'n'"):
        bench.score(stream(pa.table({"größe": [1.0], "text": ["a"]})), ARROW)
    twice = pa.Table.from_arrays([pa.array([1])] * 2, names=["n", "n"])
    with pytest.raises(InvalidInput, match="there twice"):
        bench.score(stream(twice), ARROW)


def test_a_row_of_numbers_may_be_a_list_or_plain_columns(bench: Any) -> None:
    bench.publish(sums(bench.house))
    loose = pa.table({"x": [1, 2], "y": pa.array([None, 3.0])})
    rows, _ = bench.score(stream(loose), ARROW, accept=NDJSON.encode())
    assert rows[0]["error"]["path"] == "instance[1]"
    assert "error" not in rows[1]
    ragged = pa.table({"input": [[1.0, 2.0], [1.0], None, [1.0, None], [5.0, 6.0]]})
    rows, _ = bench.score(stream(ragged), ARROW, accept=NDJSON.encode())
    assert ["error" in row for row in rows] == [False, True, True, True, False]
    for table in (pa.table({"x": [1]}), pa.table({"x": [1], "y": ["a"]}), pa.table({"input": [1.0]})):
        with pytest.raises(InvalidInput):
            bench.score(stream(table), ARROW)


@pytest.mark.parametrize("cut", [1, 4, 7, 50, 200, 400, -10, -300])
def test_a_truncated_arrow_stream_is_named(bench: Any, cut: int) -> None:
    body = stream(numbers(20))[:cut]
    try:
        rows, summary = bench.score(body, ARROW, accept=NDJSON.encode())
    except MalformedRequest as error:
        assert "ends" in error.message  # noqa: PT017 - either way is right, by where the cut is
        return
    assert not summary["complete"]
    assert "ends inside a message" in summary["error"]["detail"]
    assert summary["answered"] == len(rows) <= 20
    assert [row["row"] for row in rows] == list(range(len(rows)))


def test_bytes_that_are_no_table_are_refused(bench: Any) -> None:
    for form, body in (
        (ARROW, b"x" * 1000),
        (ARROW, b"\xff\xff\xff\xff" + b"\x10\x00\x00\x00" + b"\xff" * 100),
        (PARQUET, file(numbers(8))[:-7]),
        (PARQUET, b"PAR1" + b"\x00" * 100 + b"\xff\xff\xff\x7fPAR1"),
    ):
        with pytest.raises((MalformedRequest, TooLarge)):
            bench.score(body, form)


def test_a_parquet_page_that_is_damaged_ends_the_answer_and_says_so(bench: Any) -> None:
    body = bytearray(file(numbers(8)))
    body[4:60] = b"\xa5" * 56
    try:
        _, summary = bench.score(bytes(body), PARQUET, accept=NDJSON.encode())
    except MalformedRequest:
        return
    assert not summary["complete"]
    assert summary["error"]["code"] == "malformed_request"


def test_random_damage_to_an_arrow_stream_never_crashes(bench: Any) -> None:
    whole = stream(numbers(12))
    rng = np.random.default_rng(5)
    for _ in range(150):
        body = bytearray(whole)
        for at in rng.integers(0, len(body), 3):
            body[at] = int(rng.integers(0, 256))
        try:
            rows, summary = bench.score(bytes(body), ARROW, accept=NDJSON.encode())
        except QuorateError as error:
            assert error.code in ("malformed_request", "invalid_input", "too_large")  # noqa: PT017
        else:
            assert summary["rows"] == len(rows)
            assert summary["complete"] or summary["error"]["code"] != "internal"


def test_compressed_bodies_and_bombs(bench: Any) -> None:
    rows, summary = bench.score([gzip.compress(ROW * 10) + gzip.compress(ROW)], encoding=b"gzip")
    assert (len(rows), summary["complete"]) == (11, True)
    packed = gzip.compress(ROW * 50)
    rows, summary = bench.score([packed[:-9]], encoding=b"gzip")
    assert not summary["complete"]
    assert "too early" in summary["error"]["detail"]
    _, summary = bench.score([ROW, b"x"], encoding=b"gzip")
    assert summary["error"]["code"] == "malformed_request"
    with pytest.raises(UnsupportedMediaType):
        bench.score(ROW, encoding=b"br")
    bench.publish(batch_bytes=1000)
    _, summary = bench.score([gzip.compress(ROW * 100_000)], encoding=b"gzip")
    assert summary["error"]["code"] == "too_large"
    assert "limits.batch_bytes" in summary["error"]["detail"]


def test_a_record_batch_is_bounded_also_once_unpacked(bench: Any) -> None:
    bench.publish(body_bytes=20_000)
    table = pa.table({"input": pa.array([[0.0, 0.0]] * 5000, pa.list_(pa.float32(), 2))})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    assert len(sink.getvalue()) < 5000
    _, summary = bench.score(sink.getvalue(), ARROW, accept=NDJSON.encode())
    assert summary["error"]["code"] == "too_large"
    bench.publish(spool_bytes=100)
    with pytest.raises(TooLarge, match=r"limits\.spool_bytes"):
        bench.score(file(numbers(100)), PARQUET)


def test_what_is_asked_for_wrongly_is_refused_before_an_answer_begins(bench: Any) -> None:
    for more, error in (
        ({"form": "text/csv"}, UnsupportedMediaType),
        ({"accept": b"image/png"}, UnsupportedMediaType),
        ({"endpoint": "nobody"}, NotFound),
        ({"query": b"strategy=nobody"}, NotFound),
        ({"query": b"speed=1"}, InvalidInput),
    ):
        with pytest.raises(error):
            bench.score(ROW, **more)
    assert bench.desk._streams == 0


def test_options_and_contexts(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "FIRST_ROWS", 16)
    lines = [{"instance": [1, 2], "context": {"user": user}} for user in (1, 1, 2, 2, 1)]
    body = "\n".join(map(json.dumps, lines)).encode()
    rows, _ = bench.score(body, query=b"strategy=first&context.shop=x&max_ms=500")
    assert {row["strategy"] for row in rows} == {"first"}
    found = [(decision.context, decision.rows) for decision in bench.house.journal.decisions]
    assert sorted((c["user"], c["shop"], n) for c, n in found) == [(1, "x", 1), (1, "x", 2), (2, "x", 2)]
    assert {decision.source for decision in bench.house.journal.decisions} == {"caller"}


def test_rows_without_the_context_that_assigns_fail_alone(bench: Any) -> None:
    policy = PolicyRoute("fixed", {"strategy": "average"}, sticky="user")
    bench.publish(policy=policy)
    rows, _ = bench.score(b'{"instance":[1,2],"context":{"user":1}}\n[1,2]\n[1,2]')
    assert ["error" in row for row in rows] == [False, True, True]
    assert rows[1]["error"]["path"] == "context.user"


def test_a_blind_endpoint_says_the_label_only(bench: Any) -> None:
    bench.publish(policy=PolicyRoute("split", {"weights": {"average": 1, "first": 1}}, blind=True))
    rows, _ = bench.score(ROW * 3)
    assert [row["prediction"] for row in rows] == [{"label": "yes"}] * 3
    assert {frozenset(row) for row in rows} == {
        frozenset({"row", "prediction", "decision", "decision_row", "revision"})
    }
    with pytest.raises(QuorateError) as caught:
        bench.score(ROW, query=b"strategy=first")
    assert caught.value.code == "forbidden"
    tabled, _ = bench.table(stream(numbers(3)), ARROW, ARROW)
    assert {(row["label"], row["confidence"], row["strategy"]) for row in tabled} == {("yes", None, None)}


def test_failing_members_are_the_rows_errors(bench: Any) -> None:
    bench.publish(bench.house.pool(a=bench.house.inline(bench.house.raises(MemberCrashed("it fell over.")))))
    rows, summary = bench.score(ROW * 5)
    assert {row["error"]["code"] for row in rows} == {"no_quorum"}
    assert summary == {"rows": 5, "answered": 0, "failed": 5, "complete": True}


def test_a_bug_is_the_rows_error_and_shows_nothing(bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(bench.house.plane, "predict", broken)
    rows, _ = bench.score(ROW)
    assert rows[0]["error"]["code"] == "internal"
    assert "secret" not in json.dumps(rows)
    assert "secret" in caplog.text


def test_the_endpoint_may_move_on_in_the_middle(bench: Any) -> None:
    bench.publish(sums(bench.house))
    first = bench.revision

    async def body() -> AsyncIterator[bytes]:
        yield ROW * 40
        await taken.wait()
        bench.publish()
        yield ROW * 40

    async def main() -> bytes:
        nonlocal taken
        taken = asyncio.Event()
        _, answer = await bench.desk.score(bench.request(body()))
        found = b""
        async for piece in answer:
            found += piece
            if found.count(b"\n") == 40:
                taken.set()
        return found

    taken: asyncio.Event
    *rows, last = [json.loads(line) for line in asyncio.run(main()).splitlines()]
    assert last["summary"] == {"rows": 80, "answered": 80, "failed": 0, "complete": True}
    assert [row["revision"] for row in rows] == [first] * 40 + [first + 1] * 40
    labels = {row["prediction"]["label"] for row in rows[:40]}, {row["prediction"]["label"] for row in rows[40:]}
    assert labels == ({"no"}, {"yes"})


def test_an_endpoint_that_goes_ends_the_answer(bench: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield ROW
        await asked.wait()
        generation = bench.house.plane.generation
        bench.house.plane.generation = type(generation)(9, generation.routing, generation.pools, {})
        yield ROW

    async def main() -> bytes:
        nonlocal asked
        asked = asyncio.Event()
        _, answer = await bench.desk.score(bench.request(body()))
        found = await anext(answer)
        asked.set()
        return found + b"".join([piece async for piece in answer])

    asked: asyncio.Event
    row, last = [json.loads(line) for line in asyncio.run(main()).splitlines()]
    assert row["row"] == 0
    assert last["summary"]["error"]["code"] == "not_found"
    assert not last["summary"]["complete"]


def test_a_draining_worker_ends_early_and_says_so(bench: Any) -> None:
    async def main() -> bytes:
        _, answer = await bench.desk.score(bench.request([ROW] * 10_000))
        found = await anext(answer)
        bench.ready = False
        return found + b"".join([piece async for piece in answer])

    rows, summary = asyncio.run(main()).splitlines(), None
    summary = json.loads(rows[-1])["summary"]
    assert summary["error"]["code"] == "not_ready"
    assert summary["answered"] == len(rows) - 1 < 10_000


def test_a_reader_that_stops_stops_scoring_and_reading(bench: Any) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            await asyncio.sleep(0)
            sent += 1
            yield ROW * 1000

    async def main() -> tuple[int, int]:
        _, answer = await bench.desk.score(bench.request(body()))
        await anext(answer)
        for _ in range(5000):  # turns of the loop, in which nothing more may happen
            await asyncio.sleep(0)
        held, decisions = sent, len(bench.house.journal.records)
        await answer.aclose()
        return held, decisions

    held, decisions = asyncio.run(main())
    assert held * 1000 * len(ROW) <= 2 * feed.READ_AHEAD
    assert decisions <= 4
    assert bench.desk._streams == 0


def test_a_client_that_leaves_ends_it_without_an_answer(bench: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield ROW * 3
        raise ClientDisconnected

    async def main() -> None:
        _, answer = await bench.desk.score(bench.request(body()))
        async for _ in answer:
            pass

    with pytest.raises(ClientDisconnected):
        asyncio.run(main())
    assert bench.desk._streams == 0


def test_a_body_that_stalls_ends_the_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.Feed.__init__, "__kwdefaults__", {"encoding": None, "idle_s": 0.05})

    async def body() -> AsyncIterator[bytes]:
        yield ROW
        await asyncio.Event().wait()

    async def main() -> bytes:
        return await bench.answer(bench.request(body()))

    row, last = [json.loads(line) for line in asyncio.run(main()).splitlines()]
    assert row["prediction"]["label"] == "yes"
    assert "Nothing more of the body came" in last["summary"]["error"]["detail"]


def test_a_worker_takes_so_many_batches_at_once(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.serving.bulk.desk.STREAMS", 1)

    async def main() -> None:
        _, answer = await bench.desk.score(bench.request([ROW]))
        with pytest.raises(Overloaded):
            await bench.desk.score(bench.request([ROW]))
        await answer.aclose()

    asyncio.run(main())


def test_batches_are_counted(bench: Any) -> None:
    bench.score(ROW * 3 + b"x")
    count = bench.house.counters.counter
    assert count("quorate_batch_rows_total", endpoint="main", result="answered").value == 3
    assert count("quorate_batch_rows_total", endpoint="main", result="failed").value == 1
    assert count("quorate_batches_total", endpoint="main", result="complete").value == 1
    assert bench.house.counters.gauge("quorate_batch_streams").value == 0
