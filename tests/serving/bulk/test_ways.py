"""Batches through a front: each row goes where it would go alone, and comes back in its place."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from quorate.codecs.batch import ARROW, NDJSON, PARQUET
from quorate.codecs.snapshot import EndpointRoute, FrontRoute, FrontRule, PolicyRoute, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import UnsupportedMediaType
from quorate.serving.bulk.ways import AT_ONCE
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import Surroundings
from quorate.serving.fronts import loaded
from quorate.serving.generation import Generation

from .conftest import Bench

PAIRS = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
TABLE = Signature("columns", (TensorSpec("x", "float64", (None,), nullable=True),), OutputSpec("scores", ("no", "yes")))
EVEN = "context.even"


@pytest.fixture
def site(bench: Bench) -> Any:
    """Publishes endpoints ``low`` and ``high`` over pairs, ``table`` over columns and a front ``door``."""
    house = bench.house

    def publish(*rules: tuple[str, str], otherwise: str = "low", blind: bool = False, without: str = "") -> None:
        pools, endpoints = [], {}
        for name, signature, yes in (("low", PAIRS, 0.1), ("high", PAIRS, 0.9), ("table", TABLE, 0.7)):
            pool = house.pool(a=house.inline(sure(yes)), signature=signature)
            only = StrategyRoute("only", "single", ("a",), 1)
            policy = PolicyRoute("fixed", {"strategy": "only"}, blind=blind and name == "high")
            route = EndpointRoute(name, 3, "pool", (only,), policy, deadline_ms=1000.0, caller_may_choose=True)
            if name != without:
                endpoints[name] = LoadedEndpoint(route, pool, {})
            pools.append(pool)
        route = FrontRoute("door", 1, tuple(FrontRule(*rule) for rule in rules), otherwise)
        fronts = loaded([route], endpoints, house.clock, Surroundings(house.clock))
        before = house.plane.generation
        house.plane.generation = Generation(
            before.version + 1, Routing(version=before.version + 1), tuple(pools), endpoints, fronts=fronts
        )
        house.plane.generation.acquire()
        before.release()

    return publish


def sure(yes: float) -> Any:
    """A member that is that sure of "yes", whatever its input is called."""

    def answer(tensors: Any) -> Any:
        rows = len(next(iter(tensors.values())))
        return np.tile(np.array([1 - yes, yes], np.float32), (rows, 1))

    return answer


def lines(count: int) -> bytes:
    rows = ({"id": i, "instance": [i, 0], "context": {"even": i % 2 == 0}} for i in range(count))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def went(rows: list[dict[str, Any]]) -> list[str]:
    return [row["endpoint"] for row in rows]


def test_each_row_goes_where_it_would_go_alone(bench: Bench, site: Any) -> None:
    site(("input.kind == 'columns'", "table"), ("context.kind == 'b'", "high"))
    body = b"".join(
        json.dumps(row).encode() + b"\n"
        for _ in range(2 * AT_ONCE)
        for row in ([1, 2], {"x": None}, {"instance": [3, 4], "context": {"kind": "b"}, "id": "mine"})
    )
    rows, summary = bench.score(body, endpoint="door")
    assert summary == {"rows": 6 * AT_ONCE, "answered": 6 * AT_ONCE, "failed": 0, "complete": True}
    assert went(rows) == ["low", "table", "high"] * (2 * AT_ONCE)
    assert [row["row"] for row in rows] == list(range(6 * AT_ONCE))
    assert {row.get("id") for row in rows[2::3]} == {"mine"}
    yes = [row["prediction"]["probabilities"]["yes"] for row in rows[:3]]
    assert yes == pytest.approx([0.1, 0.7, 0.9])
    recorded = {(d.endpoint, d.facts["front"], d.facts["front.rule"]) for d in bench.house.journal.decisions}
    assert recorded == {("low", "door", "otherwise"), ("table", "door", "1"), ("high", "door", "2")}


def test_rows_that_take_turns_still_share_decisions(bench: Bench, site: Any) -> None:
    """Micro-batches grow by endpoint: rows of two that alternate must not stay alone for ever."""
    site(("input.kind == 'columns'", "table"))
    rows, _ = bench.score(b'[1, 0]\n{"x": 1}\n' * 200, endpoint="door")
    assert went(rows) == ["low", "table"] * 200
    assert max(decision.rows for decision in bench.house.journal.decisions) >= 8


def test_facts_of_a_row_are_its_own(bench: Bench, site: Any) -> None:
    site(("input.rows > 1", "table"), ("input.missing > 0", "high"))
    rows, _ = bench.score(b'[1, 2]\n{"x": null}\n{"x": 1}\n', endpoint="door")
    assert "endpoint" not in rows[1]  # a row by column does not fit 'high', which says so
    assert (rows[1]["error"]["code"], rows[0]["endpoint"]) == ("invalid_input", "low")
    assert rows[2]["error"]["path"].startswith("instance")


def test_a_bad_row_is_the_error_of_the_endpoint_it_came_to(bench: Bench, site: Any) -> None:
    site((EVEN, "high"))
    body = lines(9) + b'{"id": "bad", "instance": [1, 2, 3], "context": {"even": true}}\nno json\n' + lines(2)
    rows, summary = bench.score(body, endpoint="door")
    assert (summary["rows"], summary["failed"]) == (13, 2)
    assert [("error" in row) for row in rows] == [False] * 9 + [True, True] + [False] * 2
    assert rows[9]["id"] == "bad"


def test_a_strategy_that_one_endpoint_has_not_fails_its_rows(bench: Bench, site: Any) -> None:
    site()
    rows, summary = bench.score(b"[1, 2]\n[1, 2]\n", endpoint="door", query=b"strategy=none")
    assert summary == {"rows": 2, "answered": 0, "failed": 2, "complete": True}
    assert "none" in rows[0]["error"]["detail"]


def test_a_blind_endpoint_stays_blind(bench: Bench, site: Any) -> None:
    site((EVEN, "high"), blind=True)
    rows, _ = bench.score(lines(2), endpoint="door")
    assert rows[0]["prediction"].keys() == {"label"}
    assert "strategy" not in rows[0]
    assert rows[1]["strategy"] == "only"


@pytest.mark.parametrize("form", [ARROW, PARQUET])
def test_tables_go_through_a_front_whose_endpoints_take_the_same(bench: Bench, site: Any, form: str) -> None:
    site(("input.kind == 'array' and input.missing == 0 and input.bytes > 0 and context.high == '1'", "high"))
    table = pa.table({"id": ["a", "b"], "input": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))})
    sink = io.BytesIO()
    if form == ARROW:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        parquet.write_table(table, sink)

    async def main(query: bytes) -> bytes:
        return await bench.answer(
            bench.request([sink.getvalue()], form, endpoint="door", query=query, accept=ARROW.encode())
        )

    for query, name in ((b"context.high=1", "high"), (b"", "low")):
        answer = pa.ipc.open_stream(asyncio.run(main(query))).read_all().to_pylist()
        assert [(row["id"], row["endpoint"]) for row in answer] == [("a", name), ("b", name)]


def test_tables_do_not_go_through_a_front_over_different_inputs(bench: Bench, site: Any) -> None:
    site(("input.kind == 'columns'", "table"))
    with pytest.raises(UnsupportedMediaType, match="is a front over endpoints of different inputs"):
        asyncio.run(bench.answer(bench.request([b""], ARROW, endpoint="door")))


def test_an_endpoint_that_goes_while_rows_are_on_their_way(
    bench: Bench, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new revision of the front, without one of its endpoints, comes between looking and asking."""
    site((EVEN, "high"))
    plane = bench.house.plane
    endpoint = plane.endpoint

    def gone(name: str) -> Any:
        if name == "high" and "high" in plane.generation.endpoints:
            site(without="high")
        return endpoint(name)

    monkeypatch.setattr(plane, "endpoint", gone)
    rows, summary = bench.score(lines(4), endpoint="door")
    assert summary == {"rows": 4, "answered": 4, "failed": 0, "complete": True}
    assert went(rows) == ["low"] * 4


def test_what_a_front_sent_on_is_counted(bench: Bench, site: Any) -> None:
    site((EVEN, "high"))
    bench.score(lines(6), NDJSON, endpoint="door")
    sent = [
        bench.house.counters.counter("quorate_front_requests_total", front="door", endpoint=name).value
        for name in ("low", "high")
    ]
    assert sum(sent) == len(bench.house.journal.decisions)
    assert all(sent)
