"""The control port, from the outside: ASGI requests against a real project."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import snapshot
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control import keys, model_routes
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.journal.ingest import Ingest
from quorate.core.types import Decision, MemberRun, Outcome, Status
from quorate.ids import DecisionId
from quorate.store.audit import entries
from quorate.telemetry.counters import Counters
from quorate.web.openapi import METHODS

YAML = {"content-type": "application/yaml"}
OTHER = """\
pools:
  letters: {task: classification, members: [a, b]}
endpoints:
  other: {pool: letters, strategies: {average: {kind: mean}}}
"""


class Port:
    """Sends requests to the control port's application."""

    def __init__(self, project: Any, host: str = "127.0.0.1") -> None:
        journal = JournalReader(project.home.journal)
        services = Services(project.home, project.registry, project.database, journal, project.clock)
        self.app = create_app(services, Access(project.home, project.database, host))
        self.base = f"http://{host}:8001"

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture
def port(project: Any) -> Port:
    return Port(project)


def _problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body = response.json()
    assert response.status_code == body["status"] == status, body
    assert response.headers["content-type"] == "application/problem+json"
    assert body["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return body


# --- reading ---


def test_health_says_what_is_obeyed(project: Any, port: Port) -> None:
    assert port("GET", "/v1/health").json()["snapshot_version"] is None
    project.apply()
    health = port("GET", "/v1/health").json()
    assert (health["status"], health["snapshot_version"]) == ("ok", 1)


def test_models(project: Any, port: Port) -> None:
    project.model("a", accuracy=None)
    project.registry.set_alias("a", "champion", 1)
    found = {model["name"]: model for model in port("GET", "/v1/models").json()}
    assert set(found) == {"a", "b", "c"}
    assert found["a"]["versions"] == [1, 2]
    assert found["a"]["aliases"] == {"champion": 1}
    model = port("GET", "/v1/models/a").json()
    assert [version["version"] for version in model["versions"]] == [2, 1]
    version = port("GET", "/v1/models/a/1").json()
    assert version == model["versions"][1]
    assert version["aliases"] == ["champion"]
    assert version["metrics"] == {"validation_accuracy": 0.9}
    assert version["signature"]["output"]["classes"] == ["no", "yes"]
    assert port("GET", "/v1/models/a/2").json()["metrics"] == {}
    _problem(port("GET", "/v1/models/nobody"), 404, "not_found")
    assert _problem(port("GET", "/v1/models/a/9"), 404, "not_found")["path"] == "version"


def test_pools_and_endpoints(project: Any, port: Port) -> None:
    assert port("GET", "/v1/pools").json() == []
    assert port("GET", "/v1/endpoints").json() == {"snapshot_version": 0, "endpoints": [], "fronts": []}
    project.apply()
    [pool] = port("GET", "/v1/pools").json()
    assert [member["name"] for member in pool["members"]] == ["a", "b", "c"]
    assert (pool["threads_from"], pool["lanes_from"], pool["workers"]) == ("none", "cores", [])
    counters = Counters(project.home.telemetry / "worker-0.qt")
    for name, value in (("resident", 1), ("threads", 2), ("lanes", 1)):
        counters.gauge(f"quorate_pool_{name}", pool="letters").set(value)
    for threads, seconds in (("1", 0.02), ("2", 0.01)):
        counters.gauge("quorate_pool_tried_seconds", pool="letters", threads=threads).set(seconds)
    [pool] = port("GET", "/v1/pools").json()
    assert (pool["threads_from"], pool["lanes_from"]) == ("measured", "cores")
    [worker] = pool["workers"]
    assert (worker["process"], worker["threads"], worker["tried_ms"]) == ("worker-0", 2, {"1": 20.0, "2": 10.0})
    counters.close()
    listed = port("GET", "/v1/endpoints")
    assert listed.headers["etag"] == '"1"'
    [endpoint] = listed.json()["endpoints"]
    assert (endpoint["name"], endpoint["revision"], endpoint["fallback"]) == ("main", 1, ["best"])
    assert [strategy["name"] for strategy in endpoint["strategies"]] == ["average", "best"]
    project.write(project.home.config.read_text().replace("quorum: 2", "quorum: 1"))
    project.apply()
    history = port("GET", "/v1/endpoints/main").json()
    assert history["served"]["revision"] == 2
    assert [revision["number"] for revision in history["revisions"]] == [2, 1]
    assert history["revisions"][0]["content"]["endpoint"]["name"] == "main"
    _problem(port("GET", "/v1/endpoints/nobody"), 404, "not_found")


def test_an_endpoint_that_is_served_no_more_keeps_its_history(project: Any, port: Port) -> None:
    project.apply()
    project.write(OTHER)
    project.apply()
    history = port("GET", "/v1/endpoints/main").json()
    assert history["served"] is None
    assert len(history["revisions"]) == 1


def test_audit_is_paged_newest_first(project: Any, port: Port) -> None:
    project.apply()
    for name in ("one", "two"):
        keys.create(project.home, project.database, name=name, roles=["admin"], author="tester", clock=project.clock)
    _, secret = keys.create(
        project.home, project.database, name="three", roles=["operate"], author="tester", clock=project.clock
    )
    authorised = {"x-api-key": secret}
    page = port("GET", "/v1/audit?limit=2", headers=authorised).json()
    assert [entry["action"] for entry in page] == ["key.create", "key.create"]
    rest = port("GET", f"/v1/audit?before={page[-1]['id']}", headers=authorised).json()
    assert [entry["action"] for entry in rest] == ["key.create", "apply"]


def test_the_overview_is_of_what_is_served(project: Any, port: Port) -> None:
    _problem(port("GET", "/v1/endpoints/main/overview"), 404, "not_found")
    project.apply()
    found = port("GET", "/v1/endpoints/main/overview?minutes=2").json()
    assert (found["endpoint"], found["minutes"], len(found["timeline"])) == ("main", 2, 2)
    assert [member["name"] for member in found["members"]] == ["a", "b", "c"]
    _problem(port("GET", "/v1/endpoints/main/overview?minutes=0"), 422, "invalid_input")


def test_a_preview_needs_only_the_role_predict_and_a_picture(project: Any, port: Port) -> None:
    png = {"content-type": "image/png"}
    _problem(port("POST", "/v1/models/a/preview", content=b"x", headers=png), 422, "invalid_input")
    _problem(port("POST", "/v1/models/nobody/preview", content=b"x", headers=png), 404, "not_found")
    _problem(port("POST", "/v1/models/a/preview", json={}), 415, "unsupported_media_type")
    project.apply()
    made = {
        role: keys.create(project.home, project.database, name=role, roles=[role], author="t", clock=project.clock)[1]
        for role in ("predict", "outcome")
    }
    allowed = port("POST", "/v1/models/a/preview", content=b"x", headers={**png, "x-api-key": made["predict"]})
    _problem(allowed, 422, "invalid_input")
    refused = port("POST", "/v1/models/a/preview", content=b"x", headers={**png, "x-api-key": made["outcome"]})
    _problem(refused, 403, "forbidden")
    _problem(port("GET", "/v1/models", headers={"x-api-key": made["predict"]}), 403, "forbidden")


def test_only_so_many_previews_are_made_at_a_time(project: Any, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[int] = []
    most = 0
    together = threading.Barrier(model_routes.PREVIEWS)

    def made(*_: Any, **__: Any) -> bytes:
        nonlocal most
        now.append(1)
        most = max(most, len(now))
        together.wait(30)
        now.pop()
        return b"png"

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(port.app), base_url=port.base) as client:
            png = {"content-type": "image/png"}
            many = range(4 * model_routes.PREVIEWS)
            return await asyncio.gather(*(client.post("/v1/models/a/preview", content=b"x", headers=png) for _ in many))

    monkeypatch.setattr(model_routes, "steps_of", lambda *_: ())
    monkeypatch.setattr(model_routes, "seen", made)
    assert {answer.content for answer in asyncio.run(send())} == {b"png"}
    assert most == model_routes.PREVIEWS


def test_metrics_are_every_process_s(project: Any, port: Port) -> None:
    counters = Counters(project.home.telemetry / "worker-0.qt")
    counters.counter("quorate_shed_total", endpoint="main", reason="queue").add(3)
    answer = port("GET", "/metrics")
    counters.close()
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [s for family in text_string_to_metric_families(answer.text) for s in family.samples]
    assert ("quorate_shed_total", {"endpoint": "main", "reason": "queue"}, 3.0) in [
        (s.name, s.labels, s.value) for s in samples
    ]


# --- decisions ---


def _decided(project: Any) -> str:
    """Write one decision over two rows and its truth into the journal, ingest both, and return its id."""
    number = str(DecisionId(int(project.clock.now() * 1000), 0, 1, 0))
    outputs = np.full((2, 2, 2), 0.5, np.float32)
    outputs[0, 1] = np.nan
    answer = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    decision = Decision(
        id=number,
        endpoint="main",
        revision=1,
        state_version=0,
        source="policy",
        arrived=project.clock.now(),
        queue_ms=0.5,
        latency_ms=2.0,
        context={"user": "u1"},
        strategies=("average", "best"),
        propensities=(0.5, 0.5),
        assigned="average",
        served="average",
        members=(
            MemberRun("a", 1, Status.OK, 1.0),
            MemberRun("b", 1, Status.FAILED, None, "member_timeout"),
        ),
        outputs=outputs,
        status=np.array([[0, 1], [0, 1]], np.int8),
        answer=answer,
        degraded=True,
        rows=2,
        input_digest=b"\x01" * 32,
        classes=("no", "yes"),
    )
    truth = Outcome(number, 0, truth="no", at=1.0, received=2.0)
    folder = project.home.journal / "0"
    folder.mkdir(parents=True)
    records = (
        (RecordKind.DECISION, decision_codec.encode(decision)),
        (RecordKind.OUTCOME, outcome_codec.encode(truth)),
    )
    body = b"".join(encode_record(kind, i, payload, 7) for i, (kind, payload) in enumerate(records))
    (folder / segment_name(1, 0)).write_bytes(encode_header(Header(0, 1, 0, 5, 7)) + body)
    Ingest(JournalReader(project.home.journal), project.database).catch_up()
    return number


def test_a_decision_with_its_outcomes(project: Any, port: Port) -> None:
    number = _decided(project)
    found = port("GET", f"/v1/decisions/{number}").json()
    assert (found["id"], found["assigned"], found["degraded"]) == (number, "average", True)
    assert found["propensities"] == {"average": 0.5, "best": 0.5}
    assert found["members"][1]["reason"] == "member_timeout"
    assert found["members"][1]["outputs"][0] == [None, None]
    assert [(outcome["row"], outcome["value"], outcome["state"]) for outcome in found["outcomes"]] == [
        (0, "no", "joined")
    ]
    other = str(DecisionId(0, 3, 1, 9))
    _problem(port("GET", f"/v1/decisions/{other}"), 404, "not_found")
    _problem(port("GET", "/v1/decisions/nonsense"), 422, "invalid_input")


def test_the_report_of_an_endpoint(project: Any, port: Port) -> None:
    project.apply()
    _decided(project)
    found = port("GET", "/v1/endpoints/main/report").json()
    [strategy] = found["strategies"]
    assert (strategy["strategy"], strategy["requests"], strategy["judged_rows"]) == ("average", 1, 1)
    assert strategy["accuracy"] == 1.0
    later = port("GET", f"/v1/endpoints/main/report?since={project.clock.now() + 120}").json()
    assert later["strategies"] == []
    _problem(port("GET", "/v1/endpoints/nobody/report"), 404, "not_found")
    for wrong in ("-1", "nan", "1e99", "today"):
        _problem(port("GET", f"/v1/endpoints/main/report?since={wrong}"), 422, "invalid_input")


# --- applying ---


def test_apply_without_a_body_applies_the_file(project: Any, port: Port) -> None:
    done = port("POST", "/v1/endpoints/apply").json()
    assert done["revisions"] == {"main": 1}
    assert done["changed"] == ["main"]
    assert snapshot.read(project.home.snapshot).version == done["snapshot_version"] == 1
    with project.database.read() as connection:
        assert entries(connection)[0].actor == "control port"


def test_apply_with_a_body_replaces_the_file(project: Any, port: Port) -> None:
    project.apply()
    done = port("POST", "/v1/endpoints/apply", content=OTHER, headers=YAML).json()
    assert (done["changed"], done["removed"]) == (["other"], ["main"])
    assert project.home.config.read_text() == OTHER
    assert project.start().snapshot_version == done["snapshot_version"], "a restart finds the file applied"


def test_a_configuration_may_be_json(port: Port) -> None:
    strategies = {"average": {"kind": "mean"}}
    pools = {"letters": {"task": "classification", "members": ["a", "b"]}}
    body = {"pools": pools, "endpoints": {"other": {"pool": "letters", "strategies": strategies}}}
    assert port("POST", "/v1/endpoints/apply?dry_run=1", json=body).json()["changed"] == ["other"]


def test_dry_run_changes_nothing_and_tells_the_truth(project: Any, port: Port) -> None:
    project.apply()
    before = project.home.config.read_text()
    asked = port("POST", "/v1/endpoints/apply?dry_run=true", content=OTHER, headers=YAML).json()
    assert project.home.config.read_text() == before
    assert snapshot.current_version(project.home.snapshot) == 1
    done = port("POST", "/v1/endpoints/apply", content=OTHER, headers=YAML).json()
    assert {**done, "dry_run": True, "snapshot_version": 1} == asked
    assert port("POST", "/v1/endpoints/apply?dry_run=true").json()["changed"] == []


@pytest.mark.parametrize("text", ["x: [", "pools: 1", "\x00", "- " * 3])
def test_a_wrong_configuration_changes_nothing(project: Any, port: Port, text: str) -> None:
    project.apply()
    before = project.home.config.read_text()
    for query in ("", "?dry_run=true"):
        problem = _problem(
            port("POST", f"/v1/endpoints/apply{query}", content=text, headers=YAML), 422, "invalid_config"
        )
        assert problem["detail"].startswith("quorate.yaml:")
    assert project.home.config.read_text() == before
    assert snapshot.current_version(project.home.snapshot) == 1


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_configuration_that_does_not_fit_the_registry_changes_nothing(project: Any, port: Port, query: str) -> None:
    project.apply()
    before = project.home.config.read_text()
    text = OTHER.replace("[a, b]", "[a, nobody]")
    problem = _problem(port("POST", f"/v1/endpoints/apply{query}", content=text, headers=YAML), 409, "conflict")
    assert "nobody" in problem["detail"]
    assert problem["path"] == "pools.letters.members[1]"
    assert project.home.config.read_text() == before
    project.home.config.write_text("pools: 1")
    _problem(port("POST", f"/v1/endpoints/apply{query}"), 409, "conflict")


def test_if_match_refuses_to_overwrite_anothers_change(project: Any, port: Port) -> None:
    project.apply()
    before = project.home.config.read_text()
    stale = {**YAML, "if-match": '"0"'}
    _problem(port("POST", "/v1/endpoints/apply", content=OTHER, headers=stale), 409, "conflict")
    _problem(port("POST", "/v1/endpoints/apply?dry_run=true", content=OTHER, headers=stale), 409, "conflict")
    assert project.home.config.read_text() == before
    fresh = {**YAML, "if-match": port("GET", "/v1/endpoints").headers["etag"]}
    assert port("POST", "/v1/endpoints/apply", content=OTHER, headers=fresh).status_code == 200
    _problem(port("POST", "/v1/endpoints/apply", headers={"if-match": "W/x"}), 400, "malformed_request")


def test_a_failed_first_apply_leaves_no_file(project: Any, port: Port) -> None:
    project.home.config.unlink()
    _problem(port("POST", "/v1/endpoints/apply", content=OTHER, headers={**YAML, "if-match": '"7"'}), 409, "conflict")
    assert not project.home.config.exists()


def test_bodies_have_a_type_and_a_limit(port: Port) -> None:
    xml = {"content-type": "application/xml"}
    _problem(port("POST", "/v1/endpoints/apply", content="<a/>", headers=xml), 415, "unsupported_media_type")
    huge = "#" * (1024 * 1024 + 1)
    _problem(port("POST", "/v1/endpoints/apply", content=huge, headers=YAML), 413, "too_large")


# --- the gate ---


def _key(project: Any, *roles: str) -> dict[str, str]:
    _, secret = keys.create(
        project.home, project.database, name="-".join(roles), roles=roles, author="tester", clock=project.clock
    )
    return {"authorization": f"Bearer {secret}"}


def test_roles(project: Any, port: Port) -> None:
    admin, operate, predict = _key(project, "admin"), _key(project, "operate"), _key(project, "predict")
    _problem(port("GET", "/v1/models"), 401, "unauthenticated")
    _problem(port("GET", "/v1/models", headers={"x-api-key": "wrong"}), 401, "unauthenticated")
    _problem(port("GET", "/v1/models", headers=predict), 403, "forbidden")
    assert port("GET", "/v1/models", headers=operate).status_code == 200
    _problem(port("POST", "/v1/endpoints/apply", headers=operate), 403, "forbidden")
    assert port("POST", "/v1/endpoints/apply", headers=admin).status_code == 200
    with project.database.read() as connection:
        assert entries(connection)[0].actor.startswith("key key-")


def test_unknown_routes_say_nothing_without_a_key(project: Any, port: Port) -> None:
    _key(project, "operate")
    _problem(port("GET", "/v1/secrets"), 401, "unauthenticated")


def test_a_new_key_counts_at_once_before_and_after_the_first_apply(project: Any, port: Port) -> None:
    assert port("GET", "/v1/models").status_code == 200
    operate = _key(project, "operate")
    _problem(port("GET", "/v1/models"), 401, "unauthenticated")
    project.apply()
    assert port("GET", "/v1/models", headers=operate).status_code == 200
    other = _key(project, "operate")
    assert port("GET", "/v1/models", headers=other).status_code == 200


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("10.0.0.1", 401)])
def test_metrics_and_health_are_open_on_loopback_only(project: Any, host: str, status: int) -> None:
    _key(project, "operate")
    port = Port(project, host)
    assert port("GET", "/metrics").status_code == status
    assert port("GET", "/v1/health").status_code == status
    assert port("GET", "/openapi.json").status_code == 200


def test_foreign_hosts_and_origins_are_refused(port: Port) -> None:
    _problem(port("GET", "/v1/models", headers={"host": "evil.example"}), 403, "forbidden")
    foreign = port("POST", "/v1/endpoints/apply", headers={"origin": "http://evil.example"})
    assert _problem(foreign, 403, "forbidden")["path"] == "Origin"
    read = port("GET", "/v1/models", headers={"origin": "http://evil.example"})
    assert not [name for name in read.headers if name.startswith("access-control")]


# --- errors ---


def test_unknown_routes_methods_and_parameters_are_problems(port: Port) -> None:
    _problem(port("GET", "/nope"), 404, "not_found")
    _problem(port("GET", "/v1/models/"), 404, "not_found")
    answer = port("POST", "/v1/models")
    _problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    assert _problem(port("GET", "/v1/audit?limit=0"), 422, "invalid_input")["path"] == "limit"
    assert _problem(port("GET", "/v1/audit?before=x"), 422, "invalid_input")["path"] == "before"
    _problem(port("GET", "/v1/models/NO"), 422, "invalid_input")
    _problem(port("GET", f"/v1/models/a/{10**30}"), 422, "invalid_input")


def test_a_bug_is_a_500_that_shows_nothing(project: Any, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project.registry, "names", lambda: 1 / 0)
    body = _problem(port("GET", "/v1/models"), 500, "internal")
    assert "division" not in body["detail"]


def test_a_broken_store_is_a_503(project: Any, port: Port) -> None:
    project.apply()
    project.database.close()
    project.database.file.write_bytes(b"no database" * 1000)
    _problem(port("GET", "/v1/audit"), 503, "store")


def test_the_request_id_is_kept(port: Port) -> None:
    for path in ("/v1/models", "/nope", "/metrics"):
        assert port("GET", path, headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


# --- the document ---


def test_the_document_describes_every_route_with_problems_only(port: Port) -> None:
    document = port("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert {
        "/v1/decisions/{id}",
        "/v1/endpoints/{name}/report",
        "/metrics",
        "/v1/health",
        "/v1/models",
        "/v1/pools",
        "/v1/endpoints",
        "/v1/endpoints/apply",
        "/v1/audit",
    } <= set(document["paths"])
    tags = {tag["name"] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            assert set(item[method]["tags"]) <= tags, path
            for status, response in item[method]["responses"].items():
                if not status.startswith("2"):
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
    page = port("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/endpoints/apply" in page.text
