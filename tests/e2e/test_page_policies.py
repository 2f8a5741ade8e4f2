"""The pages of rules and learners in a real browser: what is shown, tried, told of a decision, reset and begun anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

pytestmark = pytest.mark.slow

MORE = """
  ruled:
    pool: digits
    strategies: {one: {kind: single, member: forest, interpretable: true}, all: {kind: vote}}
    policy:
      kind: rules
      rules:
        - {when: context.tier == "gold" and input.rows <= 10, use: all}
        - {when: context.tier == "gold" and input.rows < 5, use: one}
        - {when: request.interpretable or image.sharpness < 0.05, use: one}
        - {when: load.queue_ms > 20 and member.svm.healthy, use: {one: 3, all: 1}}
      otherwise: all
  learns:
    pool: digits
    strategies: {good: {kind: vote}, one: {kind: single, member: forest}}
    policy: {kind: thompson, floor: 0.05, baseline: one, reward: {metric: earned}}
    caller_may_choose: true
fronts:
  door:
    rules:
      - {when: context.task == "rules" and input.rows < 100, to: ruled}
    otherwise: digits
"""


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text() + MORE)
    running = module_server(module_digits, "--console-port", "0")
    images = load_digits().images[:50].astype(int).tolist()
    answers = []
    for image in images:
        body = {"instances": [image], "context": {"tier": "gold"}}
        running.http.post(f"{running.url}/v1/endpoints/ruled/predict", json=body).raise_for_status()
        answers.append(running.http.post(f"{running.url}/v1/endpoints/learns/predict", json=body).json())
    earned = [{"id": a["id"], "rewards": {"earned": float(a["strategy"] == "good")}} for a in answers]
    assert running.http.post(f"{running.url}/v1/outcomes", json=earned).status_code == 202
    running.until(lambda: learned(running) == 50, within=30, what=running.log)
    return running


def learned(site: Any) -> int:
    found: dict[str, Any] = site.http.get(f"{site.control}/v1/endpoints/learns/learner").json()
    return int(found["rows"].get("learned", 0))


@pytest.fixture
def rules(site: Any, visit: Callable[..., Any]) -> Any:
    page = visit(f"{site.console}/rules?endpoint=ruled")
    page.get_by_text("Live:").wait_for()
    return page


@pytest.fixture
def learner(site: Any, visit: Callable[..., Any]) -> Any:
    page = visit(f"{site.console}/learner?endpoint=learns")
    page.get_by_text("Live:").wait_for()
    return page


def test_the_rules_are_listed_with_what_can_never_fire(site: Any, rules: Any) -> None:
    listed = rules.locator("[data-testid=rules] > li")
    assert listed.count() == 5
    assert "tier ==" in listed.nth(0).inner_text()
    rules.locator("[data-testid=rules] li", has_text="fired 50 times").wait_for()
    dead = rules.locator("[data-rule='2']").first
    assert "Rule 2 can never fire: rule 1 fires whenever it would." in dead.inner_text()
    assert "one 75.0 %, all 25.0 %" in listed.nth(3).inner_text()
    last = [line for line in listed.nth(4).inner_text().split("\n") if line.strip()]
    assert last[1:3] == ["otherwise", "→ all"]


def test_an_example_says_which_rule_fires_and_why_others_do_not(site: Any, rules: Any) -> None:
    rules.get_by_label("tier").fill("gold")
    rules.get_by_label("input.rows").fill("3")
    rules.keyboard.press("Enter")
    rules.locator("[data-testid=tried]", has_text="Rule 1 fires: it uses all.").wait_for()
    rules.get_by_label("tier").fill("")
    rules.get_by_label("request.interpretable").select_option("true")
    rules.locator("[data-testid=try]").click()
    rules.locator("[data-testid=tried]", has_text="Rule 3 fires: it uses one.").wait_for()
    first = rules.locator("[data-testid=tried-rules] [data-rule='1']")
    assert "unknown (context.tier is not in the context)" in first.inner_text()
    first.get_by_text("Part by part").click()
    first.get_by_text("input.rows is 3").wait_for()
    asked = {"context": {}, "facts": {"request.interpretable": True, "input.rows": 3}}
    told = site.http.post(f"{site.control}/v1/endpoints/ruled/rules/explain", json=asked).json()
    assert told["fires"] == 3


def test_rows_are_looked_into_and_what_is_wrong_is_said_beside_its_field(rules: Any) -> None:
    rules.get_by_text("Rows, and more of the context").click()
    box = rules.get_by_label("Rows as they would be sent")
    box.fill(f"[{[[0] * 8] * 8}]")
    rules.locator("[data-testid=try]").click()
    rules.locator("[data-testid=tried]", has_text="Rule 3 fires").wait_for()  # there is nothing sharp in it
    box.fill("no json")
    rules.locator("[data-testid=try]").click()
    rules.locator(".field", has=box).get_by_text("This is no JSON").wait_for()
    box.fill("[[1, 2]]")
    rules.locator("[data-testid=try]").click()
    rules.locator(".field", has=box).locator("[role=alert]", has_text="pixels").wait_for()
    box.fill("")
    rows = rules.get_by_label("input.rows")
    rows.fill("many")
    rules.locator("[data-testid=try]").click()
    rules.locator(".field", has=rows).get_by_text("The fact 'input.rows' is a number").wait_for()
    assert rules.locator("[data-testid=tried]").inner_text().strip() == ""


def test_why_a_decision_went_its_way(site: Any, rules: Any) -> None:
    body = {"instances": [[[0] * 8] * 8], "context": {"task": "rules", "tier": "gold"}}
    made = site.http.post(f"{site.url}/v1/endpoints/door/predict", json=body).json()
    field = rules.get_by_role("textbox", name="Decision")
    field.fill("nonsense")
    rules.locator("[data-testid=why]").click()
    rules.get_by_text("That is no id of a decision").wait_for()
    field.fill("00000000-0000-7000-8000-000000000000")
    rules.locator("[data-testid=why]").click()
    rules.get_by_text("is not in the journal").wait_for()
    field.fill(made["id"])
    field.press("Enter")
    told = rules.locator("[data-testid=decided]")
    told.get_by_text("came through the front 'door', which sent it here by its rule 1").wait_for()
    told.get_by_text("Rule 1 fired: 'all'.").wait_for()
    told.get_by_text('tier = "gold"').wait_for()
    told.get_by_text("input.rows = 1").wait_for()


def test_fronts_have_the_page_too_and_endpoints_without_rules_say_so(site: Any, rules: Any) -> None:
    rules.get_by_label("Endpoint", exact=True).select_option("door")
    rules.get_by_text("front.").wait_for()
    rules.get_by_text("→ goes to ruled").wait_for()
    rules.get_by_label("task").fill("rules")
    rules.get_by_label("input.rows").fill("7")
    rules.locator("[data-testid=try]").click()
    rules.locator("[data-testid=tried]", has_text="Rule 1 fires: it goes to ruled.").wait_for()
    rules.get_by_label("Endpoint", exact=True).select_option("learns")
    rules.get_by_text("No rules: the policy of this endpoint is 'thompson'.").wait_for()
    rules.locator("[data-testid=try]").click()
    rules.locator("[data-testid=tried]", has_text="The policy would draw: good").wait_for()


def test_what_was_learned_is_shown(site: Any, learner: Any) -> None:
    told = site.http.get(f"{site.control}/v1/endpoints/learns/learner").json()
    row = learner.locator("[data-arm=good]")
    row.get_by_text(f"{told['shares']['good']:.1%}".replace("%", " %")).first.wait_for()
    arms = {arm["strategy"]: arm for arm in told["arms"]}
    assert f"{arms['good']['known']:,.6g}" in row.inner_text()
    assert arms["good"]["mean"] == 1.0
    assert arms["one"]["mean"] == 0.0
    guard = learner.locator("[data-testid=guard]").inner_text()
    assert "every strategy keeps at least 5.0 % of the traffic" in guard
    assert "Baseline: “one”" in guard
    assert "50 rows learned from." in learner.locator("[data-testid=rows]").inner_text()
    learner.locator("[data-testid=shares] i").first.wait_for()
    assert "Shares of requests" in learner.locator("[data-testid=shares]").get_attribute("aria-label")
    learner.get_by_label("Over which time").select_option("168")
    learner.get_by_text("Each column is 168 minutes").wait_for()


def test_an_endpoint_that_does_not_learn_says_so(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/learner?endpoint=ruled")
    page.get_by_text("The policy of this endpoint does not learn").wait_for()
    assert page.locator(".board").is_hidden()


def test_begin_anew_is_confirmed_first_and_works_by_keyboard(site: Any, learner: Any) -> None:
    days = learner.get_by_label("Of the last days")
    days.fill("soon")
    days.press("Enter")
    learner.get_by_text("Days are a number above 0; got 'soon'.").wait_for()
    learner.locator("[data-testid=reset]").press("Enter")
    learner.get_by_text("What was learned (50 rows) is forgotten").wait_for()
    learner.locator("[data-testid=keep]").click()
    learner.locator("[data-testid=confirm]").wait_for(state="hidden")
    assert learned(site) == 50
    learner.locator("[data-testid=reset]").press("Enter")
    learner.wait_for_function("document.activeElement?.id === 'sure'")
    learner.keyboard.press("Enter")
    learner.get_by_text("It was reset").wait_for()
    learner.get_by_text("Nothing was learned yet.").wait_for()
    assert learned(site) == 0
    days.fill("1.5")
    days.press("Enter")
    learner.get_by_text("of the last 1.5 days that the same strategies made").wait_for()
    learner.wait_for_function("document.activeElement?.id === 'sure'")
    learner.keyboard.press("Enter")
    learner.get_by_text("50 rows learned from.").first.wait_for()
    learner.locator("[data-testid=begun]", has_text="The warm start ended").wait_for()
    assert learned(site) == 50


def test_the_pages_come_back_after_control_does(site: Any, rules: Any, learner: Any) -> None:
    os.kill(site.pid("control"), signal.SIGSTOP)
    stopped = site.pid("control")
    try:
        learner.get_by_text("Control is not reachable").wait_for()
        learner.get_by_text("These are the last figures.").wait_for()
        rules.locator("[data-testid=try]").click()
        rules.get_by_text("Control is not reachable").first.wait_for()
    finally:
        os.kill(stopped, signal.SIGKILL)
    for page in (rules, learner):
        page.get_by_text("Live:").wait_for(timeout=60_000)


def test_axe_finds_nothing_and_phones_need_no_sideways_scrolling(site: Any, visit: Callable[..., Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = visit(f"{site.console}/rules?endpoint=ruled", reduced_motion="reduce")  # colours on their way are no colours
    page.get_by_label("tier").fill("gold")
    page.get_by_label("input.rows").fill("3")
    page.locator("[data-testid=try]").click()
    page.locator("[data-testid=tried]", has_text="Rule 1 fires").wait_for()
    page.get_by_text("Rows, and more of the context").click()
    page.locator("[data-testid=tried-rules] summary").first.click()
    check(axe, page)
    page.goto(f"{site.console}/learner?endpoint=learns")
    page.get_by_text("Live:").wait_for()
    page.locator("[data-testid=reset]").click()
    page.locator("#sure").wait_for()
    check(axe, page)


def check(axe: Any, page: Any) -> None:
    """In both schemes, on both screens."""
    for screen in ({"width": 1280, "height": 800}, {"width": 390, "height": 844}):
        page.set_viewport_size(screen)
        wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= seen
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # The framework's bar appears while the tool itself loads something.
            found = axe.Axe().run(page, context={"exclude": [["#q-loading-bar"]]}).response["violations"]
            serious = [one for one in found if one["impact"] in ("moderate", "serious", "critical")]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == [], (screen, scheme)
