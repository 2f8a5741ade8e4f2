"""``make screenshots``: the pictures of the pages of evidence, from a real server with days of simulated traffic."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from screenshots import DESKTOP, PHONE, READY_WITHIN, save  # type: ignore[import-not-found]  # beside this file
from screenshots_history import simulate  # type: ignore[import-not-found]

from quorate.codecs.lookup import JournalReader
from quorate.home import Home

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits"
QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
ASKED, LIVE, NOISE = 1200, 300, 75.0
PATIENCE_MS = 120_000


@contextmanager
def serving(project: Path) -> Iterator[dict[str, str]]:
    """A server; its addresses."""
    log = project / "serve.log"
    ports = [option for name in ("--port", "--control-port", "--console-port") for option in (name, "0")]
    with log.open("wb") as out:
        server = subprocess.Popen([*QUORATE, "serve", str(project), *ports], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + READY_WITHIN
        pattern = r"^  (inference|control|console) +(http://\S+)"
        while len(found := dict(re.findall(pattern, log.read_text(), re.M))) < 3:
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        yield found
    finally:
        server.terminate()
        server.wait(20)


def post(url: str, body: Any) -> Any:
    """The JSON of a POST."""
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def read(url: str) -> Any:
    """The JSON of a GET."""
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def digits() -> tuple[Any, Any]:
    """Held-out pictures and labels of the example."""
    spec = importlib.util.spec_from_file_location("example_digits", EXAMPLE / "digits.py")
    if spec is None or spec.loader is None:
        sys.exit(f"{EXAMPLE} has no digits.py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.held_out()


def ask(inference: str, count: int, *, users: bool = False) -> list[tuple[str, str]]:
    """Ids of answers to noisy pictures, and their truths."""
    (pixels, labels), rng, found = digits(), np.random.default_rng(1), []
    for number in range(count):
        at = number % len(pixels)
        noisy = np.clip(pixels[at] + rng.normal(0, NOISE, pixels[at].shape), 0, 255).astype(int).tolist()
        body = {"instances": [noisy], **({"context": {"user_id": str(number % 7)}} if users else {})}
        found.append((post(f"{inference}/v1/endpoints/digits/predict", body)["id"], str(labels[at])))
    return found


def templates(project: Path) -> list[tuple[Any, str]]:
    """Decisions of every strategy as a real server made them, with their truths."""
    import yaml

    path = project / "quorate.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    endpoint = config["endpoints"]["digits"]
    endpoint["policy"] = {"kind": "split", "weights": dict.fromkeys(endpoint["strategies"], 1)}
    path.write_text(json.dumps(config), "utf-8")
    with serving(project) as at:
        asked = ask(at["inference"], ASKED)
    reader = JournalReader(Home(project).journal)
    return [(found, truth) for each, truth in asked if (found := reader.find(each)) is not None]


def take(at: dict[str, str]) -> None:
    """All pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )

        def opened(path: str, **screen: Any) -> Any:
            for context in browser.contexts:
                context.close()
            page = browser.new_context(**screen).new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{at['console']}/{path}?endpoint=digits")
            page.locator(".status .dot.good").wait_for(state="attached")
            return page

        page = opened("outcomes", **DESKTOP)
        page.get_by_test_id("contested").wait_for()
        save(page, "outcomes", full_page=True)
        page = opened("outcomes", **PHONE)
        page.wait_for_timeout(400)
        save(page, "outcomes-phone")

        page = opened("replay", **DESKTOP)
        for name in ("hard-vote", "stacking", "svm"):
            page.locator(f"input[name=name][value={name}]").check()
        page.get_by_test_id("replay-start").click()
        page.wait_for_function("document.querySelectorAll('[data-testid=replays] tbody tr').length === 3")
        page.get_by_text("No replay is under way.").wait_for()
        for name in ("hard-vote", "stacking", "svm"):
            page.locator(f"input[name=name][value={name}]").uncheck()
        page.locator("summary").click()
        page.locator("#replay-policy").fill("{kind: split, weights: {soft-vote: 3, weighted: 1}}")
        page.locator("#replay-metric").select_option("revenue")
        page.get_by_test_id("replay-start").click()
        page.get_by_test_id("replay-said").get_by_text("With policy split").wait_for()
        save(page, "replay", full_page=True)
        save(opened("replay", **DESKTOP, color_scheme="dark"), "replay-dark")

        page = opened("switches", **DESKTOP)
        page.locator("#plan-to").select_option("hard-vote")
        page.get_by_role("button", name="Say what it would cost").click()
        page.get_by_test_id("planned").get_by_text("median latency").wait_for()
        page.get_by_test_id("switch").get_by_text("median latency").wait_for()
        save(page, "switches", full_page=True)

        page = opened("captures", **DESKTOP)
        page.get_by_test_id("make").click()
        page.get_by_role("link", name="Download").first.wait_for()
        page.locator("#erase-key").fill("user_id")
        page.locator("#erase-value").fill("3")
        page.get_by_test_id("erase-look").click()
        page.get_by_test_id("erase-would").get_by_text("would be rewritten").wait_for()
        save(page, "captured-data", full_page=True)
        browser.close()


def main() -> None:
    """Make the history, serve it, take the pictures, stop."""
    with tempfile.TemporaryDirectory() as folder:
        trained, first, second = (Path(folder) / name for name in ("trained", "first", "second"))
        shutil.copytree(EXAMPLE, trained, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
        subprocess.run([*QUORATE, "train", str(trained)], check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(trained, first)
        shutil.copytree(trained, second)
        count = simulate(second, templates(first))
        with serving(second) as at:
            while read(f"{at['control']}/v1/endpoints/digits/outcomes")["rows"] < count:
                time.sleep(1.0)
            live = ask(at["inference"], LIVE, users=True)
            post(f"{at['inference']}/v1/outcomes", [{"id": id_, "truth": truth} for id_, truth in live[::2]])
            take(at)


if __name__ == "__main__":
    main()
