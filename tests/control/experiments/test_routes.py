"""``/v1/experiments`` from the outside: what is answered, who may, and what is hidden until the verdict."""

from __future__ import annotations

import asyncio
import html
from typing import Any

import httpx
import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control import keys
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.replay.asked import Question
from quorate.control.replay.desk import ReplayDesk
from quorate.errors import Conflict


class Port:
    """Sends requests to the control port's application."""

    def __init__(self, lab: Any) -> None:
        project = lab.project
        journal = JournalReader(project.home.journal)
        services = Services(project.home, project.registry, project.database, journal, project.clock)
        self.app = create_app(services, Access(project.home, project.database, "127.0.0.1"))

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture
def port(lab: Any) -> Port:
    return Port(lab)


def _decided(lab: Any, port: Port, **changes: Any) -> str:
    made = port("POST", "/v1/experiments", json=lab.registration(**changes)).json()
    assert port("POST", f"/v1/experiments/{made['id']}/start").status_code == 200
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    return str(made["id"])


def test_from_registration_to_promotion(lab: Any, port: Port) -> None:
    made = port("POST", "/v1/experiments", json=lab.registration())
    assert made.status_code == 201
    where = f"/v1/experiments/{made.json()['id']}"
    assert port("PUT", where, json=lab.registration(minimum_effect=0.3), headers={"if-match": '"1"'}).status_code == 200
    stale = port("POST", f"{where}/start", headers={"if-match": '"1"'})
    assert (stale.status_code, stale.json()["path"]) == (409, "If-Match")
    assert port("POST", f"{where}/start", headers={"if-match": "x"}).status_code == 400
    started = port("POST", f"{where}/start", headers={"if-match": '"2"'})
    assert (started.status_code, started.json()["state"]) == (200, "running")
    edited = port("PUT", where, json=lab.registration())
    assert (edited.status_code, "cannot be edited" in edited.json()["detail"]) == (409, True)
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    found = port("GET", where)
    assert found.headers["etag"] == f'"{found.json()["version"]}"'
    assert found.json()["verdict"]["winner"] == "best"
    looks = port("GET", f"{where}/looks").json()
    assert looks[-1] == found.json()["latest"]
    assert [look["number"] for look in looks] == list(range(1, len(looks) + 1))
    assert port("POST", f"{where}/promote").json()["conclusion"]["did"] == "promote"
    again = port("POST", f"{where}/keep")
    assert (again.status_code, "promote by control port" in again.json()["detail"]) == (409, True)
    listed = port("GET", "/v1/experiments?endpoint=main").json()
    assert [each["id"] for each in listed] == [made.json()["id"]]
    assert port("GET", "/v1/experiments?endpoint=other").json() == []


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"{", 400, "body"),
        (b"[]", 422, "body"),
        (b"{}", 422, "name"),
        (b'{"name": "' + b"x" * 300_000 + b'"}', 413, "body"),
    ],
)
def test_bad_bodies(port: Port, body: bytes, status: int, path: str) -> None:
    for where in ("/v1/experiments", "/v1/experiments/plan", "/v1/experiments/selftest"):
        answer = port("POST", where, content=body)
        assert (answer.status_code, answer.json()["path"]) == (status, path), where


def test_unknown_experiments_and_methods(port: Port) -> None:
    assert port("GET", "/v1/experiments/0123456789abcdef").status_code == 404
    assert port("GET", "/v1/experiments/nope").status_code == 422
    assert port("GET", "/v1/experiments/plan").status_code == 405
    assert port("DELETE", "/v1/experiments/0123456789abcdef").status_code == 404


def test_reports_for_both_readers_and_as_json(lab: Any, port: Port) -> None:
    registration = {"guard_rails": [{"metric": "error_rate", "margin": 0.2}], "name": "a-b"}
    where = f"/v1/experiments/{_decided(lab, port, **registration)}/report"
    manager = port("GET", where)
    assert manager.headers["content-type"].startswith("text/html")
    for said in ("is better than", "<svg", "Of 1,000 requests with", "What must not get worse", "fine"):
        assert said in manager.text, said
    statistician = port("GET", where, params={"for": "statistician"}).text
    for said in ("SHA-256", "Intention to treat", "Sample ratio", "no mismatch", "Guard rails", "draws no random"):
        assert said in statistician, said
    data = port("GET", where, headers={"accept": "application/json"}).json()
    assert data["verdict"]["verdict"] == "better"
    assert data["digest"] in statistician
    assert "'best' is better than 'average'" in data["said"]["sentence"]
    assert data["said"]["meaning"].keys() == {"best"}
    assert all(html.escape(text) in statistician for text in (*data["said"]["rules"], data["said"]["formula"]))
    assert port("GET", where, params={"for": "nobody"}).status_code == 422


def test_a_name_in_a_report_is_text(lab: Any, port: Port) -> None:
    """A segment's value comes from strangers."""
    made = port("POST", "/v1/experiments", json=lab.registration(segments=["context.from"])).json()
    port("POST", f"/v1/experiments/{made['id']}/start")
    for _ in range(4):
        lab.traffic(120, {"average": 0.4, "best": 0.9}, context={"from": "<script>alert(1)</script>"})
        lab.pass_()
    page = port("GET", f"/v1/experiments/{made['id']}/report", params={"for": "statistician"}).text
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_what_is_hidden_is_shown_after_the_verdict(lab: Any, port: Port) -> None:
    hidden = {"blind": True, "hide_until_verdict": True}
    made = port("POST", "/v1/experiments", json=lab.registration(**hidden)).json()
    where = f"/v1/experiments/{made['id']}"
    port("POST", f"{where}/start")
    assert lab.route.policy.blind
    decision = lab.traffic(30, {"average": 0.5, "best": 0.5})[0]
    lab.pass_()
    [look] = port("GET", f"{where}/looks").json()
    assert look["hidden"]
    assert look["body"]["units"] == 30
    assert "comparisons" not in look["body"]
    hiding = ("main/report", "main/overview", "main/outcomes/timeline", "main/trust", "main/regret")
    for path in (*(f"/v1/endpoints/{each}" for each in hiding), f"/v1/decisions/{decision.id}"):
        assert port("GET", path).status_code == 409, path
    plan = port("POST", "/v1/endpoints/main/switches/plan", json={"to": "best"})
    assert (plan.status_code, plan.json()["path"]) == (409, "name")
    desk = ReplayDesk(lab.home, lab.project.registry, lab.database, lab.clock)
    desk.start()
    try:
        with pytest.raises(Conflict, match="hides its arms"):
            desk.submit(Question("main", strategy="best"), author="ann")
    finally:
        desk.stop()
    data = port("GET", f"{where}/report", headers={"accept": "application/json"}).text
    assert "estimate" not in data
    assert "hidden until the verdict" in port("GET", f"{where}/report").text
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    [*_, last] = port("GET", f"{where}/looks").json()
    assert "comparisons" in last["body"]
    for path in ("/v1/endpoints/main/report", f"/v1/decisions/{decision.id}"):
        assert port("GET", path).status_code == 200, path


def test_operators_may_and_others_may_not(lab: Any, port: Port) -> None:
    def key(role: str) -> dict[str, str]:
        _, secret = keys.create(lab.home, lab.database, name=role, roles=[role], author="ann", clock=lab.clock)
        return {"authorization": f"Bearer {secret}"}

    operate, predict = key("operate"), key("predict")
    assert port("POST", "/v1/experiments", json=lab.registration(), headers=predict).status_code == 403
    assert port("GET", "/v1/experiments", headers=predict).status_code == 403
    assert port("GET", "/v1/experiments").status_code == 401
    made = port("POST", "/v1/experiments", json=lab.registration(), headers=operate)
    assert made.status_code == 201
    assert made.json()["author"].startswith("key key-")
    assert port("DELETE", f"/v1/experiments/{made.json()['id']}", headers=operate).status_code == 200


def test_a_file_that_cannot_be_applied_under_an_experiment(lab: Any, port: Port) -> None:
    lab.begin()
    text = lab.home.config.read_text().replace("policy: average", "policy: best")
    for query in ("", "?dry_run=true"):
        answer = port("POST", f"/v1/endpoints/apply{query}", content=text, headers={"content-type": "application/yaml"})
        assert (answer.status_code, answer.json()["path"]) == (409, "endpoints.main")
    assert "policy: average" in lab.home.config.read_text()
