"""The pages of experiments in a real browser, on a real server with users: planned, started, watched and stopped."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from quorate import Pool
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
DIFFER, ALIKE = {"1": 0.5, "0": 0.95}, {"1": 0.7, "0": 0.7}
"""How often each label is right: 1 is what the strategy ``current`` answers, 0 what ``candidate`` does."""
REGISTRATION = {
    "endpoint": "other",
    "control": "current",
    "treatments": ["candidate"],
    "metric": {"kind": "accuracy"},
    "minimum_effect": 0.3,
    "stop": {"max_units": 400, "max_days": 14},
    "look_every_s": 0.5,
    "segments": ["context.country"],
}


def project(folder: Path) -> Path:
    """Endpoints whose two strategies always answer differently, so that a user's truth depends on the answer alone."""
    home = Home(folder)
    home.state.mkdir(parents=True)
    x = np.float32([[1, 0], [-1, 0], [1, 1], [-1, 1]])
    y = (x[:, 0] > 0).astype(int)
    members = {"plain": LogisticRegression().fit(x, y), "turned": LogisticRegression().fit(x, 1 - y)}
    Pool(members, x).register(Registry(home.registry, SystemClock()))
    strategies = {"current": {"kind": "single", "member": "plain"}, "candidate": {"kind": "single", "member": "turned"}}
    one = {"pool": "pair", "strategies": strategies, "policy": "current"}
    config = {
        "pools": {"pair": {"task": "classification", "members": list(members)}},
        "endpoints": {"replies": one, "other": one, "quiet": one},
    }
    home.config.write_text(yaml.safe_dump(config))
    return folder


class Users:
    """Ask an endpoint, and tell of six answers in ten whether they were right."""

    def __init__(self, server: Any, endpoint: str, rates: dict[str, float]) -> None:
        self.server, self.endpoint, self.rates = server, endpoint, rates
        self.rng = np.random.default_rng(5)

    def turn(self, n: int = 25) -> None:
        told = []
        for _ in range(n):
            body = {"instances": [[1, 0]], "context": {"country": "de" if self.rng.random() < 0.5 else "fr"}}
            answer = self.server.http.post(f"{self.server.url}/v1/endpoints/{self.endpoint}/predict", json=body).json()
            label = answer["predictions"][0]["label"]
            right = self.rng.random() < self.rates[label]
            if self.rng.random() < 0.6:
                told.append({"id": answer["id"], "truth": label if right else str(1 - int(label))})
        assert self.server.http.post(f"{self.server.url}/v1/outcomes", json=told).json()["rejected"] == []

    def known(self) -> int:
        """Rows whose truth has been joined."""
        found = self.server.http.get(f"{self.server.control}/v1/endpoints/{self.endpoint}/report").json()
        return sum(strategy["judged_rows"] for strategy in found["strategies"])


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    return module_server(project(tmp_path_factory.mktemp("experiments") / "project"), "--console-port", "0")


@pytest.fixture(scope="module")
def decided(site: Any) -> str:
    """The path of an experiment on ``other`` that has a verdict and waits for somebody."""
    registered = site.http.post(f"{site.control}/v1/experiments", json={**REGISTRATION, "name": "decided-trial"}).json()
    where = f"{site.control}/v1/experiments/{registered['id']}"
    assert site.http.post(f"{where}/start").status_code == 200
    users = Users(site, "other", DIFFER)

    def over() -> bool:
        users.turn()
        return bool(site.http.get(where).json()["state"] == "decided")

    site.until(over, within=60, what=lambda: f"there is a verdict.\n{site.log()}")
    return f"/experiments/{registered['id']}"


def live(page: Any) -> None:
    page.locator("[data-testid=status]", has_text="Live").wait_for(timeout=30_000)


def field(page: Any, path: str) -> Any:
    return page.locator(f'[id="f-{path}"]')


def test_planned_started_watched_and_stopped(site: Any, visit: Callable[..., Any]) -> None:
    users = Users(site, "replies", ALIKE)
    users.turn(80)
    site.until(lambda: users.known() >= 30, within=30, what=lambda: f"outcomes are joined, not {users.known()}")
    page = visit(f"{site.console}/overview?endpoint=replies")
    page.locator("[data-testid=experiment]", has_text="None runs on this endpoint").wait_for()
    page.locator("[data-testid=experiment] a").click()
    page.wait_for_url(re.compile("/experiments/new"))

    # What is wrong is said beside its field, by the page and by control; what was typed stays.
    assert field(page, "control").input_value() == "current"
    field(page, "name").fill("Not a name!")
    page.get_by_role("button", name="Plan", exact=True).click()
    page.locator("#f-minimum_effect-wrong", has_text="This takes a number; it is empty.").wait_for()
    assert page.evaluate("document.activeElement.id") == "f-minimum_effect"
    field(page, "minimum_effect").fill("0.15")
    page.get_by_role("button", name="Plan", exact=True).click()
    page.locator("#f-name-wrong", has_text="lower case").wait_for()
    assert field(page, "minimum_effect").input_value() == "0.15"
    assert field(page, "name").get_attribute("aria-invalid") == "true"
    page.reload()
    field(page, "name").wait_for()
    assert field(page, "minimum_effect").input_value() == "0.15"  # typed, and kept in this tab

    # By keyboard: Enter plans.
    field(page, "name").fill("page-trial")
    field(page, "look_every_s").fill("0.5")
    page.get_by_label("Unit of the time between looks").select_option("seconds")
    field(page, "name").press("Enter")
    page.locator("[data-testid=plan]", has_text="units with an outcome").wait_for(timeout=60_000)
    assert page.locator("caption", has_text="If another difference mattered").count() == 1
    suggested = int(field(page, "stop.max_units").input_value())
    assert suggested > 100
    page.get_by_role("button", name="Self-test (A/A)").click()
    page.locator("[data-testid=selftest]", has_text="Self-test passed").wait_for(timeout=120_000)
    field(page, "stop.max_units").fill("5000")
    field(page, "stop.max_days").fill("3")
    field(page, "stop.alpha").fill("0.0001")  # so that chance does not end it before it is stopped
    page.get_by_text("Something was changed since; plan again.").wait_for()
    page.get_by_role("button", name="Register", exact=True).click()

    # A draft: all of it is shown; it is changed once more, then started.
    page.wait_for_url(re.compile("/experiments/[0-9a-f]{16}$"))
    page.get_by_text("is registered and has not started").wait_for()
    page.locator("[data-part=registration]", has_text="5,000 units with an outcome or 3 days").wait_for()
    page.get_by_role("link", name="Change it").click()
    page.get_by_role("heading", name="Change page-trial before it starts").wait_for()
    assert field(page, "stop.max_units").input_value() == "5000"
    field(page, "stop.max_units").fill("6000")
    page.get_by_role("button", name="Register this instead").click()
    live(page)
    page.locator("[data-part=registration]", has_text="6,000 units").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.keyboard.press("Escape")  # asked, and thought better of it
    assert page.get_by_role("dialog").count() == 0
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("[data-testid=confirm-start]").click()
    page.locator("[data-testid=told]", has_text="Started").wait_for()

    # It runs: no way to change it; units and looks come in; control is restarted meanwhile.
    assert page.get_by_role("link", name="Change it").count() == 0
    where = page.url.replace(site.console, site.control).replace("/experiments", "/v1/experiments")

    def drawn() -> bool:
        users.turn(10)
        return bool(page.locator(".picture svg").count())

    site.until(drawn, within=60, what=lambda: str(page.locator(".page").inner_text()))
    page.locator("[data-testid=so-far]", has_text="between").wait_for()
    units = page.locator("[data-testid=units]").inner_text()
    stopped = site.pid("control")
    os.kill(stopped, signal.SIGSTOP)
    try:
        page.locator("[data-testid=status]", has_text="Control is not reachable").wait_for()
        assert page.locator("[data-testid=units]").inner_text() == units
    finally:
        os.kill(stopped, signal.SIGKILL)
    live(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("[data-testid=confirm-stop]").click()
    page.locator("[data-testid=told]", has_text="Stopped").wait_for()
    page.get_by_text("was stopped by hand").wait_for()
    assert site.http.get(where).json()["conclusion"]["did"] == "stop"
    page.get_by_role("link", name="Experiments", exact=True).click()
    page.locator("[data-experiment=page-trial]", has_text="stopped by hand").wait_for()


def test_both_reports_are_shown_and_downloaded(site: Any, visit: Callable[..., Any], decided: str) -> None:
    page = visit(f"{site.console}{decided}")
    page.get_by_text("'candidate' is better than 'current'").wait_for()
    text = page.locator("[data-testid=report]").inner_text()
    for part in ("candidate against current", "Units are where the split would have them", "What each arm took"):
        assert part in text
    data = site.http.get(f"{site.control}/v1{decided}/report", headers={"accept": "application/json"}).json()
    look = data["looks"][-1]["body"]["comparisons"][0]
    assert (
        f"{look['n_control'] + look['n_treatment']:,} of at most 400"
        in page.locator("[data-testid=units]").inner_text()
    )
    svg = page.locator(".picture svg:visible")
    assert svg.locator("circle").count() == len([each for each in data["looks"] if _drawn(each)])
    page.get_by_role("link", name="Method and data").click()
    page.locator("[data-part=looks]").wait_for()
    text = page.locator("[data-testid=report]").inner_text()
    said = {each["verdict"].replace("_", " ") for look in data["looks"] for each in look["body"]["comparisons"]}
    assert said  # what every look said, be it one look or many
    for part in ("Intention to treat", data["digest"], "context.country", "sequential p =", *said):
        assert part in text
    for name, expected in (("manager's report", "<!doctype html>"), ("everything as JSON", '{"id":')):
        with page.expect_download() as started:
            page.get_by_role("link", name=name).click()
        assert Path(started.value.path()).read_text("utf-8").startswith(expected)
        assert started.value.suggested_filename.startswith(f"experiment-{data['id']}")


def _drawn(look: dict[str, Any]) -> bool:
    return all(None not in (each["low"], each["high"]) for each in look["body"]["comparisons"])


def test_what_is_hidden_until_the_verdict_is_nowhere_on_the_page(site: Any, visit: Callable[..., Any]) -> None:
    body = {**REGISTRATION, "endpoint": "quiet", "name": "hidden-trial", "blind": True, "hide_until_verdict": True}
    body["stop"] = {"max_units": 100_000, "max_days": 14, "alpha": 0.0001}
    body["minimum_effect"] = 0.01  # that the arms are alike within 0.3 is known after some hundred users: a verdict
    made = site.http.post(f"{site.control}/v1/experiments", json=body).json()
    where = f"/v1/experiments/{made['id']}"
    assert site.http.post(f"{site.control}{where}/start").status_code == 200
    users = Users(site, "quiet", ALIKE)

    def looked() -> bool:
        users.turn(10)
        latest = site.http.get(f"{site.control}{where}").json()["latest"]
        return latest is not None and latest["body"]["known"] >= 50

    site.until(looked, within=60, what=site.log)
    page = visit(f"{site.console}/experiments")
    row = page.locator("[data-experiment=hidden-trial]", has_text="Hidden until the verdict.")
    row.wait_for()
    row.get_by_role("link").click()
    for reader in ("Result", "Method and data"):
        page.get_by_role("link", name=reader, exact=True).click()
        page.get_by_text("its results are hidden until the verdict").wait_for()
        page.locator("[data-part]").first.wait_for()
        assert re.match(r"\d+ of at most 100,000", page.locator("[data-testid=units]").inner_text())
        assert page.locator(".picture, .mini, [data-part=data], [data-part=looks], [data-part=costs]").count() == 0
        assert "So far" not in page.locator(".verdict-card").inner_text()
    with page.expect_download() as started:
        page.get_by_role("link", name="everything as JSON").click()
    told = json.loads(Path(started.value.path()).read_text("utf-8"))
    assert told["hidden"]
    assert all("comparisons" not in look["body"] for look in told["looks"])
    assert site.http.post(f"{site.control}{where}/stop").status_code == 200


# --- people ---------------------------------------------------------------------------------------


def _open(site: Any, visit: Callable[..., Any], decided: str, what: str, **options: Any) -> Any:
    path = {"list": "/experiments", "plan": "/experiments/new?endpoint=quiet", "one": decided}.get(what)
    page = visit(f"{site.console}{path or decided + '?for=statistician'}", **options)
    if what == "plan":
        page.locator(".more > summary").click()
        page.get_by_role("button", name="Plan", exact=True).click()
        page.locator(".wrongs").wait_for()
    else:
        live(page)
        page.locator(".experiment, [data-part]").first.wait_for()
    return page


@pytest.mark.parametrize("what", ["list", "plan", "one", "method"])
def test_axe_finds_nothing_and_a_phone_needs_no_sideways_scrolling(
    site: Any, visit: Callable[..., Any], decided: str, what: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = _open(site, visit, decided, what, color_scheme="light", reduced_motion="reduce")
    for scheme, screen in (("light", DESKTOP), ("dark", PHONE)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(screen)
        found = axe.Axe().run(page).response["violations"]
        bad = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("moderate", "serious", "critical")
        ]
        assert bad == []
        wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= seen
    small = page.eval_on_selector_all(
        ".page :is(button, select, input, a.button)",
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height && box.height < 24).length",
    )
    assert small == 0


def test_a_winner_is_promoted_by_keyboard_alone(site: Any, visit: Callable[..., Any], decided: str) -> None:
    """The last of those that look at it: afterwards it is over."""
    page = visit(f"{site.console}/experiments")
    row = page.locator("[data-experiment=decided-trial]", has_text="candidate is better")
    row.wait_for()
    row.get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.console}{decided}")
    live(page)
    page.get_by_role("button", name="Promote the winner").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="Promote the winner?").wait_for()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Enter")
    page.locator("[data-testid=told]", has_text="Promoted").wait_for()
    page.get_by_text("the winner was promoted").wait_for()
    assert page.get_by_role("button", name="Promote the winner").count() == 0
    found = site.http.get(f"{site.control}/v1/endpoints").json()["endpoints"]
    (policy,) = [each["policy"] for each in found if each["name"] == "other"]
    assert (policy["kind"], policy["params"]) == ("fixed", {"strategy": "candidate"})
