"""Who may see the page, and who can use it: keys, foreign hosts, axe-core, keyboard, phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

SEVEN = Path(__file__).parents[2] / "examples" / "digits" / "samples" / "7.png"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LABEL = "[data-testid=label]"


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    pytest.importorskip("nicegui", reason="The extra 'console' is not installed")
    return module_server(module_digits, "--console-port", "0")


def upload(page: Any) -> None:
    page.set_input_files("[data-testid=file]", SEVEN)


# --- people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["desktop", "phone"])
@pytest.mark.parametrize("path", ["/", "/overview"])
def test_axe_finds_nothing_serious(site: Any, visit: Callable[..., Any], path: str, screen: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = visit(site.console + path, color_scheme=scheme, **(PHONE if screen == "phone" else {}))
    if path == "/":
        upload(page)
        page.get_by_text("of 5 members say 7").wait_for()
    else:
        page.get_by_text("Live:").wait_for()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert [one["id"] for one in found if one["impact"] == "moderate"] == []


@pytest.mark.parametrize("path", ["/", "/overview"])
def test_a_phone_needs_no_sideways_scrolling(site: Any, visit: Callable[..., Any], path: str) -> None:
    page = visit(site.console + path, **PHONE)
    page.locator("h1").first.wait_for(state="attached")
    if path == "/":
        upload(page)
        page.get_by_text("of 5 members say 7").wait_for()
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= seen
    small = page.eval_on_selector_all(
        ".page button, .page select",
        "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height && box.height < 24).length",
    )
    assert small == 0


ACTIVE = """() => {
  const at = document.activeElement;
  if (at === document.body) return ['BODY', ''];
  return [at.textContent.trim().slice(0, 20) || at.ariaLabel || at.id, getComputedStyle(at).outlineStyle];
}"""


def test_everything_is_reached_by_keyboard_and_shows_where_one_is(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(site.console)
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()
    page.locator("header").click(position={"x": 2, "y": 2})  # before the first link
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(ACTIVE)
        if name in seen or name == "BODY":
            break
        assert outline != "none", name
        seen.append(name)
    text = " | ".join(seen)
    for part in (
        "Skip to the content",
        "Try it",
        "Overview",
        "Light or dark",
        "Picture",
        "Draw",
        "Choose a picture",
        "Take a photo",
        "Ask again",
        "✓ Right",
        "✗ Wrong",
        "Copy",
    ):
        assert part in text, (part, seen)


def test_motion_is_reduced_for_who_wants_that(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(site.console, reduced_motion="reduce")
    page.locator(".bar .fill").first.wait_for(state="attached")
    assert page.eval_on_selector(".bar .fill", "one => getComputedStyle(one).transitionDuration") == "0s"


# --- pages of others ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/login", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/nothing"])
def test_another_name_is_refused(site: Any, path: str) -> None:
    refused = site.http.get(site.console + path, headers={"host": "evil.example"})
    assert refused.status_code == 403
    assert refused.json()["code"] == "forbidden"


def test_pages_of_other_sites_may_neither_send_nor_listen(site: Any) -> None:
    foreign = {"origin": "http://evil.example"}
    for method, path in (
        ("POST", "/login"),
        ("POST", "/logout"),
        ("POST", "/ask/x"),
        ("GET", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"),
    ):
        assert site.http.request(method, site.console + path, headers=foreign).status_code == 403
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert site.http.get(site.console + path, headers={**foreign, **upgrade}).status_code == 403
    assert site.http.get(site.console + path, headers={"host": "evil.example", **upgrade}).status_code == 403
    answer = site.http.get(site.console, headers=foreign)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_browsers_are_told_to_be_strict(site: Any) -> None:
    fresh = httpx.get(site.console)
    assert re.search(r"quorate-console-\d+=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict$", fresh.headers["set-cookie"])
    assert "default-src 'none'" in fresh.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in fresh.headers["content-security-policy"]
    assert "http" not in fresh.headers["content-security-policy"]
    assert fresh.headers["x-content-type-options"] == "nosniff"


# --- keys -----------------------------------------------------------------------------------------


def log_in(page: Any, secret: str) -> None:
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Log in").click()


def asks_for_a_key(page: Any) -> bool:
    """Whether it does once loaded again; what it found out about keys counts for a second."""
    page.reload()
    page.locator("h1").first.wait_for()
    return bool(page.get_by_label("API key").count())


def test_with_keys_one_logs_in(
    digits: Path, server: Callable[..., Any], visit: Callable[..., Any], new_key: Callable[[Path, str], str]
) -> None:
    running = server(digits, "--console-port", "0")
    page = visit(running.console)
    page.locator("h1").wait_for()
    secrets = {role: new_key(digits, role) for role in ("operate", "predict", "outcome")}
    running.until(
        lambda: (
            running.http.get(f"{running.control}/v1/models").status_code == 401
            and running.http.get(f"{running.url}/v2/models/digits").status_code == 401
        ),
        within=15,
        what=lambda: "keys are needed",
    )
    running.until(lambda: asks_for_a_key(page), within=60, what=lambda: "the page asks for a key")
    log_in(page, "qk_wrong")
    page.get_by_text("This key is not known here").wait_for()
    log_in(page, secrets["outcome"])
    page.get_by_text("has neither the role predict nor operate").wait_for()
    log_in(page, secrets["operate"])
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()
    page.locator("[data-testid=right]").click()
    page.get_by_text("Thank you").wait_for()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    assert secrets["operate"] not in page.content()

    other = visit(running.console)
    log_in(other, secrets["predict"])
    upload(other)
    other.locator(LABEL, has_text="7").wait_for()
    other.get_by_text("Votes are shown with a key that has the role operate").first.wait_for()
    other.locator("[data-testid=right]").click()
    other.get_by_text("it needs the role outcome").wait_for()
    other.goto(f"{running.console}/overview")
    other.get_by_text("This needs a key with the role operate").wait_for()

    page.get_by_role("button", name="Log out").click()
    page.get_by_label("API key").wait_for()
    page.goto(running.console)
    page.get_by_label("API key").wait_for()
    known = (path.read_text("latin-1") for path in (digits / ".quorate").rglob("*") if path.is_file())
    assert not any(secret in text for text in known for secret in secrets.values())
    assert not any(secret in running.log() for secret in secrets.values())


def test_a_key_that_is_revoked_while_the_page_is_open(
    digits: Path,
    server: Callable[..., Any],
    visit: Callable[..., Any],
    keys: Callable[..., str],
    new_key: Callable[[Path, str], str],
) -> None:
    running = server(digits, "--console-port", "0")
    secret = new_key(digits, "admin")
    (made,) = json.loads(keys(digits, "list", "--json"))
    new_key(digits, "operate")  # another one, so that keys stay needed
    running.until(
        lambda: running.http.get(f"{running.url}/v2/models/digits").status_code == 401,
        within=15,
        what=lambda: "keys are needed",
    )
    page = visit(running.console)
    log_in(page, secret)
    upload(page)
    page.locator(LABEL, has_text="7").wait_for()
    keys(digits, "revoke", made["id"])
    running.until(
        lambda: running.http.get(f"{running.url}/v2/models/digits", headers={"x-api-key": secret}).status_code == 401,
        within=15,
        what=lambda: "the key is refused",
    )
    page.get_by_role("button", name="Ask again").click()
    page.locator("[data-testid=problem]", has_text="not valid any more").wait_for()
    running.until(lambda: asks_for_a_key(page), within=60, what=lambda: "the page asks for a key")
