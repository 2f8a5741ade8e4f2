"""The dashboard and the rules ask for metrics, labels and buckets that there are, in PromQL that parses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorate.telemetry.metrics import METRICS, Metric

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "quorate.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "alerts.yaml"

KNOWN = METRICS | {"quorate_telemetry_unreadable_files": Metric("gauge", "")}
UNSHOWN = frozenset(
    {
        "quorate_batch_retries_total",
        "quorate_batch_rows_total",
        "quorate_batch_streams",
        "quorate_batches_total",
        "quorate_journal_files_total",
        "quorate_host_cpu_seconds_total",
        "quorate_pool_lanes",
        "quorate_pool_load_seconds",
        "quorate_pool_resident",
        "quorate_pool_threads",
        "quorate_pool_tried_seconds",
    }
)
"""Metrics that the dashboard leaves out on purpose."""
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""
GRAFANA = {"$__rate_interval": "5m", "$job": "quorate", "$endpoint": "digits"}

_SELECTOR = re.compile(r"\b(quorate_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def dashboard() -> dict[str, Any]:
    return json.loads(DASHBOARD.read_text("utf-8"))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    return found + [rule["expr"] for rule in rules()]


def exposed(name: str) -> tuple[str, set[str]]:
    """The metric a series belongs to, and the labels the series has."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        metric = KNOWN.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if metric is None or (metric.kind == "histogram") != bool(suffix):
            continue
        labels = set(metric.labels) | ({"process"} if metric.per_process else set())
        return name.removesuffix(suffix), labels | ({"le"} if suffix == "_bucket" else set())
    raise KeyError(name)


def wrong_in(expression: str) -> list[str]:
    """What an expression asks for that does not exist."""
    wrong, labels = [], set()
    for name, matchers in _SELECTOR.findall(expression):
        if name == "up":
            continue
        try:
            metric, has = exposed(name)
        except KeyError:
            wrong.append(f"there is no series {name}")
            continue
        labels |= has
        for label, value in _MATCHER.findall(matchers):
            if label not in has | SCRAPED:
                wrong.append(f"{name} has no label {label}")
            if label == "le" and float(value) not in [
                b / KNOWN[metric].scale.per_unit for b in KNOWN[metric].scale.bounds
            ]:
                wrong.append(f"{name} has no bucket {value}")
    for group in _GROUPING.findall(expression):
        wanted = {label.strip() for label in group.split(",") if label.strip()}
        if "quorate:" not in expression:
            wrong += [f"nothing here has the label {label}" for label in wanted - labels - SCRAPED]
    return wrong


def test_everything_asked_for_exists() -> None:
    assert {expression: wrong_in(expression) for expression in expressions() if wrong_in(expression)} == {}


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("rate(quorate_requests_sum[5m])", "no series quorate_requests_sum"),
        ("rate(quorate_queue_duration_seconds[5m])", "no series quorate_queue_duration_seconds"),
        ('rate(quorate_shed_total{member="a"}[5m])', "no label member"),
        ('rate(quorate_queue_duration_seconds_bucket{le="0.3"}[5m])', "no bucket 0.3"),
        ("sum by (pool) (quorate_in_flight)", "has the label pool"),
    ],
)
def test_the_question_finds_each_mistake(expression: str, complaint: str) -> None:
    assert any(complaint in wrong for wrong in wrong_in(expression))


def test_every_metric_is_on_the_dashboard() -> None:
    asked = {exposed(name)[0] for e in expressions()[: -len(rules())] for name, _ in _SELECTOR.findall(e)}
    assert asked == set(KNOWN) - UNSHOWN


def test_the_dashboard_is_what_grafana_imports() -> None:
    board = dashboard()
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= board.keys()
    assert "id" not in board  # or an import would replace another dashboard
    variables = {v["name"]: v for v in board["templating"]["list"]}
    assert variables.keys() == {"datasource", "job", "endpoint"}
    assert variables["datasource"]["query"] == "prometheus"
    identities = [panel["id"] for panel in board["panels"]]
    assert len(identities) == len(set(identities))
    for panel in panels():
        assert panel["title"]
        assert panel["type"] in {"timeseries", "stat", "state-timeline"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(references) == len(set(references))
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    text = DASHBOARD.read_text("utf-8")
    assert set(re.findall(r"\$(?!__)\{?(\w+)", text)) <= variables.keys()


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for a, b in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (a, b)


def test_recordings_that_alerts_use_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for rule in rules() for name in re.findall(r"quorate:[\w:]+", rule["expr"])}
    assert used == recorded


def test_every_alert_says_how_bad_and_what_it_means() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len({alert["alert"] for alert in alerts}) == len(alerts)
    tested = "".join(path.read_text("utf-8") for path in PROMETHEUS.glob("*_test.yaml"))
    documented = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for alert in alerts:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"].keys() == {"summary", "description"}
        assert alert["alert"] in tested
        assert f"`{alert['alert']}`" in documented


# --- by Prometheus's own tool -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's checker; ``make check-alerts`` fetches it."""
    local = ROOT / ".venvs" / "promtool" / "usr" / "bin" / "promtool"
    found = os.environ.get("QUORATE_PROMTOOL") or shutil.which("promtool") or (str(local) if local.exists() else None)
    if found is None:
        pytest.skip("promtool is not installed; make check-alerts fetches it")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_the_example_are_valid(promtool: str) -> None:
    run(promtool, "check", "rules", RULES)
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yaml")


def test_every_panel_s_query_parses(promtool: str, tmp_path: Path) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    for variable, value in GRAFANA.items():
        queries = [query.replace(variable, value) for query in queries]
    assert not any("$" in query for query in queries)
    asked = {"groups": [{"name": "g", "rules": [{"record": f"r:{i}", "expr": q} for i, q in enumerate(queries)]}]}
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump(asked))
    run(promtool, "check", "rules", file)


@pytest.mark.parametrize("name", ["alerts_test.yaml", "alerts_slow_test.yaml"])
def test_alerts_fire_and_do_not_fire(promtool: str, name: str) -> None:
    run(promtool, "test", "rules", PROMETHEUS / name)
