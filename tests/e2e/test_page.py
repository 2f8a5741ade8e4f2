"""The page in a real browser: every way to give an input, and everything that is shown and told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
LABEL = "[data-testid=label]"
FLAT = """
import numpy as np

def predict(size, rooms, city, garden):
    dear = (size > 100) | (city == "Oslo") | garden
    return np.stack([1.0 - dear, dear], 1).astype(np.float32) * 0.8 + 0.1
"""
MORE = """
  blind:
    pool: digits
    strategies: {soft-vote: {kind: vote}, hard-vote: {kind: vote, voting: hard}}
    policy: {kind: split, weights: {soft-vote: 1, hard-vote: 1}, blind: true}
  closed: {pool: digits, strategies: {soft-vote: {kind: vote}}}
  flats: {pool: flats, strategies: {mean: {kind: mean}}}
"""


def add_flats(project: Path) -> None:
    """A tabular endpoint, a blind one, and one whose callers may not choose."""
    home = Home(project)
    register_model(
        Registry(home.registry, SystemClock()),
        name="rule",
        format="callable",
        files={"rule.py": FLAT.encode()},
        signature=Signature(
            "columns",
            (
                TensorSpec("size", "float32", (None,)),
                TensorSpec("rooms", "int64", (None,)),
                TensorSpec("city", "str", (None,)),
                TensorSpec("garden", "bool", (None,)),
            ),
            OutputSpec("scores", classes=("cheap", "dear")),
        ),
        tensors=(
            TensorSpec("size", "float32", (None,)),
            TensorSpec("rooms", "int64", (None,)),
            TensorSpec("city", "str", (None,)),
            TensorSpec("garden", "bool", (None,)),
        ),
        options={"entry": "predict"},
        sample_raw={
            "size": np.array([50.0, 150.0], np.float32),
            "rooms": np.array([2, 5]),
            "city": np.array(["Oslo", "Bergen"]),
            "garden": np.array([False, True]),
        },
    )
    text = home.config.read_text().replace(
        "\nendpoints:", "\n  flats: {task: classification, members: [rule]}\nendpoints:", 1
    )
    home.config.write_text(text + MORE)


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    add_flats(module_digits)
    return module_server(module_digits, "--console-port", "0")


@pytest.fixture
def page(site: Any, visit: Callable[..., Any]) -> Any:
    return visit(f"{site.console}/?endpoint=digits")


def shows(page: Any, label: str) -> None:
    page.locator(LABEL, has_text=re.compile(f"^{label}$")).wait_for()


def upload(page: Any, name: str = "7.png") -> None:
    page.set_input_files("[data-testid=file]", SAMPLES / name)


def decision(site: Any, page: Any) -> dict[str, Any]:
    return site.http.get(f"{site.control}/v1/decisions/{page.locator('#decision').inner_text()}").json()


def test_a_chosen_picture_is_answered_with_everything_about_it(site: Any, page: Any) -> None:
    upload(page)
    shows(page, "7")
    page.get_by_text("of 5 members say 7").wait_for()
    found = decision(site, page)
    assert found["endpoint"] == "digits"
    best = page.locator(".bar.top")
    assert best.locator(".name").inner_text() == "7"
    shown = float(best.locator(".value").inner_text().strip("<> %")) / 100
    assert shown == pytest.approx(max(found["answer"][0]), abs=0.001)
    assert f"by {found['served']} in" in page.locator(".answer").inner_text()
    votes = {
        row.locator("th").inner_text(): row.locator(".says").inner_text().strip("✓≠ \n")
        for row in page.locator(".votes tbody tr").all()
    }
    assert votes == {
        member["name"]: found["classes"][int(np.argmax(member["outputs"][0]))] for member in found["members"]
    }
    seen = page.locator("[data-testid=preview]")
    seen.wait_for()
    assert page.evaluate("image => [image.naturalWidth, image.naturalHeight]", seen.element_handle()) == [8, 8]
    assert page.locator(".asked li").count() == 1


DATA = """([name, type, data, kind]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })
    : new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
  (kind === 'paste' ? document.body : document.querySelector('.stage')).dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Any, kind: str) -> None:
    data = base64.b64encode((SAMPLES / "3.png").read_bytes()).decode()
    page.locator(".stage").wait_for()
    page.evaluate(DATA, ["3.png", "image/png", data, kind])
    shows(page, "3")


def test_a_paste_without_a_picture_says_so(page: Any) -> None:
    page.locator(".stage").wait_for()
    page.evaluate(
        "document.body.dispatchEvent(new ClipboardEvent('paste', {bubbles: true, clipboardData: new DataTransfer()}))"
    )
    page.get_by_text("no picture in the clipboard").wait_for()


def test_a_photograph_is_taken_with_a_camera(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/?endpoint=digits", permissions=["camera"])
    page.get_by_role("button", name="Take a photo").click()
    page.wait_for_function("document.querySelector('video').videoWidth > 0")
    page.get_by_role("button", name="Take it").click()
    page.locator(".asked li").wait_for()
    assert page.locator('input[capture="environment"]').count() == 1


def test_a_digit_is_drawn_with_the_mouse(site: Any, page: Any) -> None:
    page.get_by_role("button", name="Draw").click()
    ask = page.get_by_role("button", name="Ask", exact=True)
    assert ask.is_disabled()
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 30, steps=8)
    page.mouse.up()
    ask.click()
    page.locator(".asked li").wait_for()
    page.get_by_role("button", name="Clear").click()
    assert ask.is_disabled()


def test_a_digit_is_drawn_and_asked_about_by_keyboard_alone(page: Any) -> None:
    page.get_by_role("button", name="Draw").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    for key in ("ArrowUp", " ", "ArrowDown", "ArrowDown", "ArrowDown", " ", "Enter"):
        page.keyboard.press(key)
    page.locator(".asked li").wait_for()


def test_what_is_no_picture_is_refused_in_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("These are only notes.")
    page.set_input_files("[data-testid=file]", tmp_path / "notes.png")
    page.locator("[data-testid=problem]", has_text="image").wait_for()
    assert page.locator(LABEL).inner_text() == "?"
    upload(page)
    shows(page, "7")
    assert page.locator("[data-testid=problem]").inner_text() == ""


@pytest.mark.parametrize("chosen", ["hard-vote", "forest"])
def test_a_strategy_or_a_member_is_chosen(site: Any, page: Any, chosen: str) -> None:
    groups = [group.get_attribute("label") for group in page.locator("#strategy optgroup").all()]
    assert groups == ["Strategies", "Single members"]
    page.locator("#strategy").select_option(chosen)
    upload(page)
    shows(page, "7")
    page.get_by_text(f"by {chosen} in").first.wait_for()
    found = decision(site, page)
    assert (found["source"], found["assigned"]) == ("caller", chosen)


def test_who_may_not_choose_is_told(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/?endpoint=closed")
    assert page.locator("#strategy").is_disabled()
    page.get_by_text("does not let callers choose").wait_for()


def test_a_blind_endpoint_shows_its_label_and_nothing_else(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/?endpoint=blind")
    upload(page)
    shows(page, "7")
    assert page.locator("#strategy").is_disabled()
    for hidden in (".bars", ".votes", ".seen", "#decision"):
        assert page.locator(hidden).count() == 0
    text = page.locator(".answer").inner_text()
    assert not re.search(r"\d (ms|%)|soft|hard", text)
    page.locator("[data-testid=right]").click()
    page.get_by_text("Thank you").wait_for()


def outcomes(site: Any, page: Any) -> list[tuple[str, str]]:
    told = decision(site, page)["outcomes"]
    return [(one["value"], one["source"]) for one in told if one["state"] == "joined"]


def test_right_and_wrong_are_told(site: Any, page: Any) -> None:
    for button in ("right", "wrong"):
        assert page.locator(f"[data-testid={button}]").is_disabled()
    upload(page)
    shows(page, "7")
    page.locator("[data-testid=right]").click()
    page.get_by_text("Thank you").wait_for()
    assert page.locator(".asked .told").first.inner_text() == "✓"
    site.until(lambda: outcomes(site, page) == [("7", "user")], within=15, what=lambda: "the truth is in the ledger")
    page.locator("#truth").select_option("1")
    page.get_by_text("Thank you. It is 1.").wait_for()
    assert page.locator(".asked .told").first.inner_text() == "✗ 1"
    site.until(lambda: outcomes(site, page) == [("1", "user")], within=15, what=lambda: "the new truth is there")


def test_history_shows_an_earlier_answer_again_and_survives_a_reload(site: Any, page: Any) -> None:
    upload(page, "7.png")
    shows(page, "7")
    first = page.locator("#decision").inner_text()
    upload(page, "3.png")
    shows(page, "3")
    page.locator(".asked button").nth(1).click()
    shows(page, "7")
    assert page.locator("#decision").inner_text() == first
    page.reload()
    assert [item.inner_text() for item in page.locator(".asked .label").all()] == ["3", "7"]
    assert all(
        source.startswith("data:image/jpeg")
        for source in page.eval_on_selector_all(".asked img", "all => all.map((one) => one.src)")
    )


def test_another_browser_has_a_history_of_its_own(site: Any, page: Any, visit: Callable[..., Any]) -> None:
    upload(page)
    shows(page, "7")
    other = visit(f"{site.console}/?endpoint=digits")
    other.get_by_text("Nothing was asked yet").wait_for()


def test_the_form_is_made_from_the_signature(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/?endpoint=flats")
    page.get_by_label("size").fill("30.5")
    page.get_by_label("rooms").fill("2")
    page.get_by_label("city").fill("Bergen")
    ask = page.locator("[data-testid=ask]")
    ask.click()
    shows(page, "cheap")
    page.get_by_label("garden").select_option("yes")
    page.keyboard.press("Tab")
    ask.press("Enter")
    shows(page, "dear")
    found = decision(site, page)
    assert [member["name"] for member in found["members"]] == ["rule"]
    page.get_by_label("rooms").fill("")
    ask.click()
    assert page.evaluate("document.querySelector('form.row-form').checkValidity()") is False
    page.evaluate("document.querySelector('form.row-form').noValidate = true")
    ask.click()
    page.locator("[data-testid=form-problem]", has_text="'rooms' is empty; it takes a whole number.").wait_for()


def test_the_overview_counts_what_happens(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/overview?endpoint=closed")
    tile = page.locator(".tile dd").first
    page.get_by_text("Live:").wait_for()
    before = int(tile.inner_text())
    body = json.dumps({"instances": [[[0] * 8] * 8]})
    for _ in range(3):
        site.http.post(f"{site.url}/v1/endpoints/closed/predict", content=body)
    page.wait_for_function(f"document.querySelector('.tile dd').textContent === '{before + 3}'")
    page.locator("tr", has_text="soft-vote").get_by_text("100 %").wait_for()
    page.locator("[data-testid=problems]", has_text="Nothing").wait_for()
    states = page.locator("[data-testid=members] .state").all_inner_texts()
    assert [state.strip() for state in states] == ["ok"] * 5


def test_an_endpoint_is_chosen_in_the_frame(site: Any, page: Any) -> None:
    page.get_by_label("Endpoint", exact=True).select_option("flats")
    page.get_by_label("rooms").wait_for()
    assert page.url.endswith("?endpoint=flats")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url(f"{site.console}/overview?endpoint=flats")


def test_light_or_dark_follows_the_system_until_it_is_chosen(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site.console}/?endpoint=digits", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.locator("h1").wait_for()
    assert page.evaluate(ground) == light


def test_nothing_jumps(site: Any, page: Any) -> None:
    """The shift score of the browser itself, from an empty page through answers and errors."""
    page.locator("h1").wait_for()
    page.evaluate(
        """() => {
          // Not counted: text that gets longer in its box, and earlier answers that make room for a new one.
          const moved = ({ node, previousRect: was, currentRect: is }) => !node?.parentElement?.closest('.asked')
            && ['x', 'y', 'width', 'height'].some((side) => was[side] !== is[side]);
          window.shift = 0;
          new PerformanceObserver((list) => {
            for (const one of list.getEntries()) if (one.sources.some(moved)) window.shift += one.value;
          }).observe({ type: 'layout-shift', buffered: false });
        }"""
    )
    boxes = """['.input', '.answer', '.why', '.history'].map((name) => {
      const box = document.querySelector(name).getBoundingClientRect();
      return [box.top, box.height];
    })"""
    before = page.evaluate(boxes)
    for name in ("7.png", "3.png"):
        upload(page, name)
        shows(page, name[0])
    page.get_by_text("of 5 members").wait_for()
    page.locator("[data-testid=preview]").wait_for()
    assert page.evaluate(boxes) == before
    assert page.evaluate("window.shift") == pytest.approx(0.0, abs=0.001)


@pytest.mark.slow
def test_twenty_browsers_at_once_each_get_their_own_answer(site: Any, visit: Callable[..., Any]) -> None:
    pages = [visit(f"{site.console}/?endpoint=digits") for _ in range(20)]
    names = ["7.png", "3.png", "0.png", "7.png"]
    for number, page in enumerate(pages):
        upload(page, names[number % 4])
    for number, page in enumerate(pages):
        shows(page, names[number % 4][0])
        assert page.locator(".asked li").count() == 1
