"""Calibration from outcomes to answers: shown, fitted again with a click, served by a new revision; labels stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.core.calibrate.methods import fit, strategy_of
from quorate.core.combine.vote import Vote
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
MEMBERS = ("logistic", "forest", "extra-trees", "mlp", "svm")
ENDPOINTS = """
endpoints:
  numbers:
    pool: digits
    strategies: {sure: {kind: vote, calibrate: numbers-sure}, plain: {kind: vote}}
    policy: {kind: split, weights: {sure: 1, plain: 1}}
    caller_may_choose: true
"""
ROWS, REQUESTS = 100, 8
IMAGES, DIGITS = load_digits(return_X_y=True)
PICTURES = np.clip(IMAGES.reshape(-1, 8, 8) * 16, 0, 255).astype(int)


def ask(site: Any, rows: range, **options: Any) -> Any:
    body = {"instances": PICTURES[list(rows)].tolist(), "options": options}
    answer = site.http.post(f"{site.url}/v1/endpoints/numbers/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def reliability(site: Any, strategy: str) -> Any:
    found = site.http.get(f"{site.control}/v1/endpoints/numbers/reliability")
    assert found.status_code == 200, found.text
    return next(each for each in found.json()["strategies"] if each["strategy"] == strategy)


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    rng = np.random.default_rng(0)  # truths that have nothing to do with the scores: it makes every answer unsure
    noise = fit(
        "temperature",
        rng.dirichlet(np.full(10, 0.1), size=500),
        rng.integers(10, size=500),
        [str(i) for i in range(10)],
        strategy_of(Vote(), MEMBERS),
    )
    registry = Registry(Home(module_digits).registry, SystemClock())
    registry.register(Manifest(name="numbers-sure", format="state", kind="state"), {**state_codec.encode(noise)})
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text().partition("\nendpoints:")[0] + ENDPOINTS)
    site = module_server(module_digits, "--console-port", "0")
    told = []
    for number in range(REQUESTS):
        rows = range(number * ROWS, (number + 1) * ROWS)
        id_ = ask(site, rows)["id"]
        told += [{"id": id_, "row": i, "truth": str(DIGITS[row])} for i, row in enumerate(rows)]
    assert site.http.post(f"{site.url}/v1/outcomes", json=told).json()["rejected"] == []
    total = ROWS * REQUESTS
    site.until(lambda: reliability(site, "plain")["rows"] == total, within=60, what=lambda: "outcomes are joined")
    return site


@pytest.fixture
def page(site: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    def open_page(**context: Any) -> Any:
        page = visit(f"{site.console}/selection/reliability?endpoint=numbers", **context)
        page.set_default_timeout(60_000)
        page.locator(".status .dot.good").wait_for(state="attached", timeout=60_000)
        return page

    return open_page


def test_one_that_is_off_is_fitted_again_by_a_click(site: Any, page: Callable[..., Any]) -> None:
    before = ask(site, range(50), strategy="sure")["predictions"]
    assert np.mean([each["confidence"] for each in before]) < 0.5
    assert reliability(site, "sure")["refit"]["due"]
    assert reliability(site, "sure")["ece"]["low"] > 0.3
    shown = page()
    sure, plain = (shown.locator(f"[data-strategy={name}]") for name in ("sure", "plain"))
    sure.get_by_test_id("verdict").get_by_text("not sure enough").wait_for()
    sure.get_by_test_id("calibration").get_by_text("Outcomes show that it is off").wait_for()
    plain.get_by_test_id("calibration").get_by_text("Not calibrated").wait_for()
    assert plain.get_by_test_id("refit").is_hidden()
    sure.get_by_role("img", name="Reliability of sure").wait_for()
    sure.locator("summary").click()
    assert sure.get_by_test_id("bins-of-sure").locator("tbody tr").count() >= 5
    sure.get_by_test_id("refit").click()
    sure.get_by_test_id("refit-said").get_by_text("Revision 2 serves version 2 of numbers-sure").wait_for()
    sure.get_by_test_id("calibration").get_by_text("version 2").wait_for()
    assert sure.get_by_test_id("refit").is_disabled()  # it has seen all there is
    site.until(
        lambda: np.mean([each["confidence"] for each in ask(site, range(50), strategy="sure")["predictions"]]) > 0.8,
        within=60,
        what=lambda: "workers serve the new revision",
    )
    after = ask(site, range(50), strategy="sure")["predictions"]
    assert [each["label"] for each in after] == [each["label"] for each in before]
    (entry,) = [
        each for each in site.http.get(f"{site.control}/v1/audit").json() if each["action"] == "calibration.refit"
    ]
    assert entry["detail"]["state"] == "numbers-sure:2"
    assert entry["detail"]["after"]["value"] < 0.1 * entry["detail"]["before"]["value"]
    assert reliability(site, "sure")["rows"] == 0


def test_everybody_can_use_it(page: Callable[..., Any]) -> None:
    """axe, light and dark, on a desktop and a phone; no sideways scrolling, nothing too small to touch."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    shown = page(reduced_motion="reduce")  # colours that are on their way are no colours
    shown.locator("[data-strategy=plain] .plot").wait_for()
    shown.locator("[data-strategy=plain] summary").click()
    for screen in (DESKTOP, PHONE):
        shown.set_viewport_size(screen)
        for scheme in ("light", "dark"):
            shown.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(shown).response["violations"]
            wrong = [
                (one["id"], [node["html"] for node in one["nodes"]])
                for one in found
                if one["impact"] in ("moderate", "serious", "critical")
            ]
            assert wrong == [], (screen, scheme)
    wide, seen = shown.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen
    small = shown.eval_on_selector_all(
        ".page button, .page select, .page a, .page summary",
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height && box.height < 24).length",
    )
    assert small == 0
