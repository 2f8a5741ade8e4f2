"""Conformal sets on a real server: calibrated by a command, asked for in every way, covered, learned and shown."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.datasets import load_digits

from quorate.client import AsyncLearners, Client, Jobs, Learners, RequestRefused
from quorate.codecs.batch import ARROW, NDJSON, PARQUET
from quorate.console import words

pytestmark = pytest.mark.slow

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
TRAIN = """
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.registry.registry import Registry
from quorate.training.data import Dataset
from quorate.training.estimator import estimators
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.splits import split
from quorate.training.train import train_pool


def train(home, progress, *, force=False):
    x, y = load_digits(return_X_y=True)
    data = Dataset("digits", {"input": x}, y.astype(str))
    members = {
        "line": LogisticRegression(max_iter=100),
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
    }
    recipe = Recipe(
        data=data,
        split=split(data, seed=0),
        signature=Signature(
            "array", (TensorSpec("input", "float64", (None, 64)),),
            OutputSpec("scores", classes=tuple("0123456789")),
        ),
        preprocess=[{"kind": "normalise", "std": 16.0}],
        trainers=estimators(members),
        states={
            "sets": Fit("conformal", of="mean", settings={"score": "aps"}),
            "smallest": Fit("conformal", ("tree",), of="single"),
        },
        code=code_digest(Path(__file__)),
    )
    train_pool(recipe, Registry(home.registry, SystemClock()), progress, force=force)
"""
CONFIG = """
pools:
  digits: {task: classification, members: [line, tree]}
endpoints:
  digits:
    pool: digits
    strategies:
      mean: {kind: mean, conformal: sets}
      tree: {kind: single, member: tree, conformal: {state: smallest, adaptive: true, abstain: ambiguous}}
      bare: {kind: single, member: line}
    policy: mean
    caller_may_choose: true
  blind:
    pool: digits
    strategies:
      mean: {kind: mean, conformal: {state: sets, coverage: 0.9}}
    policy: {kind: fixed, strategy: mean, blind: true}
"""
X, Y = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def server(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = tmp_path_factory.mktemp("project") / "digits"
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "quorate.yaml").write_text(CONFIG)
    done = subprocess.run([*QUORATE, "train", str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return module_server(project, "--workers", "1", "--console-port", "0")


def ask(server: Any, rows: Any, endpoint: str = "digits", **options: Any) -> httpx.Response:
    body = {"instances": np.asarray(rows).tolist(), "options": options}
    answer: httpx.Response = server.http.post(f"{server.url}/v1/endpoints/{endpoint}/predict", json=body)
    return answer


def test_sets_cover_as_often_as_is_asked_and_the_report_says_so(server: Any) -> None:
    told = []
    for start in range(0, 1700, 100):
        answer = ask(server, X[start : start + 100], coverage=0.9).json()
        for row, found in enumerate(answer["predictions"]):
            assert set(found) >= {"label", "set", "abstained", "reason"}
            told.append({"id": answer["id"], "row": row, "truth": str(Y[start + row])})
    assert server.http.post(f"{server.url}/v1/outcomes", json=told).json()["accepted"] == 1700
    url = f"{server.control}/v1/endpoints/digits/coverage"

    def promises() -> Any:
        found = {each["strategy"]: each for each in server.http.get(url).json()["strategies"]}
        return found["mean"]["promises"]

    server.until(lambda: promises() and promises()[0]["rows"] == 1700, within=30, what=server.log)
    (mean,) = promises()
    assert mean["asked"] == 0.9
    # What 270 calibration rows cover by themselves is a draw from a Beta distribution: three standard deviations of it.
    assert mean["low"] - 0.055 < 0.9 < mean["high"] + 0.055
    assert 1.0 <= mean["size"] < 3.0
    metrics = server.http.get(f"{server.control}/metrics").text
    assert 'quorate_conformal_labels_total{endpoint="digits",strategy="mean"}' in metrics


def test_a_decision_shows_what_was_answered(server: Any) -> None:
    answer = ask(server, X[:5], coverage=0.97).json()
    decision = server.http.get(f"{server.control}/v1/decisions/{answer['id']}").json()
    assert decision["coverage"]["asked"] == 0.97
    for row, found in zip(decision["coverage"]["rows"], answer["predictions"], strict=True):
        assert row["set"] == found["set"]
        assert row["interval"] is None
        assert (row["abstained"], row["reason"]) == (found["abstained"], found["reason"])
    plain = ask(server, X[:1]).json()
    assert "set" not in plain["predictions"][0]
    assert server.http.get(f"{server.control}/v1/decisions/{plain['id']}").json()["coverage"] is None


def test_every_way_in_understands_it(server: Any) -> None:
    infer = {
        "inputs": [{"name": "input", "shape": [2, 64], "datatype": "FP64", "data": X[:2].ravel().tolist()}],
        "parameters": {"coverage": 0.9},
    }
    answer = server.http.post(f"{server.url}/v2/models/digits/infer", json=infer).json()
    found = {each["name"]: each for each in answer["outputs"]}
    assert (found["set"]["datatype"], found["set"]["shape"]) == ("BOOL", [2, 10])
    assert found["abstained"]["shape"] == [2]
    with Client(server.url) as client:
        one = client.predict("digits", rows=X[:1], coverage=0.9).prediction
        assert one.set is not None
        assert (one.abstained, one.interval) == (False, None)
        rows = list(client.batch("digits", X[:50], coverage=0.9))
        assert all(each.prediction is not None and each.prediction.set is not None for each in rows)
    lines = "".join(json.dumps(row.tolist()) + "\n" for row in X[:3])
    batch = server.http.post(
        f"{server.url}/v1/endpoints/digits/batch?coverage=0.9",
        content=lines,
        headers={"content-type": "application/x-ndjson"},
    )
    assert "set" in json.loads(batch.text.splitlines()[0])["prediction"]


@pytest.mark.parametrize("form", ["ndjson", "arrow", "parquet"])
def test_batches_and_jobs_have_the_sets_in_every_format(server: Any, tmp_path: Path, form: str) -> None:
    """The same rows by the same two ways: every row has its set, and what it says of itself."""
    asked = {"coverage": 0.9, "min_confidence": 0.5, "strategy": "tree"}
    file = tmp_path / f"rows.{form}"
    write(file, X[:60])
    media = {"ndjson": NDJSON, "arrow": ARROW, "parquet": PARQUET}[form]
    url = f"{server.url}/v1/endpoints/digits/batch"
    answer = server.http.post(
        url, params=asked, content=file.read_bytes(), headers={"content-type": media, "accept": media}
    )
    assert answer.status_code == 200, answer.text
    with Jobs(server.control) as jobs:
        job = jobs.submit("digits", file, output_format=form, **asked)
        assert (job.coverage, job.min_confidence) == (0.9, 0.5)
        ended = jobs.wait(job.id, every=0.05)
        assert (ended.state, ended.rows_failed) == ("done", 0), ended.error
        found = b"".join(jobs.result(job.id))
    for some in (read(form, answer.content), read(form, found)):
        assert len(some) == 60
        for each in some:
            assert isinstance(each["set"], list)
            assert each["members"] == ["tree"]
            unsure = each["confidence"] is not None and each["confidence"] < 0.5
            assert each["abstained"] == (unsure or len(each["set"]) != 1), each
            assert (each.get("label") is None) == each["abstained"], each
            assert (each["reason"] is None) != each["abstained"], each
    assert any(each["abstained"] for each in some)
    assert not all(each["abstained"] for each in some)


def write(file: Path, rows: Any) -> None:
    if file.suffix == ".ndjson":
        file.write_text("".join(json.dumps(row.tolist()) + "\n" for row in rows))
        return
    table = pa.table({"input": pa.array(rows.tolist())})
    if file.suffix == ".parquet":
        parquet.write_table(table, file)
        return
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


def read(form: str, content: bytes) -> list[dict[str, Any]]:
    """The rows of an answer, each with what its prediction says."""
    if form == "ndjson":
        *lines, last = map(json.loads, content.splitlines())
        assert last["summary"]["complete"]
        return [{"confidence": None, **line["prediction"]} for line in lines]
    source = pa.BufferReader(content)
    table = parquet.read_table(source) if form == "parquet" else pa.ipc.open_stream(source).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_a_job_that_asks_too_much_is_refused_when_it_is_submitted(server: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows.ndjson", X[:1])
    with Jobs(server.control) as jobs:
        for endpoint, asked, status, path in (
            ("digits", {"coverage": 0.999}, 422, "coverage"),
            ("digits", {"coverage": 0.9, "strategy": "bare"}, 422, "coverage"),
            ("blind", {"coverage": 0.9}, 403, "coverage"),
            ("blind", {"min_confidence": 0.9}, 403, "min_confidence"),
        ):
            with pytest.raises(RequestRefused) as refused:
                jobs.submit(endpoint, tmp_path / "rows.ndjson", **asked)
            assert (refused.value.status, refused.value.path) == (status, path)
    words = ["submit", "digits", str(tmp_path / "rows.ndjson"), "--coverage", "0.9", "--min-confidence", "0.5"]
    output = tmp_path / "scores.ndjson"
    command = [*QUORATE, "jobs", *words, "--output", str(output), "--url", server.control]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "set" in json.loads(output.read_text().splitlines()[0])["prediction"]


def test_live_coverage_is_told_to_both_clients(server: Any) -> None:
    with Learners(server.control) as learners:
        found = learners.coverage("digits")
        later = learners.coverage("digits", since=4e9)

    async def awaited() -> Any:
        async with AsyncLearners(server.control) as learners:
            return await learners.coverage("digits")

    assert asyncio.run(awaited()).of("mean")["calibration_rows"] == found.of("mean")["calibration_rows"] > 100
    assert {each["strategy"] for each in found.strategies} == {"mean", "tree"}
    assert (later.since, later.of("mean")["promises"]) == (pytest.approx(4e9, abs=60), [])


def test_what_cannot_be_is_refused_by_name(server: Any) -> None:
    for options, endpoint, status, path in (
        ({"coverage": 0.3}, "digits", 422, "options.coverage"),
        ({"coverage": 1}, "digits", 422, "options.coverage"),
        ({"coverage": 0.999}, "digits", 422, "options.coverage"),
        ({"coverage": 0.9, "strategy": "bare"}, "digits", 422, "options.coverage"),
        ({"coverage": 0.9}, "blind", 403, "options.coverage"),
    ):
        refused = ask(server, X[:1], endpoint, **options)
        assert (refused.status_code, refused.json()["path"]) == (status, path), options
    assert ask(server, X[:1], "blind").json()["predictions"][0].keys() == {"label"}
    url = f"{server.url}/v1/endpoints/digits/batch"
    head = {"content-type": "application/x-ndjson"}
    row = json.dumps(X[0].tolist())
    assert server.http.post(f"{url}?coverage=0.2", content=row, headers=head).json()["path"] == "query.coverage"
    refused = server.http.post(f"{url}?coverage=0.9&strategy=bare", content=row, headers=head)
    assert (refused.status_code, refused.json()["path"]) == (422, "options.coverage")
    infer = {
        "inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP64", "data": X[0].tolist()}],
        "parameters": {"coverage": 0.1},
    }
    refused = server.http.post(f"{server.url}/v2/models/digits/infer", json=infer)
    assert (refused.status_code, "coverage" in refused.json()["error"]) == (422, True)


def test_the_page_offers_a_coverage_where_it_can_be_promised(server: Any, visit: Callable[..., Any]) -> None:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    page = visit(f"{server.console}/?endpoint=digits")
    field = page.locator("#wish-coverage")
    assert field.is_enabled()
    page.locator("#strategy").select_option("bare")
    page.locator("[data-testid=wishes-note]", has_text="calibrated is mean and tree").wait_for()
    assert field.is_disabled()
    page.locator("#strategy").select_option("mean")
    page.wait_for_function("!document.getElementById('wish-coverage').disabled")
    field.fill("0.95")
    for place, value in enumerate(X[0]):
        page.locator(f"#field-{place}").fill(f"{value:g}")
    page.locator("[data-testid=ask]").click()
    promise = page.locator("[data-testid=promise]")
    page.wait_for_function("document.querySelector('[data-testid=promise]').textContent !== ''")
    made = server.http.get(f"{server.control}/v1/decisions/{page.locator('#decision').inner_text()}").json()
    (mine,) = made["coverage"]["rows"]
    assert made["coverage"]["asked"] == 0.95
    assert promise.inner_text() == words.promise(mine["set"], None, 0.95)  # one in twenty is empty, by a draw
    blind = visit(f"{server.console}/?endpoint=blind")
    blind.locator("#wish-max-ms").wait_for()
    assert blind.locator("#wish-coverage").count() == 0


def test_the_level_follows_outcomes_into_the_workers(server: Any) -> None:
    """Somebody has renumbered the classes: no set of the tree is right, until it learns to leave nothing out."""

    def answers(first: int, count: int) -> list[dict[str, Any]]:
        return [ask(server, X[i : i + 1], coverage=0.9, strategy="tree").json() for i in range(first, first + count)]

    def right(some: list[dict[str, Any]], first: int) -> float:
        return float(np.mean([str((Y[first + i] + 1) % 10) in a["predictions"][0]["set"] for i, a in enumerate(some)]))

    before = answers(0, 250)
    assert right(before, 0) < 0.5
    told = [{"id": a["id"], "truth": str((Y[i] + 1) % 10)} for i, a in enumerate(before)]
    server.http.post(f"{server.url}/v1/outcomes", json=told)

    def learned() -> int:
        found = server.http.get(f"{server.control}/v1/endpoints/digits/coverage").json()["strategies"]
        mine = next(each for each in found if each["strategy"] == "tree")["adaptive"]
        return 0 if mine is None else int(mine["rows"])

    server.until(lambda: learned() == 250, within=30, what=server.log)

    def taken() -> bool:
        (answer,) = answers(300, 1)
        facts = server.http.get(f"{server.control}/v1/decisions/{answer['id']}").json()["facts"]
        return "coverage.threshold" in facts

    server.until(taken, within=30, what=server.log)
    after = answers(300, 100)
    assert right(after, 300) > 0.8
    assert all(a["predictions"][0]["abstained"] == (len(a["predictions"][0]["set"]) != 1) for a in after)
    decision = server.http.get(f"{server.control}/v1/decisions/{after[0]['id']}").json()
    assert decision["coverage"]["rows"][0]["set"] == after[0]["predictions"][0]["set"]
