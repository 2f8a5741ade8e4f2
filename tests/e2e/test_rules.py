"""Rules and fronts through a real server: what fires, where requests go, what is recorded and said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

MODEL = """
import numpy as np
def predict(input):
    yes = np.full(len(input), {yes}, np.float32)
    return np.stack([1 - yes, yes], axis=1)
"""
COLUMNS = """
import numpy as np
def predict(x):
    yes = (x > 1).astype(np.float32)
    return np.stack([1 - yes, yes], axis=1)
"""
TEXT = """\
pools:
  pairs: {task: classification, members: [low, high]}
  table: {task: classification, members: [columns]}
endpoints:
  main:
    pool: pairs
    strategies: {low: {kind: single, member: low}, high: {kind: single, member: high}}
    policy:
      kind: rules
      rules:
        - {when: 1 / context.divisor > 0 and context.tier == "gold", use: high}
        - {when: input.rows > 2 and input.distance < 100, use: {low: 1, high: 0}}
      otherwise: low
  hidden:
    pool: pairs
    strategies: {low: {kind: single, member: low}, high: {kind: single, member: high}}
    policy: {kind: split, weights: {low: 1, high: 1}, blind: true}
  table: {pool: table, strategies: {only: {kind: mean}}}
fronts:
  door:
    rules:
      - {when: input.kind == "columns", to: table}
      - {when: context.secret, to: hidden}
    otherwise: main
  inside: {rules: [{when: 'input.missing > 0 or endpoint.main.distance > 50', to: hidden}], otherwise: main}
  alike: {rules: [{when: context.secret == "yes", to: hidden}], otherwise: main}
"""


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = Home(tmp_path_factory.mktemp("rules"))
    registry = Registry(home.registry, SystemClock())
    rows = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    pairs = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
    table = Signature("columns", (TensorSpec("x", "float64", (None,)),), pairs.output)
    for name, signature, source, sample in (
        ("low", pairs, MODEL.format(yes=0.1), {"input": rows}),
        ("high", pairs, MODEL.format(yes=0.9), {"input": rows}),
        ("columns", table, COLUMNS, {"x": np.arange(4.0)}),
    ):
        register_model(
            registry,
            name=name,
            format="callable",
            files={"model.py": source.encode()},
            signature=signature,
            options={"entry": "predict"},
            sample_raw=sample,
        )
    home.config.write_text(TEXT)
    return module_server(home.root)


@pytest.fixture
def ask(site: Any) -> Callable[..., Any]:
    def post(endpoint: str, instances: Any, **context: Any) -> Any:
        body = {"instances": instances, "context": context}
        return site.http.post(f"{site.url}/v1/endpoints/{endpoint}/predict", json=body)

    return post


@pytest.fixture
def decision(site: Any) -> Callable[[Any], Any]:
    def get(answer: Any) -> Any:
        return site.http.get(f"{site.control}/v1/decisions/{answer.json()['id']}").json()

    return get


def test_a_rule_decides_and_is_recorded_and_told(ask: Any, decision: Any) -> None:
    gold = ask("main", [[1, 2]], tier="gold", divisor=4)
    assert (gold.status_code, gold.json()["strategy"]) == (200, "high")
    found = decision(gold)
    assert (found["source"], found["propensities"]) == ("rule", {"low": 0.0, "high": 1.0})
    assert found["facts"]["input.rows"] == 1
    assert 0 < found["facts"]["input.distance"] < 10
    assert found["why"] == ["Rule 1 fired: 'high'. Its condition: 1 / context.divisor > 0 and context.tier == \"gold\""]
    many = ask("main", [[1, 2]] * 3)
    assert decision(many)["why"][0].startswith("Rule 2 fired: 'low'.")


@pytest.mark.parametrize("context", [{"divisor": 0, "tier": "gold"}, {"tier": "gold"}, {"divisor": "x"}, {}])
def test_what_is_unknown_fires_nothing_and_fails_nothing(ask: Any, decision: Any, context: dict[str, Any]) -> None:
    answer = ask("main", [[1, 2]], **context)
    assert (answer.status_code, answer.json()["strategy"]) == (200, "low")
    found = decision(answer)
    assert found["source"] == "policy"
    assert found["why"] == ["None of the 2 rules fired, so 'otherwise' decided: 'low'."]


def test_a_front_sends_requests_on(ask: Any, decision: Any) -> None:
    plain, table = ask("door", [[1, 2]], tier="gold", divisor=1), ask("door", [{"x": 5}])
    assert (plain.json()["endpoint"], plain.json()["strategy"]) == ("main", "high")
    assert (table.json()["endpoint"], table.json()["predictions"][0]["label"]) == ("table", "yes")
    found = decision(table)
    assert (found["endpoint"], found["facts"]) == ("table", {"front": "door", "front.rule": "1"})
    assert found["why"][0] == "The request came through the front 'door', which sent it here by its rule 1."
    assert decision(plain)["facts"]["front.rule"] == "otherwise"


def test_a_front_looks_into_the_input(ask: Any) -> None:
    assert ask("inside", [[1, 2]]).json()["endpoint"] == "main"
    assert ask("inside", [[1, 2], [9e6, 0]]).json()["endpoint"] == "hidden"


def test_what_does_not_fit_is_the_endpoints_422(ask: Any) -> None:
    wrong = ask("door", [{"y": 5}])
    assert (wrong.status_code, wrong.json()["path"]) == (422, "instances[0].y")
    assert "unknown column 'y'" in wrong.json()["detail"]
    ragged = ask("door", [[1, 2, 3]])
    assert (ragged.status_code, ragged.json()["code"]) == (422, "invalid_input")
    assert ask("door", []).status_code == 422
    assert ask("dor", [[1, 2]]).status_code == 404


def test_a_blind_endpoint_stays_blind_behind_a_front(ask: Any) -> None:
    answer = ask("door", [[1, 2]], secret=True).json()
    assert answer.keys() == {"id", "endpoint", "predictions"}
    assert answer["endpoint"] == "hidden"
    assert answer["predictions"][0].keys() == {"label"}


def test_the_protocol_serves_fronts_over_one_signature(site: Any) -> None:
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    url = f"{site.url}/v2/models/alike"
    described = site.http.get(url).json()
    assert (described["platform"], [each["name"] for each in described["inputs"]]) == ("quorate_ensemble", ["input"])
    for parameters, endpoint in (({}, "main"), ({"context.secret": "yes"}, "hidden")):
        answer = site.http.post(f"{url}/infer", json={"inputs": [tensor], "parameters": parameters}).json()
        assert (answer["model_name"], answer["parameters"]["endpoint"]) == ("alike", endpoint)
        assert "strategy" not in answer["parameters"]  # one of its endpoints is blind
    assert site.http.get(f"{url}/ready").json()["ready"]
    assert site.http.get(f"{site.url}/v2/models/door").status_code == 404
    index = [each["name"] for each in site.http.post(f"{site.url}/v2/repository/index", json={}).json()]
    assert "alike" in index
    assert "door" not in index


def test_batches_and_jobs_go_through_a_front(site: Any, decision: Any) -> None:
    url = f"{site.url}/v1/endpoints/door/batch"
    body = b'[1, 2]\n{"x": 5}\n{"instance": [1, 2], "context": {"secret": true}}\n'
    headers = {"content-type": "application/x-ndjson"}
    answered = site.http.post(url, content=body, headers=headers)
    rows = [json.loads(line) for line in answered.text.splitlines()]
    assert [row.get("endpoint") for row in rows[:3]] == ["main", "table", "hidden"]
    assert rows[2].keys() == {"row", "prediction", "decision", "decision_row", "revision", "endpoint"}
    assert rows[3]["summary"] == {"rows": 3, "answered": 3, "failed": 0, "complete": True}
    found = site.http.get(f"{site.control}/v1/decisions/{rows[1]['decision']}").json()
    assert (found["endpoint"], found["facts"]) == ("table", {"front": "door", "front.rule": "1"})
    table = site.http.post(url, content=b"x", headers={"content-type": "application/vnd.apache.parquet"})
    assert table.status_code == 415
    job = site.http.post(f"{site.control}/v1/jobs?endpoint=door", content=body, headers=headers)
    assert job.status_code == 202, job.text
    where = f"{site.control}/v1/jobs/{job.json()['id']}"
    site.until(
        lambda: site.http.get(where).json()["state"] not in ("queued", "running"),
        within=30,
        what=lambda: f"the job has ended: {site.http.get(where).text}",
    )
    ended = site.http.get(where).json()
    assert (ended["state"], ended["rows_done"], ended["rows_failed"]) == ("done", 3, 0)


def test_the_control_port_and_the_metrics_show_them(site: Any, ask: Any) -> None:
    ask("door", [[1, 2]])
    listed = site.http.get(f"{site.control}/v1/endpoints").json()
    assert [(front["name"], front["revision"], front["otherwise"]) for front in listed["fronts"]] == [
        ("alike", 1, "main"),
        ("door", 1, "main"),
        ("inside", 1, "main"),
    ]
    history = site.http.get(f"{site.control}/v1/endpoints/door").json()
    assert (history["served"], history["front"]["name"], len(history["revisions"])) == (None, "door", 1)
    metrics = site.http.get(f"{site.control}/metrics").text
    assert 'quorate_rules_total{endpoint="main",rule="otherwise"}' in metrics
    assert 'quorate_front_requests_total{endpoint="main",front="door"}' in metrics or (
        'quorate_front_requests_total{front="door",endpoint="main"}' in metrics
    )


def test_the_rules_and_what_an_example_would_fire_are_told(site: Any, ask: Any) -> None:
    ask("main", [[1, 2]], tier="gold", divisor=1)
    where = f"{site.control}/v1/endpoints"
    main = site.http.get(f"{where}/main/rules").json()
    assert [(rule["number"], rule["then"], rule["never"]) for rule in main["rules"]] == [
        (1, {"high": 1.0}, False),
        (2, {"low": 1.0, "high": 0.0}, False),
    ]
    assert main["rules"][0]["fired"] >= 1
    assert (main["kind"], main["otherwise"], main["keys"]) == ("endpoint", {"low": 1.0}, ["divisor", "tier"])
    assert [fact["name"] for fact in main["facts"]] == ["input.distance", "input.rows"]
    door = site.http.get(f"{where}/door/rules").json()
    assert (door["kind"], door["rules"][0]["then"], door["rules"][0]["fired"]) == ("front", {"table": 1.0}, None)
    assert site.http.get(f"{where}/hidden/rules").json()["rules"] == []
    assert site.http.get(f"{where}/nobody/rules").status_code == 404

    def tried(name: str, **example: Any) -> Any:
        return site.http.post(f"{where}/{name}/rules/explain", json=example)

    gold = tried("main", context={"tier": "gold", "divisor": 0}, instances=[[1, 2], [1, 2], [1, 2]]).json()
    assert (gold["fires"], gold["then"]) == (2, {"low": 1.0, "high": 0.0})
    assert gold["rules"][0]["why"] == "division by zero"
    assert gold["rules"][0]["parts"][0]["text"] == "1 / context.divisor > 0"
    assert 0 < gold["facts"]["input.distance"] < 10
    assert tried("inside", instances=[[9e6, 0]]).json()["then"] == {"hidden": 1.0}
    assert tried("inside", instances=[[1, 2]]).json()["fires"] is None
    assert tried("door", facts={"input.kind": "columns"}).json()["fires"] == 1
    assert tried("door").json()["unknown"] == ["input.kind"]
    assert tried("hidden").json()["then"] == {"low": 0.5, "high": 0.5}
    for wrong, path in (
        ({"facts": {"input.row": 1}}, "facts.input.row"),
        ({"facts": {"input.rows": "x"}}, "facts.input.rows"),
        ({"context": [1]}, "context"),
        ({"instances": [[1]]}, "instances"),
        ({"rows": 1}, "rows"),
    ):
        refused = tried("main", **wrong)
        assert (refused.status_code, refused.json()["path"]) == (422, path), refused.text
    assert tried("nobody").status_code == 404
    assert site.http.post(f"{where}/main/rules/explain", content=b"x").status_code == 415
