"""The pages of evidence in a real browser: outcomes, replay, switches, captured data; everything through the API."""

from __future__ import annotations

import io
import json
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
PATHS = ("/outcomes", "/replay", "/switches", "/captures")
DESKTOP, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
ENDPOINTS = """
endpoints:
  numbers:
    pool: digits
    strategies: {soft-vote: {kind: vote}, hard-vote: {kind: vote, voting: hard}, best: {kind: single, member: svm}}
    policy: {kind: split, weights: {soft-vote: 1, hard-vote: 1}}
    value: {correct: 1, error: -5, per_ms: -0.001, rewards: {clicks: 1}, absent: {clicks: 0}}
    capture: {keep_days: 7}
    record: {redact: {user: hash}}
  quiet: {pool: digits, strategies: {soft-vote: {kind: vote}}}
prices: {currency: EUR, cpu_hour: 0.04, gib_hour: 0.005}
"""
ROWS = 40


def ask(site: Any, number: int) -> str:
    """One answer; its id."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8)).tolist()
    body = {"instances": [pixels], "context": {"user": "ann" if number % 4 == 0 else "bob"}}
    return str(site.http.post(f"{site.url}/v1/endpoints/numbers/predict", json=body).json()["id"])


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text().partition("\nendpoints:")[0] + ENDPOINTS)
    site = module_server(module_digits, "--console-port", "0")
    site.ids = [ask(site, number) for number in range(ROWS)]
    truths = [{"id": each, "truth": str(number % 10)} for number, each in enumerate(site.ids[:30])]
    truths.append({"id": site.ids[0], "truth": "5", "source": "expert"})
    told = site.http.post(f"{site.url}/v1/outcomes", json=[*truths, {"id": site.ids[1], "rewards": {"clicks": 2}}])
    assert told.json()["rejected"] == []
    site.until(lambda: judged(site) >= 30, within=30, what=lambda: f"outcomes are joined, not {judged(site)}")
    return site


def judged(site: Any) -> int:
    report = site.http.get(f"{site.control}/v1/endpoints/numbers/report").json()
    return sum(each["judged_rows"] for each in report["strategies"])


def ready(page: Any) -> None:
    page.locator(".status .dot.good").wait_for(state="attached", timeout=60_000)


@pytest.fixture
def at(site: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Open a page of an endpoint, and wait until it has looked."""

    def open_page(path: str, endpoint: str = "numbers", **context: Any) -> Any:
        page = visit(f"{site.console}{path}?endpoint={endpoint}", **context)
        page.set_default_timeout(60_000)
        ready(page)
        return page

    return open_page


def test_outcomes_are_shown_and_imported_with_rejected_rows_told(site: Any, at: Any, tmp_path: Path) -> None:
    page = at("/outcomes")
    assert "30 rows" in page.locator(".tile", has_text="With a truth").inner_text()
    for strategy in ("soft-vote", "hard-vote"):
        page.get_by_test_id("how-strategies-did").locator("tr", has_text=strategy).wait_for()
    page.get_by_test_id("metric").select_option("value")
    page.get_by_role("img", name="business value of hard-vote and soft-vote over time").wait_for()
    assert "each millisecond" in page.get_by_test_id("declared-value").inner_text()
    told, counts = page.get_by_test_id("contested").locator("tbody td").all_inner_texts()
    assert sorted(told.strip().split("; ")) == ["expert: 5", "user: 0"]
    assert counts.split("\n") == ["5", "the first of the order"]

    file = tmp_path / "more.csv"
    rows = [f"{each},3" for each in site.ids[30:36]] + ["no-id,3", f"{site.ids[36]},eleven", f"{site.ids[37]},"]
    file.write_text("id,truth\n" + "\n".join(rows) + "\n")
    page.set_input_files("#import-file", file)
    page.locator("#import-source").fill("ground_truth")
    page.get_by_role("button", name="Import").click()
    page.get_by_test_id("import-status").get_by_text("6 accepted").wait_for()
    rejected = page.get_by_test_id("rejected-rows").locator("tbody tr").all_inner_texts()
    assert sorted(text.split()[0] for text in rejected) == ["10", "8", "9"]
    assert "'eleven'" in " ".join(rejected)
    site.until(lambda: judged(site) >= 36, within=30, what=lambda: "what was imported is joined")
    page.get_by_text("36 rows").first.wait_for()
    page.get_by_test_id("sources").locator("tr", has_text="ground_truth").wait_for()


def test_replays_are_asked_for_answered_and_refused_in_words(site: Any, at: Any) -> None:
    page = at("/replay")
    page.get_by_text("No replay was asked for yet").wait_for()
    start = page.get_by_test_id("replay-start")
    start.click()
    page.get_by_test_id("problem-strategy").get_by_text("Choose a strategy").wait_for()
    page.get_by_label("A strategy or policy that is not in quorate.yaml").or_(page.locator("summary")).first.click()
    page.locator("#replay-policy").fill("{kind: split, weights: {nobody: 1}}")
    start.click()
    page.get_by_test_id("problem-policy").get_by_text("nobody").wait_for()
    page.locator("#replay-policy").fill("")
    page.get_by_label("best", exact=True).check()
    page.locator("#replay-period").select_option("")
    start.click()
    said = page.get_by_test_id("replay-said")
    said.get_by_text("With best the mean accuracy would have been").wait_for()
    shown = page.get_by_test_id("replay").inner_text()
    assert "Exact: every member's output was recorded" in shown
    assert "the effective sample size is" in shown
    assert "Whether an outcome is known does not depend on the answer" in shown
    page.locator("#replay-metric").select_option("clicks")
    start.click()
    said.get_by_text("No answer: The log does not tell").wait_for()
    rows = page.get_by_test_id("replays").locator("tbody tr")
    assert rows.count() == 2
    rows.nth(1).get_by_role("button").press("Enter")
    said.get_by_text("With best").wait_for()


def test_a_switch_is_planned_made_and_reported(site: Any, at: Any) -> None:
    page = at("/switches")
    page.get_by_text("Nothing was switched yet").wait_for()
    page.locator("#plan-to").select_option("best")
    plan = page.get_by_role("button", name="Say what it would cost")
    plan.click()
    page.get_by_test_id("planned").get_by_text("median latency").wait_for()
    page.locator("summary").click()
    page.locator("#plan-config").fill("pools: {")
    plan.click()
    page.get_by_test_id("problem-config").get_by_text("YAML").wait_for()
    text = (site.project / "quorate.yaml").read_text()
    changed = text.replace("policy: {kind: split, weights: {soft-vote: 1, hard-vote: 1}}", "policy: best")
    applied = site.http.post(
        f"{site.control}/v1/endpoints/apply", content=changed, headers={"content-type": "application/yaml"}
    )
    assert applied.json()["changed"] == ["numbers"], applied.text
    report = page.get_by_test_id("switch")
    report.get_by_text("revision 2 took the place of revision 1").wait_for()
    page.get_by_test_id("promised").get_by_text("Planned").wait_for()
    assert page.get_by_test_id("switches").locator("tbody td").last.inner_text() == "yes"


def test_captured_data_becomes_a_data_set_and_one_subject_is_erased(site: Any, at: Any) -> None:
    page = at("/captures", "quiet")
    page.get_by_test_id("no-capture").wait_for()
    page = at("/captures")
    said = page.get_by_test_id("declared").inner_text()
    assert "7 days" in said
    assert "user: hash" in said
    page.locator("#set-truth").select_option("all")
    page.get_by_test_id("make").click()
    page.get_by_test_id("data-sets").get_by_text("ready").wait_for()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as packed:
        card = json.loads(packed.read(next(name for name in packed.namelist() if name.endswith("card.json"))))
    assert card["rows"] == ROWS

    page.get_by_test_id("erase-look").click()
    page.get_by_test_id("erase-problem").get_by_text("the value is empty").wait_for()
    page.locator("#erase-key").fill("user")
    page.locator("#erase-value").fill("ann")
    page.get_by_test_id("erase-look").click()
    page.get_by_test_id("erase-would").get_by_text("10 decisions and 10 captured inputs").wait_for()
    page.locator("#erase-word").fill("yes")
    page.get_by_test_id("erase-sure").click()
    page.get_by_text("Nothing was erased.").wait_for()
    page.locator("#erase-word").fill("erase")
    page.locator("#erase-word").press("Enter")
    page.get_by_test_id("erase-would").get_by_text("It was taken in").wait_for()
    listed = f"{site.control}/v1/erasures"
    site.until(
        lambda: [each["state"] for each in site.http.get(listed).json() if not each["dry_run"]] == ["done"],
        within=60,
        what=lambda: "the erasure is done",
    )
    done = next(each for each in site.http.get(listed).json() if not each["dry_run"])
    assert (done["decisions"], done["captures"], done["by"]) == (10, 10, "context.user")
    page.get_by_text("No data set was made yet").wait_for()
    assert "ann" not in page.get_by_test_id("erasures").inner_text()


def test_pages_keep_their_figures_while_control_is_restarted(site: Any, at: Any) -> None:
    page = at("/captures")
    os.kill(site.pid("control"), signal.SIGSTOP)
    stopped = site.pid("control")
    page.get_by_text("Control is not reachable").wait_for()
    assert "7 days" in page.get_by_test_id("declared").inner_text()
    os.kill(stopped, signal.SIGKILL)
    ready(page)


@pytest.mark.parametrize("path", PATHS)
def test_everybody_can_use_it(at: Any, path: str) -> None:
    """axe, light and dark, on a desktop and a phone; no sideways scrolling, nothing too small to touch."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = at(path, reduced_motion="reduce")  # colours that are on their way are no colours
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
