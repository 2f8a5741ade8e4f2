"""The pages of selection in a real browser: who is trusted where, regret over time, the frontier of a cascade."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.core.combine.neighbours import squared_norms
from quorate.core.types import State
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

ENDPOINTS = """
endpoints:
  trusting:
    pool: digits
    strategies:
      online: {kind: online}
      near: {kind: knora-u, state: near}
      one: {kind: single, member: forest}
    policy: online
  learns:
    pool: digits
    strategies: {all: {kind: vote}, one: {kind: single, member: forest}}
    policy: {kind: exp3, floor: 0.05}
  plain: {pool: digits, strategies: {all: {kind: vote}}}
"""
ROWS, WIDTH = 60, 64
DESKTOP, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}


def register(project: Path, members: list[str]) -> None:
    """A fitted state by hand: forty pictures, each member right on every second of them or so."""
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 17, (40, WIDTH)).astype(np.float64)
    arrays = {
        "hits": (rng.random((40, len(members))) < np.linspace(0.9, 0.3, len(members))).astype(np.uint8),
        "reference": reference, "norms": squared_norms(reference), "centre": np.zeros(WIDTH), "scale": np.ones(WIDTH),
        "fill": np.zeros(WIDTH),
    }  # fmt: skip
    classes = [str(label) for label in range(10)]
    meta = {"members": members, "classes": classes, "k": 5, "space": "input", "features": WIDTH}
    files = state_codec.encode(State("knora-u", 1, meta, arrays))
    registry = Registry(Home(project).registry, SystemClock())
    registry.register(Manifest(name="near", format="state", kind="state"), {**files})


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    config = module_digits / "quorate.yaml"
    pools = config.read_text().partition("\nendpoints:")[0]
    register(module_digits, yaml.safe_load(pools)["pools"]["digits"]["members"])
    config.write_text(pools + ENDPOINTS)
    running = module_server(module_digits, "--console-port", "0")
    data = load_digits()
    for endpoint in ("trusting", "learns"):
        told = []
        for i in range(ROWS):
            body = {
                "instances": [data.images[i].astype(int).tolist()],
                "context": {"ward": ("east", "west")[i % 3 > 0]},
            }
            made = running.http.post(f"{running.url}/v1/endpoints/{endpoint}/predict", json=body).json()
            told.append({"id": made["id"], "truth": str(int(data.target[i]) if i % 2 else (data.target[i] + 1) % 10)})
        assert running.http.post(f"{running.url}/v1/outcomes", json=told).json()["rejected"] == []
    running.until(lambda: asked(running, "learns", "regret")["rows"] == ROWS, within=60, what=running.log)
    running.until(lambda: learned(running) == ROWS, within=60, what=running.log)
    return running


def asked(site: Any, endpoint: str, what: str) -> Any:
    return site.http.get(f"{site.control}/v1/endpoints/{endpoint}/{what}").json()


def learned(site: Any) -> int:
    return int(asked(site, "trusting", "learner")["combiners"]["online"]["rows"])


def ready(page: Any) -> None:
    page.locator(".status .dot.good").wait_for(state="attached", timeout=60_000)


@pytest.fixture
def at(site: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    def open_page(path: str, endpoint: str, **context: Any) -> Any:
        page = visit(f"{site.console}/selection/{path}?endpoint={endpoint}", **context)
        page.set_default_timeout(60_000)
        ready(page)
        return page

    return open_page


def said(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}".replace("%", " %")


def test_who_is_trusted_where_is_shown_as_the_api_tells_it(site: Any, at: Any) -> None:
    page = at("trust", "trusting")
    experts = asked(site, "trusting", "trust")["experts"]
    best = max(experts["trust"], key=lambda name: experts["trust"][name])
    page.locator(f"[data-testid=overall] [data-name='{best}']").get_by_text(said(experts["trust"][best])).wait_for()
    page.get_by_test_id("strategy").select_option("near")
    told = asked(site, "trusting", "trust?strategy=near")
    page.get_by_test_id("lead").get_by_text(f"{ROWS} rows of {ROWS} decisions").wait_for()
    assert told["rows"] == ROWS
    for name, share in told["overall"].items():
        assert said(share) in page.locator(f"[data-testid=overall] [data-name='{name}']").inner_text()
    page.get_by_test_id("by").select_option("context.ward")
    east = page.locator("[data-testid=shares-by-group] [data-group=east]")
    east.wait_for()
    told = asked(site, "trusting", "trust?strategy=near&by=context.ward")
    group = next(each for each in told["groups"] if each["name"] == "east")
    assert (group["rows"], sum(each["rows"] for each in told["groups"])) == (ROWS // 3, ROWS)
    assert str(group["rows"]) in east.inner_text()
    for share in group["shares"].values():
        assert said(share, 0) in east.inner_text()
    page.get_by_test_id("by").select_option("feature.20")
    page.get_by_role("columnheader", name="Feature: 20").wait_for()


def test_regret_is_shown_against_each_alone_and_a_combiner_against_its_experts(site: Any, at: Any) -> None:
    told = asked(site, "learns", "regret")
    assert told["known"] == "all"
    assert told["bound"]["value"] == pytest.approx(2 * np.sqrt(ROWS * 2 * np.log(2)) + 2 * 0.05 * ROWS)
    page = at("regret", "learns")
    page.get_by_test_id("verdict").get_by_text(f"{told['best']} alone, would have made").wait_for()
    assert "promises an expected regret" in page.get_by_test_id("bound").inner_text()
    rows = page.get_by_test_id("losses").locator("tbody tr")
    assert rows.count() == len(told["others"]) == 7
    assert "losses of all are known" in page.get_by_test_id("known").inner_text()
    page.get_by_role("img", name="How much more what was served had lost").wait_for()
    page = at("regret", "trusting")
    combiner = asked(site, "trusting", "regret")["combiners"][0]
    assert combiner["regret"] <= combiner["certificate"]
    card = page.locator("[data-combiner=online]")
    card.get_by_text(f"online: after {ROWS} outcomes").wait_for()
    assert card.locator("tbody tr").count() == len(combiner["experts"])


def test_what_there_is_not_is_said(at: Any) -> None:
    at("trust", "plain").get_by_text("No strategy of endpoint 'plain' weighs members anew").wait_for()
    at("regret", "plain").get_by_text("Neither the policy nor a combiner of endpoint 'plain' learns").wait_for()
    at("frontier", "plain").get_by_text("No strategy of this endpoint is a cascade.").wait_for()


def test_one_place_in_the_navigation_has_five_tabs(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/selection?endpoint=learns")
    page.wait_for_url("**/selection/trust?endpoint=learns")
    assert page.get_by_role("navigation", name="Pages").locator("[aria-current=page]").inner_text() == "Selection"
    tabs = page.get_by_role("navigation", name="Selection")
    assert tabs.get_by_role("link").all_inner_texts() == [
        "Who is trusted", "Regret", "Frontier", "Reliability", "Pool audit",
    ]  # fmt: skip
    tabs.get_by_role("link", name="Regret").click()
    page.wait_for_url("**/selection/regret?endpoint=learns")
    ready(page)


def test_an_endpoint_with_a_fixed_policy_whose_combiner_learns_shows_what_was_learned(
    site: Any, visit: Callable[..., Any]
) -> None:
    page = visit(f"{site.console}/overview?endpoint=trusting")
    board = page.get_by_test_id("learner")
    board.get_by_text("Policy fixed does not learn; its strategies' combiners do.").wait_for()
    assert f"learned from {ROWS} outcomes" in board.get_by_test_id("combiners").inner_text()
    page.goto(f"{site.console}/learner?endpoint=trusting")
    page.get_by_text("The policy does not learn; what is learned is whom its strategies' combiners trust.").wait_for()
    page.get_by_role("link", name="Who is trusted, and how that moved").click()
    page.wait_for_url("**/selection/trust?endpoint=trusting")


def test_pages_keep_their_figures_while_control_is_restarted(site: Any, at: Any) -> None:
    pages = [at("trust", "trusting"), at("regret", "learns")]
    before = [page.locator(".page").inner_text() for page in pages]
    stopped = site.pid("control")
    os.kill(stopped, signal.SIGSTOP)
    try:
        for page in pages:
            page.get_by_text("These are the last figures.").wait_for()
        after = [page.locator(".page").inner_text() for page in pages]
    finally:
        os.kill(stopped, signal.SIGKILL)
    for old, new in zip(before, after, strict=True):
        assert [line for line in new.split("\n") if "Control is not" not in line] == [
            line for line in old.split("\n") if not line.startswith("Looked at every")
        ]
    for page in pages:
        ready(page)


def test_everybody_can_use_trust_and_regret(at: Any) -> None:
    page = at("trust", "trusting", reduced_motion="reduce")
    page.get_by_test_id("strategy").select_option("near")
    page.locator("[data-testid=shares-by-group] tbody tr").first.wait_for()
    check(page)
    check(at("regret", "trusting", reduced_motion="reduce"))


# --- the frontier: control is played by the test, which says what a fitted cascade has ------------

POINTS = [
    ("small", "cheapest", 1.0, 0.80, 0.78, 0.82), ("large", "best", 4.0, 0.92, 0.90, 0.94),
    ("all members", "all", 5.0, 0.93, 0.91, 0.95), ("oracle", "oracle", 1.6, 0.97, 0.96, 0.98),
    *((f"random {share} %", "random", 1 + share / 25, 0.80 + share / 1000, 0.78, 0.90) for share in (10, 25, 50)),
    *((f"cascade {i}", "cascade", 1.2 + i / 2, 0.86 + i / 100, 0.84 + i / 100, 0.88 + i / 100) for i in range(6)),
    *((f"threshold {i}", "threshold", 1.4 + i / 2, 0.85 + i / 100, 0.83 + i / 100, 0.87 + i / 100) for i in range(6)),
]  # fmt: skip
FRONTIER = {
    "endpoint": "steps", "strategy": "cheap", "unit": "ms", "promise": {"accuracy": 0.88, "risk": 0.05},
    "expected": {"cost": 2.7, "accuracy": [0.89, 0.87, 0.91], "reached": [1.0, 0.425]}, "rows": 1200,
    "costs": {"small": 1.0, "large": 4.0}, "stages": [["small"], ["large"]],
    "frontier": [
        {"name": n, "kind": k, "cost": c, "accuracy": a, "low": low, "high": high, "chosen": n == "cascade 3"}
        for n, k, c, a, low, high in POINTS
    ],
    "served": {"rows": 4000, "cost": 2.85, "reached": [1.0, 0.4625]},
}  # fmt: skip
STEPS = {"name": "cheap", "kind": "cascade", "members": ["small", "large"], "quorum": 1, "params": {}, "plan": "all"}
SERVED = {
    "name": "steps", "revision": 1, "pool": "pool", "strategies": [STEPS], "caller_may_choose": False,
    "policy": {"kind": "fixed", "params": {"strategy": "cheap"}, "blind": False, "sticky": None},
}  # fmt: skip
SIGNATURE = {
    "input_kind": "array", "inputs": [{"name": "input", "dtype": "float32", "shape": [None, 4]}],
    "output": {"kind": "scores", "classes": ["no", "yes"]},
}  # fmt: skip
ANSWERS = {
    "/v1/endpoints": {"snapshot_version": 1, "endpoints": [SERVED], "fronts": []},
    "/v1/pools": [{"name": "pool", "members": [{"name": "small"}, {"name": "large"}], "signature": SIGNATURE}],
    "/v1/endpoints/steps": {"name": "steps", "served": SERVED, "front": None, "revisions": []},
    "/v1/endpoints/steps/strategies/cheap/frontier": FRONTIER,
}


class Control(BaseHTTPRequestHandler):
    """Answers what :data:`ANSWERS` has."""

    def do_GET(self) -> None:
        found = ANSWERS.get(self.path)
        self.send_response(200 if found is not None else 404)
        body = json.dumps(found if found is not None else {"detail": "There is no such thing."}).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page whose control is played."""
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    control = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    Thread(target=control.serve_forever, daemon=True).start()
    state = tmp_path_factory.mktemp("console")
    driver = str(Path(__file__).parent / "console_driver.py")
    line = [sys.executable, driver, f"http://127.0.0.1:{control.server_port}", str(state)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=state)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    try:
        assert port, "the page did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        control.shutdown()
        control.server_close()


def test_the_frontier_has_all_references_the_promise_and_what_was_served(
    console: str, visit: Callable[..., Any]
) -> None:
    page = visit(f"{console}/selection/frontier?endpoint=steps", reduced_motion="reduce")
    page.get_by_test_id("promise").get_by_text("Promised: an accuracy of at least 88.0 %").wait_for()
    assert "1.06 times the 2.7 ms that was expected" in page.get_by_test_id("kept").inner_text()
    assert page.get_by_test_id("frontier").locator("tbody tr").count() == len(POINTS)
    assert page.get_by_text("cascade 3 (chosen)").count() == 1
    kinds = page.locator(".legend li").all_inner_texts()
    assert kinds == ["cascade", "threshold", "random", "cheapest", "best", "all", "oracle", "chosen"]
    second = page.get_by_test_id("stages").locator("tbody tr").nth(1).inner_text()
    assert "42.5 %" in second
    assert "46.3 %" in second or "46.2 %" in second
    check(page)


def check(page: Any) -> None:
    """axe, light and dark, on a desktop and a phone; no sideways scrolling, nothing too small to touch."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    for screen in (DESKTOP, PHONE):
        page.set_viewport_size(screen)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = axe.Axe().run(page).response["violations"]
            wrong = [
                (one["id"], [node["html"] for node in one["nodes"]])
                for one in found
                if one["impact"] in ("moderate", "serious", "critical")
            ]
            assert wrong == [], (screen, scheme)
        wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= seen, screen
    small = page.eval_on_selector_all(
        ".page button, .page select, .page a",
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height && box.height < 24).length",
    )
    assert small == 0
