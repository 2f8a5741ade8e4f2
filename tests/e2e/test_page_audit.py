"""The page of pool audits in a real browser, on decisions of a running server; and the same by command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
ENDPOINTS = """
endpoints:
  numbers:
    pool: digits
    strategies: {soft-vote: {kind: vote}, hard-vote: {kind: vote, voting: hard}, best: {kind: single, member: svm}}
    policy: soft-vote
"""
ROWS = 60


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text().partition("\nendpoints:")[0] + ENDPOINTS)
    site = module_server(module_digits, "--console-port", "0")
    rng, ids = np.random.default_rng(0), []
    for _ in range(ROWS):
        body = {"instances": [rng.integers(0, 256, (8, 8)).tolist()]}
        ids.append(site.http.post(f"{site.url}/v1/endpoints/numbers/predict", json=body).json()["id"])
    truths = [{"id": each, "truth": str(number % 10)} for number, each in enumerate(ids)]
    assert site.http.post(f"{site.url}/v1/outcomes", json=truths).json()["rejected"] == []

    def judged() -> int:
        report = site.http.get(f"{site.control}/v1/endpoints/numbers/report").json()
        return sum(each["judged_rows"] for each in report["strategies"])

    site.until(lambda: judged() >= ROWS, within=30, what=lambda: f"outcomes are joined, not {judged()}")
    return site


@pytest.fixture
def at(site: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Open the page, and wait until it has looked."""

    def open_page(**context: Any) -> Any:
        page = visit(f"{site.console}/selection/audit?endpoint=numbers", **context)
        page.set_default_timeout(60_000)
        page.locator(".status .dot.good").wait_for(state="attached", timeout=60_000)
        return page

    return open_page


def command(*words: str) -> Any:
    line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", "audit-pool", "--json"]
    run = subprocess.run([*line, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_what_training_kept_is_enough_for_an_audit(trained: Path) -> None:
    (kept,) = (trained / ".quorate" / "held").glob("*.npz")
    found = command("digits", "--strategy", "soft-vote", "--rows", str(kept), "--project", str(trained))
    assert found["source"] == kept.name
    assert found["rows"] > 1000
    assert found["whole"]["value"] > 0.95
    assert found["recommended"]["keep"]


def test_an_audit_is_asked_for_read_and_the_command_says_the_same(site: Any, at: Any) -> None:
    page = at()
    page.get_by_text("No audit was asked for yet").wait_for()
    start = page.get_by_test_id("audit-start")
    page.locator("#audit-margin").fill("much")
    start.click()
    page.get_by_test_id("problem-margin").get_by_text("'much' is not a number").wait_for()
    page.locator("#audit-margin").fill("30")
    page.locator("#audit-costs").fill("nobody=1")
    start.click()
    page.get_by_test_id("problem-costs").get_by_text("'nobody' is no member").wait_for()
    page.locator("#audit-costs").fill("")
    start.click()
    page.get_by_test_id("audit-check").get_by_text("rows that the search did not see").wait_for()
    members = page.get_by_test_id("members").locator("tbody tr")
    found = site.http.get(f"{site.control}/v1/pool-audits").json()[0]["answer"]
    assert members.count() == len(found["members"])
    assert found["summary"][0] in page.get_by_test_id("audit-said").inner_text()
    assert all(each["cost"] is not None for each in found["members"])  # as measured while serving
    matrix = page.get_by_test_id("redundancy")
    assert matrix.locator("tbody tr").count() == len(found["members"])
    page.get_by_test_id("measure").select_option("double_fault")
    page.get_by_text("The share of rows that both get wrong.").wait_for()
    by_command = command("numbers", "--margin", "0.3", "--project", str(site.project))
    assert by_command["recommended"]["drop"] == found["recommended"]["drop"]
    assert by_command["members"][0]["shapley"] == found["members"][0]["shapley"]


def test_everybody_can_use_it(at: Any) -> None:
    """axe, light and dark, on a desktop and a phone; no sideways scrolling, nothing too small to touch."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = at(reduced_motion="reduce")
    page.get_by_test_id("redundancy").wait_for()
    for screen in (DESKTOP, PHONE):
        page.set_viewport_size(screen)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page).response["violations"]
            wrong = [
                (one["id"], [node["html"] for node in one["nodes"]])
                for one in found
                if one["impact"] in ("moderate", "serious", "critical")
            ]
            assert wrong == [], (screen, scheme)
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen
    small = page.eval_on_selector_all(
        ".page button, .page select, .page a, .page summary",
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height && box.height < 24).length",
    )
    assert small == 0
