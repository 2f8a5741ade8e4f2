"""``make screenshots``: the pictures of the pages of selection, from a real server that learns for some minutes."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from screenshots import DESKTOP, IMAGES, PHONE  # type: ignore[import-not-found]  # beside this file
from screenshots_evidence import (  # type: ignore[import-not-found]
    EXAMPLE,
    PATIENCE_MS,
    QUORATE,
    digits,
    post,
    read,
    serving,
)

from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.training.dynamic import fit_dynamic

REFERENCE, ROUNDS, EACH, PAUSE_S = 300, 8, 60, 25.0
ENDPOINTS = """
endpoints:
  digits:
    pool: digits
    strategies:
      online: {kind: online}
      near: {kind: knora-u, state: near}
      soft-vote: {kind: vote}
    policy: online
    caller_may_choose: true
  bandit:
    pool: digits
    strategies: {soft-vote: {kind: vote}, svm: {kind: single, member: svm}, forest: {kind: single, member: forest}}
    policy: {kind: exp3, floor: 0.02}
"""
WARDS = {"clean": 20.0, "faded": 70.0, "smudged": 140.0}
"""How noisy pictures of three origins are, which the context names."""


def ask(inference: str, endpoint: str, first: int, count: int) -> list[tuple[str, str]]:
    """Ids of answers to pictures of changing origin, and their truths."""
    (pixels, labels), rng, found = digits(), np.random.default_rng(first), []
    for number in range(first, first + count):
        at, origin = number % len(pixels), list(WARDS)[number % len(WARDS)]
        noisy = np.clip(pixels[at] + rng.normal(0, WARDS[origin], pixels[at].shape), 0, 255).astype(int).tolist()
        body = {"instances": [noisy], "context": {"origin": origin}}
        made = post(f"{inference}/v1/endpoints/{endpoint}/predict", body)
        found.append((made["id"], str(labels[at])))
    return found


def fit(project: Path) -> None:
    """Whom to trust where, fitted on the members' answers to the first pictures, and registered."""
    with serving(project) as at:
        asked = ask(at["inference"], "digits", 0, REFERENCE)
        time.sleep(1.0)  # until they are in the journal
        rows = [read(f"{at['control']}/v1/decisions/{id_}") for id_, _ in asked]
    outputs = np.array([[member["outputs"][0] for member in row["members"]] for row in rows], np.float32)
    members, classes = [member["name"] for member in rows[0]["members"]], rows[0]["classes"]
    truths = np.array([classes.index(truth) for _, truth in asked])
    state = fit_dynamic("knora-u", None, outputs, truths, members, classes, space="outputs")
    registry = Registry(Home(project).registry, SystemClock())
    registry.register(Manifest(name="near", format="state", kind="state"), {**state_codec.encode(state)})


def save(page: Any, name: str, **options: Any) -> None:
    """A screenshot with its 256 most frequent colours, those of thin lines among them."""
    picture = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    found = picture.getcolors(picture.width * picture.height)
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(found, reverse=True)[:256] for part in colour])
    few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(IMAGES / f"{name}.png", optimize=True)


def take(at: dict[str, str]) -> None:
    """All pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )

        def opened(path: str, endpoint: str, **screen: Any) -> Any:
            for context in browser.contexts:
                context.close()
            page = browser.new_context(**screen).new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{at['console']}/selection/{path}?endpoint={endpoint}")
            page.locator(".status .dot.good").wait_for(state="attached")
            page.wait_for_timeout(400)  # bars grow
            return page

        page = opened("trust", "digits", **DESKTOP)
        page.get_by_test_id("strategy").select_option("near")
        page.get_by_test_id("by").select_option("context.origin")
        page.locator("[data-group=clean]").wait_for()
        save(page, "trust", full_page=True)
        save(opened("regret", "bandit", **DESKTOP), "regret", full_page=True)
        save(opened("regret", "digits", **DESKTOP, color_scheme="dark"), "regret-dark", full_page=True)
        save(opened("trust", "digits", **PHONE), "trust-phone")
        browser.close()


def main() -> None:
    """Train, fit, serve, let it learn, take the pictures, stop."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "digits"
        shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
        subprocess.run([*QUORATE, "train", str(project)], check=True, stdout=subprocess.DEVNULL)
        fit(project)
        config = project / "quorate.yaml"
        config.write_text(config.read_text("utf-8").partition("\nendpoints:")[0] + ENDPOINTS, "utf-8")
        with serving(project) as at:
            for turn in range(ROUNDS):
                for endpoint in ("digits", "bandit"):
                    live = ask(at["inference"], endpoint, REFERENCE + turn * EACH, EACH)
                    post(f"{at['inference']}/v1/outcomes", [{"id": id_, "truth": truth} for id_, truth in live])
                time.sleep(PAUSE_S)
            take(at)


if __name__ == "__main__":
    main()
