"""What a caller may ask of one request, and plans of several stages, on a real server and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from quorate.client import AsyncClient, Client
from quorate.clock import SystemClock
from quorate.codecs import sample
from quorate.codecs import state as state_codec
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from tests.ladder import ladder

TENSOR = TensorSpec("input", "float32", (None, 2))
SIGNATURE = Signature("array", (TENSOR,), OutputSpec("scores", ("no", "yes")))
ROWS = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
SLOW = b"""
import time

import numpy as np


def predict(input):
    time.sleep(0.4)
    return np.tile(np.float32([0.05, 0.95]), (len(input), 1))
"""
CONFIG = """
pools:
  letters: {task: classification, members: [x, y, z]}
  pair: {task: classification, members: [x, y]}
  trio: {task: classification, members: [x, y, w]}
endpoints:
  wide:
    pool: trio
    strategies:
      wide: {kind: ladder, state: wide}
    deadline_ms: 20000
  main:
    pool: letters
    strategies:
      steps: {kind: ladder, state: steps}
      average: {kind: mean}
      quick: {kind: ladder, state: quick, members: [x, y]}
    policy: quick
    caller_may_choose: true
    deadline_ms: 20000
  alone:
    pool: pair
    strategies:
      quick: {kind: ladder, state: quick}
    deadline_ms: 20000
  blind:
    pool: pair
    strategies:
      quick: {kind: ladder, state: quick}
      average: {kind: mean}
    policy: {kind: split, weights: {quick: 1, average: 1}, blind: true}
    deadline_ms: 20000
"""


def onnx(registry: Registry, name: str, column: int) -> None:
    """A model whose logit of "yes" is eight times a column of the input."""
    weights = np.zeros((2, 2), np.float32)
    weights[column] = [-4.0, 4.0]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"])],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    yes = 1 / (1 + np.exp(-8 * ROWS[:, column]))
    draft = Manifest(
        name=name,
        format="onnx",
        signature=SIGNATURE,
        tensors=(TENSOR,),
        output_name="p",
        sample=registry.blobs.put(sample.encode({"input": ROWS}, np.stack([1 - yes, yes], axis=1).astype(np.float32))),
    )
    registry.register(draft, {"model.onnx": model.SerializeToString()})


def fitted(registry: Registry, name: str, *stages: list[str]) -> None:
    state = ladder(stages, sure=0.8, costs={"x": 1.0, "y": 4.0, "z": 100.0})
    registry.register(Manifest(name=name, format="state", kind="state"), {**state_codec.encode(state)})


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every process that is started finds the combiner of the tests as it would one that somebody installed."""
    folder = tmp_path_factory.mktemp("plugin")
    info = folder / "ladder-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ladder\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[quorate.combiners]\nladder = tests.ladder:Ladder\n")
    path = [str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        yield


@pytest.fixture(scope="module")
def server(plugin: None, module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = tmp_path_factory.mktemp("project") / "letters"
    project.mkdir()
    registry = Registry(Home(project).registry, SystemClock())
    onnx(registry, "x", 0)
    onnx(registry, "y", 1)
    onnx(registry, "w", 1)
    draft = Manifest(
        name="z",
        format="callable",
        signature=SIGNATURE,
        tensors=(TENSOR,),
        output_name="output",
        options={"entry": "predict"},
    )
    registry.register(draft, {"model.py": SLOW})
    fitted(registry, "quick", ["x"], ["y"])
    fitted(registry, "wide", ["x"], ["y", "w"])
    fitted(registry, "steps", ["x"], ["y"], ["z"])
    (project / "quorate.yaml").write_text(CONFIG)
    return module_server(project, "--workers", "1", "--console-port", "0")


def logit(p: float) -> float:
    """The input that makes a model that sure of "yes"."""
    return float(np.log(p / (1 - p)) / 8)


def row(x: float, y: float = 0.5) -> list[float]:
    return [logit(x), logit(y)]


def ask(server: Any, rows: list[list[float]], endpoint: str = "main", **options: Any) -> dict[str, Any]:
    body = {"instances": rows, "options": options}
    reply = server.http.post(f"{server.url}/v1/endpoints/{endpoint}/predict", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def decision(server: Any, answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get(f"{server.control}/v1/decisions/{answer['id']}").json()
    return found


def test_only_the_rows_that_need_it_ask_the_second_stage(server: Any) -> None:
    rows = [row(0.6, 0.99) if i % 8 == 3 else row(0.95) for i in range(32)]
    answer = ask(server, rows)
    assert [p["members"] for p in answer["predictions"]] == [["x", "y"] if i % 8 == 3 else ["x"] for i in range(32)]
    assert (answer["strategy"], answer["degraded"], answer["missing"]) == ("quick", False, [])
    sure = [p["confidence"] for p in answer["predictions"]]
    assert sure == pytest.approx([(0.6 + 0.99) / 2 if i % 8 == 3 else 0.95 for i in range(32)], abs=1e-4)
    found = decision(server, answer)
    assert found["stages"] == [
        {"members": ["x"], "rows": 32, "stopped": 0, "no_time": 0},
        {"members": ["y"], "rows": 4, "stopped": 28, "no_time": 0},
    ]
    _, y, z = (m["skipped"] for m in found["members"])
    assert y == [None if i % 8 == 3 else "stopped" for i in range(32)]
    assert set(z) == {"not_in_strategy"}
    assert [m["status"] for m in found["members"]] == ["ok", "ok", "skipped"]
    assert found["members"][1]["row_status"].count("ok") == 4


def test_a_pool_is_fused_by_who_is_asked_together(server: Any) -> None:
    pools = {pool["name"]: pool["fused"] for pool in server.http.get(f"{server.control}/v1/pools").json()}
    assert pools == {"letters": ["x", "y"], "pair": ["x", "y"], "trio": ["w", "y"]}
    found = decision(server, ask(server, [row(0.6, 0.9), row(0.95)], "wide"))
    x, y, w = found["members"]
    assert [m["row_status"] for m in (x, y, w)] == [["ok", "ok"], ["ok", "skipped"], ["ok", "skipped"]]
    assert y["latency_ms"] == w["latency_ms"], "they are one run"
    served = server.http.get(f"{server.control}/v1/endpoints/main").json()["served"]["strategies"]
    assert {s["name"]: (s["plan"], s["stages"]) for s in served} == {
        "steps": ("stepwise", [["x"], ["y"], ["z"]]),
        "average": ("all", []),
        "quick": ("stepwise", [["x"], ["y"]]),
    }


def test_a_row_that_nobody_is_sure_of_is_withheld(server: Any) -> None:
    answer = ask(server, [row(0.85, 0.99), row(0.85, 0.6), row(0.97)], min_confidence=0.9)
    first, second, third = answer["predictions"]
    assert (first["label"], first["abstained"], first["members"]) == ("yes", False, ["x", "y"])
    assert second == {
        "abstained": True,
        "reason": "The confidence, 0.725, is below min_confidence, 0.9.",
        "confidence": pytest.approx(0.725, abs=1e-4),
        "members": ["x", "y"],
    }
    assert (third["label"], third["abstained"], third["members"]) == ("yes", False, ["x"])
    found = decision(server, answer)
    assert (found["abstained"], found["withheld"], found["degraded"]) == (True, [1], False)
    assert found["facts"] == {"min_confidence": 0.9}
    metrics = server.http.get(f"{server.control}/metrics").text
    assert 'quorate_abstained_total{endpoint="main",strategy="quick"}' in metrics


def test_members_that_would_be_too_late_are_not_asked(server: Any) -> None:
    rows = [row(0.6, 0.7)]
    answer = ask(server, rows, strategy="average", max_ms=200)
    assert (answer["degraded"], answer["missing"], answer["predictions"][0]["members"]) == (False, [], ["x", "y"])
    assert answer["predictions"][0]["confidence"] == pytest.approx(0.65, abs=1e-4)
    whole = ask(server, rows, strategy="average", max_ms=15_000)
    assert whole["predictions"][0]["members"] == ["x", "y", "z"]
    assert "members" not in ask(server, rows, strategy="average")["predictions"][0]
    cut = ask(server, rows, strategy="steps", max_ms=200)
    assert (cut["degraded"], cut["predictions"][0]["members"]) == (False, ["x", "y"])
    found = decision(server, cut)
    assert [stage["rows"] for stage in found["stages"]] == [1, 1, 0]
    assert (found["stages"][2]["no_time"], found["members"][2]["skipped"]) == (1, ["no_time"])
    assert found["facts"] == {"max_ms": 200.0}
    assert [m["skipped"] for m in decision(server, answer)["members"]] == [[None], [None], ["no_time"]]
    assert ask(server, rows, strategy="steps")["predictions"][0]["members"] == ["x", "y", "z"]


def test_what_a_blind_endpoint_must_not_tell_is_refused(server: Any) -> None:
    body = {"instances": [row(0.6)], "options": {"min_confidence": 0.9}}
    reply = server.http.post(f"{server.url}/v1/endpoints/blind/predict", json=body)
    assert (reply.status_code, reply.json()["path"]) == (403, "options.min_confidence")
    assert ask(server, [row(0.95)], "blind", max_ms=5000)["predictions"] == [{"label": "yes"}]
    lines = server.http.post(
        f"{server.url}/v1/endpoints/blind/batch?min_confidence=0.9",
        content=b"[0.1, 0.1]\n",
        headers={"content-type": "application/x-ndjson"},
    )
    assert (lines.status_code, lines.json()["path"]) == (403, "options.min_confidence")
    infer = server.http.post(f"{server.url}/v2/models/blind/infer", json=tensors([row(0.6)], min_confidence=0.9))
    assert infer.status_code == 403


@pytest.mark.parametrize("wrong", [1.5, -0.1, "much"])
def test_a_confidence_is_a_number_from_0_to_1(server: Any, wrong: Any) -> None:
    body = {"instances": [row(0.6)], "options": {"min_confidence": wrong}}
    reply = server.http.post(f"{server.url}/v1/endpoints/main/predict", json=body)
    assert (reply.status_code, reply.json()["path"]) == (422, "options.min_confidence")
    infer = server.http.post(f"{server.url}/v2/models/main/infer", json=tensors([row(0.6)], min_confidence=wrong))
    assert (infer.status_code, "min_confidence" in infer.json()["error"]) == (422, True)


def tensors(rows: list[list[float]], outputs: tuple[str, ...] = (), **parameters: Any) -> dict[str, Any]:
    data = {"name": "input", "datatype": "FP32", "shape": [len(rows), 2], "data": rows}
    return {"inputs": [data], "parameters": parameters, "outputs": [{"name": name} for name in outputs]}


def test_the_protocol_tells_it_as_tensors(server: Any) -> None:
    url = f"{server.url}/v2/models/main/infer"
    rows = [row(0.85, 0.6), row(0.97)]
    found = server.http.post(url, json=tensors(rows, min_confidence=0.9)).json()["outputs"]
    shown = {output["name"]: (output["datatype"], output["data"]) for output in found}
    assert shown["label"] == ("BYTES", ["", "yes"])
    assert shown["abstained"] == ("BOOL", [True, False])
    assert shown["members"] == ("BYTES", ["x,y", "x"])
    assert [bool(text) for text in shown["reason"][1]] == [True, False]
    (members,) = server.http.post(url, json=tensors(rows, ("members",))).json()["outputs"]
    assert members["data"] == ["x", "x"]
    unknown = server.http.post(f"{server.url}/v2/models/x/infer", json=tensors(rows, ("members",)))
    assert unknown.status_code == 422
    model = server.http.post(f"{server.url}/v2/models/x/infer", json=tensors(rows, min_confidence=0.9))
    assert model.status_code == 422


def test_a_batch_tells_it_line_by_line(server: Any) -> None:
    body = b"".join(json.dumps(each).encode() + b"\n" for each in (row(0.85, 0.6), row(0.97)))
    reply = server.http.post(
        f"{server.url}/v1/endpoints/main/batch?min_confidence=0.9",
        content=body,
        headers={"content-type": "application/x-ndjson"},
    )
    first, second, summary = map(json.loads, reply.text.splitlines())
    assert (first["prediction"]["abstained"], first["prediction"]["members"]) == (True, ["x", "y"])
    assert (second["prediction"]["label"], second["prediction"]["abstained"]) == ("yes", False)
    assert summary["summary"]["answered"] == 2


def test_the_clients_ask_for_it(server: Any) -> None:
    rows = [row(0.85, 0.6), row(0.97)]
    with Client(server.url) as client:
        answer = client.predict("main", rows=rows, min_confidence=0.9)
        lines = list(client.batch("main", rows, min_confidence=0.9))
    first, second = answer.predictions
    assert (first.label, first.abstained, first.members) == (None, True, ("x", "y"))
    assert first.reason is not None
    assert (second.label, second.abstained) == ("yes", False)
    assert [line.prediction.abstained for line in lines if line.prediction] == [True, False]

    async def main() -> Any:
        async with AsyncClient(server.url) as client:
            return await client.predict("main", rows=rows, min_confidence=0.9)

    assert [p.abstained for p in asyncio.run(main()).predictions] == [True, False]


def test_the_frontier_and_what_was_served(server: Any) -> None:
    for rows in ([row(0.95)] * 3, [row(0.6, 0.9)]):
        ask(server, rows, "alone")
    url = f"{server.control}/v1/endpoints/alone/strategies/quick/frontier"

    def served() -> Any:
        return server.http.get(url).json()["served"]

    server.until(lambda: served()["rows"] == 4, within=60, what=lambda: str(served()))
    found = server.http.get(url).json()
    assert (found["endpoint"], found["strategy"], found["unit"]) == ("alone", "quick", "cost")
    assert (found["stages"], found["promise"]) == ([["x"], ["y"]], {"accuracy": 0.85, "risk": 0.1})
    assert [point["kind"] for point in found["frontier"]] == ["cascade", "best"]
    assert found["served"] == {"revision": 1, "rows": 4, "cost": 2.0, "reached": [1.0, 0.25]}
    for path in ("main/strategies/average", "main/strategies/none", "none/strategies/quick"):
        assert server.http.get(f"{server.control}/v1/endpoints/{path}/frontier").status_code == 404


def test_replay_knows_what_a_plan_would_have_asked(server: Any) -> None:
    """Of decisions in which members were skipped, a strategy that needs them has no answer, and that is counted."""
    asked = [ask(server, [row(0.95, 0.1)]), ask(server, [row(0.6, 0.9)])]
    told = [{"id": answer["id"], "truth": "yes"} for answer in asked]
    assert server.http.post(f"{server.url}/v1/outcomes", json=told).json()["rejected"] == []

    def judged() -> int:
        report = server.http.get(f"{server.control}/v1/endpoints/main/report").json()
        return sum(each["judged_rows"] for each in report["strategies"])

    server.until(lambda: judged() >= 2, within=60, what=server.log)

    def replayed(strategy: str) -> Any:
        body = {"endpoint": "main", "strategy": strategy, "method": "exact"}
        at = server.http.post(f"{server.control}/v1/replays", json=body).json()["id"]
        url = f"{server.control}/v1/replays/{at}"
        server.until(lambda: server.http.get(url).json()["state"] in ("done", "failed"), within=60, what=server.log)
        return server.http.get(url).json()

    quick, average = replayed("quick")["answer"], replayed("average")
    assert quick["counts"]["used"] == 2, quick
    assert (quick["reproduced"], quick["differing"]) == (2, 0)
    assert average["state"] == "failed"
    assert "2 members not run" in average["error"]["message"], average


def typed(page: Any, *numbers: float) -> None:
    """Fill in the row, and ask."""
    for field, number in enumerate(numbers):
        page.locator(f"#field-{field}").fill(f"{number:.6f}")
    page.locator("[data-testid=ask]").click()


def cells(page: Any, table: str) -> list[list[str]]:
    rows = page.locator(f"table[data-testid={table}] tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


def test_the_page_asks_for_more_and_shows_how_far_it_went(server: Any, visit: Callable[..., Any]) -> None:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    page = visit(f"{server.console}/?endpoint=main")
    assert page.locator("#wish-coverage").count() == 0  # no strategy of it can promise one
    page.locator("#strategy").select_option("steps")
    page.locator("#wish-max-ms").fill("200")
    typed(page, *row(0.6, 0.7))
    page.get_by_text("In stages: 1. x; 2. y; 3. z (no time).").wait_for()
    votes = {
        line.locator("th").inner_text(): line.locator(".says").inner_text().strip("✓≠ \n")
        for line in page.locator(".votes tbody tr").all()
    }
    assert votes == {"x": "yes", "y": "yes", "z": "no time"}
    assert page.locator("[data-testid=votes-note]").inner_text() == "2 of 2 members say yes. 1 was not asked."
    page.locator("#wish-max-ms").fill("")
    page.locator("#strategy").select_option("")
    page.locator("#wish-min-confidence").fill("0.9")
    typed(page, *row(0.85, 0.6))
    page.locator("[data-testid=withheld]", has_text="It abstains. The confidence, 0.725, is below").wait_for()
    assert page.locator("[data-testid=label]").inner_text() == "–"
    assert page.locator("[data-testid=right]").is_disabled()
    page.locator("#wish-min-confidence").fill("7")
    page.locator("[data-testid=ask]").click()
    page.locator("[data-testid=wishes-problem]", has_text="takes a number from 0 to 1; got '7'").wait_for()
    page.locator("[data-testid=in-full]").click()
    page.wait_for_url(f"{server.console}/decision?id=*")
    page.locator("[data-testid=decided]", has_text="answered by quick").wait_for()
    assert cells(page, "stages-of-the-decision") == [["1", "x", "1", "0", "0"], ["2", "y", "1", "0", "0"]]


def test_the_page_of_a_decision_shows_each_row_and_why_it_ended(server: Any, visit: Callable[..., Any]) -> None:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    answer = ask(server, [row(0.95), row(0.6, 0.9)])
    page = visit(f"{server.console}/decision?id={answer['id']}")
    page.locator("[data-testid=decided]", has_text="answered by quick").wait_for()
    assert cells(page, "stages-of-the-decision") == [["1", "x", "2", "0", "0"], ["2", "y", "1", "1", "0"]]
    assert cells(page, "rows-of-the-decision") == [
        ["0", "yes (95 %)", "yes (95 %)", "not needed"],
        ["1", "yes (75 %)", "yes (60 %)", "yes (90 %)"],
    ]
    page.get_by_text("quick does not ask z.").wait_for()
    other = ask(server, [row(0.6, 0.7)], strategy="average", max_ms=200)
    page.get_by_role("textbox", name="Decision").fill(other["id"])
    page.locator("[data-testid=why]").click()
    page.locator("[data-testid=decided]", has_text="answered by average").wait_for()
    assert cells(page, "rows-of-the-decision") == [["0", "yes (65 %)", "yes (60 %)", "yes (70 %)", "no time"]]
    blind = visit(f"{server.console}/?endpoint=blind")
    blind.locator("#wish-max-ms").wait_for()
    assert blind.locator("#wish-min-confidence").count() == 0


def test_the_command_says_why_members_were_not_asked(server: Any) -> None:
    answer = ask(server, [row(0.95), row(0.6, 0.9)], strategy="steps", max_ms=200)
    command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "decisions", "show", answer["id"]]
    done = subprocess.run(
        [*command, "--project", str(server.project)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "1 x 2 0 0 2 y 1 1 0 3 z 0 1 1" in text, done.stdout
    assert "(not needed)" in text
    assert "(no time)" in text
