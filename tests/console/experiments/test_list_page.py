"""The list: order, filters, what is said of each, and what stays while control is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments import list_page
from quorate.console.experiments.list_page import ExperimentsPage
from quorate.console.session import Session
from quorate.testing.clock import FakeClock

LIST = f"GET /v1/experiments?limit={list_page.PAGE}"


def _open(apis: Any) -> tuple[Node, ExperimentsPage]:
    clock = FakeClock()
    with Node("div") as whole:
        page = ExperimentsPage(apis, Session("t", None, 0.0), "replies", clock.monotonic, lambda: 1_000_000.0)
    return whole, page


def _several(apis: Any, experiment: Callable[..., Any]) -> None:
    running = {"state": "running", "verdict": None, "started": 1_000_000.0 - 86_400.0, "ended": None}
    found = [
        experiment(id="4" * 16, name="draft", state="registered", verdict=None, started=None, ended=None, created=4.0),
        experiment(id="3" * 16, name="runs", **running, created=3.0),
        experiment(id="2" * 16, name="over", state="ended", conclusion={"did": "promote"}, created=2.0),
        experiment(id="1" * 16, name="waits", created=1.0),
    ]
    apis.answers[LIST] = [{**each, "latest": None} for each in found]
    for each in found:
        apis.answers[f"GET /v1/experiments/{each['id']}"] = each


def test_what_waits_comes_first_then_what_runs(apis: Any, experiment: Any, on_page: Any, said: Any) -> None:
    _several(apis, experiment)

    async def scenario(_: Any) -> None:
        whole, page = _open(apis)
        await page.look()
        assert [row.item.props["data-experiment"] for row in page._rows.values()] == ["waits", "runs", "draft", "over"]
        rows = [said(row.item) for row in page._rows.values()]
        assert "Waits for a decision\ncandidate is better\ncandidate: +0.054, between +0.00003" in rows[0]
        assert "1 day left" in rows[1]
        assert "1,868 of 20,000 units" in rows[1]
        assert "Draft\nLook it over and start it." in rows[2]
        assert "The winner was promoted." in rows[3]
        assert "Live: 1 experiment running" in said(whole)
        page._choose("registered")
        shown = [row.item.props["data-experiment"] for row in page._rows.values() if not row.item.props.get("hidden")]
        assert shown == ["draft"]

    on_page(scenario)


def test_rows_stay_the_same_elements_when_the_order_changes(apis: Any, experiment: Any, on_page: Any) -> None:
    """So that the keyboard's place in the list is kept."""
    _several(apis, experiment)

    async def scenario(_: Any) -> None:
        _, page = _open(apis)
        await page.look()
        before = {name: row.item for name, row in page._rows.items()}
        apis.answers[LIST] = [each for each in apis.answers[LIST] if each["name"] != "over"]
        apis.answers[LIST][0]["state"] = "ended"
        await page.look()
        assert {name: row.item for name, row in page._rows.items()} == {
            name: item for name, item in before.items() if name != "2" * 16
        }
        assert [*page._rows] == ["1" * 16, "3" * 16, "4" * 16]

    on_page(scenario)


def test_without_any_it_says_what_to_do(apis: Any, on_page: Any, said: Any) -> None:
    apis.answers[LIST] = []

    async def scenario(_: Any) -> None:
        whole, page = _open(apis)
        await page.look()
        assert "No experiments yet" in said(whole)
        assert "All 0" not in said(whole)

    on_page(scenario)


def test_what_was_known_stays_while_control_is_away(apis: Any, experiment: Any, on_page: Any, said: Any) -> None:
    _several(apis, experiment)

    async def scenario(_: Any) -> None:
        whole, page = _open(apis)
        await page.look()
        good = apis.answers[LIST]
        apis.answers[LIST] = ControlGone("away")
        await page.look()
        assert "Control is not reachable" in said(whole)
        assert "waits" in said(whole)
        apis.answers[LIST] = ControlRefused("no", 403)
        await page.look()
        assert "This needs a key with the role operate." in said(whole)
        apis.answers[LIST] = good
        await page.look()
        assert "Live:" in said(whole)

    on_page(scenario)


def test_older_ones_are_read_page_by_page(apis: Any, experiment: Any, on_page: Any) -> None:
    ended = [experiment(id=f"{i:016x}", state="ended", created=float(i)) for i in range(130)]
    apis.answers[LIST] = ended[::-1][: list_page.PAGE]
    oldest = apis.answers[LIST][-1]["id"]
    apis.answers[f"{LIST}&before={oldest}"] = ended[::-1][list_page.PAGE :]

    async def scenario(_: Any) -> None:
        _, page = _open(apis)
        await page.look()
        assert not page._more.props.get("hidden")
        await page._show_older()
        assert len(page._rows) == 130
        assert page._more.props.get("hidden")

    on_page(scenario)
