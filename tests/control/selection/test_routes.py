"""``/v1/endpoints/NAME/trust`` and ``…/regret`` from the outside."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from quorate.codecs.snapshot import StrategyRoute
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.registry.registry import Registry

from .conftest import MEMBERS, Lab

STEPS = StrategyRoute("steps", "cascade", ("a", "b"), 1)
ONLINE = StrategyRoute("online", "online", MEMBERS, 1)


@pytest.fixture
def get(lab: Lab) -> Any:
    registry = Registry(lab.home.registry, lab.clock)
    app = create_app(
        Services(lab.home, registry, lab.database, lab.reader, lab.clock), Access(lab.home, lab.database, "127.0.0.1")
    )

    def send(path: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.get(path)

        return asyncio.run(asked())

    return send


def test_trust_and_regret(lab: Lab, get: Any) -> None:
    lab.serve(ONLINE, STEPS)
    for i in range(6):
        lab.decide([i % 2, 1, 0], truth=i % 2, assigned="steps" if i < 2 else "online", context={"k": i})
    lab.flush()
    found = get("/v1/endpoints/e/trust?strategy=steps&by=context.k").json()
    assert (found["means"], found["rows"], found["by"]) == ("answered", 2, "context.k")
    assert [each["name"] for each in found["groups"]] == ["0", "1"]
    assert get("/v1/endpoints/e/trust").json()["experts"]["rows"] == 6
    told = get("/v1/endpoints/e/regret?points=3").json()
    assert (told["rows"], len(told["points"]), told["policy"]) == (6, 3, "fixed")
    assert [each["strategy"] for each in told["combiners"]] == ["online"]


def test_what_is_wrong_names_its_field(lab: Lab, get: Any) -> None:
    lab.serve(STEPS)
    for path, status, field in (
        ("/v1/endpoints/nobody/trust", 404, "name"),
        ("/v1/endpoints/nobody/regret", 404, "name"),
        ("/v1/endpoints/e/regret", 404, "name"),
        ("/v1/endpoints/e/trust?by=nonsense", 422, "by"),
        ("/v1/endpoints/e/trust?strategy=nobody", 422, "strategy"),
        ("/v1/endpoints/e/regret?points=1", 422, "points"),
    ):
        answer = get(path)
        assert (answer.status_code, answer.json().get("path")) == (status, field), (path, answer.text)
