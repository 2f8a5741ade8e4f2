"""``make screenshots``: the pictures of the pages of experiments, from a real server with simulated users."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from screenshots import DESKTOP, PHONE, READY_WITHIN, save
from sklearn.linear_model import LogisticRegression

from quorate import Pool
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

RIGHT = {"1": 0.7, "0": 0.79}
"""How often an answer is right: 1 is what the strategy ``current`` says, 0 what ``candidate`` does."""
LATE_S = 300
TRIAL: dict[str, Any] = {
    "endpoint": "replies",
    "name": "candidate-trial",
    "control": "current",
    "treatments": ["candidate"],
    "metric": {"kind": "accuracy"},
    "minimum_effect": 0.06,
    "stop": {"max_units": 4000, "max_days": 14},
    "look_every_s": 1,
    "guard_rails": [{"metric": "error_rate", "margin": 0.02}, {"metric": "latency", "margin": 50}],
    "segments": ["context.country"],
    "notes": "The candidate was trained on three more months of replies.",
}


def project(folder: Path) -> Path:
    """Three endpoints whose strategies always answer differently, so that a truth depends on the answer alone."""
    home = Home(folder)
    home.state.mkdir(parents=True)
    x = np.float32([[1, 0], [-1, 0], [1, 1], [-1, 1]])
    y = (x[:, 0] > 0).astype(int)
    members = {"plain": LogisticRegression().fit(x, y), "turned": LogisticRegression().fit(x, 1 - y)}
    Pool(members, x).register(Registry(home.registry, SystemClock()))
    strategies = {
        "current": {"kind": "single", "member": "plain"},
        "candidate": {"kind": "single", "member": "turned"},
        "both": {"kind": "mean"},
    }
    endpoint = {"pool": "pair", "strategies": strategies, "policy": "current"}
    pools = {"pair": {"task": "classification", "members": list(members)}}
    names = ("replies", "support", "offers")
    home.config.write_text(yaml.safe_dump({"pools": pools, "endpoints": dict.fromkeys(names, endpoint)}))
    return folder


def post(url: str, body: Any = None) -> Any:
    """The JSON that a route answers."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())


def users(url: str) -> Callable[[str, int], None]:
    """``turn(endpoint, n)``: so many ask, and six in ten tell whether that was right."""
    rng = np.random.default_rng(7)

    def turn(endpoint: str, n: int) -> None:
        told = []
        for _ in range(n):
            country = str(rng.choice(["de", "fr", "us"], p=[0.5, 0.3, 0.2]))
            answer = post(
                f"{url}/v1/endpoints/{endpoint}/predict", {"instances": [[1, 0]], "context": {"country": country}}
            )
            label = answer["predictions"][0]["label"]
            truth = label if rng.random() < RIGHT[label] else str(1 - int(label))
            if rng.random() < 0.6:
                told.append({"id": answer["id"], "truth": truth})
        if told:
            post(f"{url}/v1/outcomes", told)

    return turn


def happen(url: str, control: str) -> str:
    """Some experiments; returns the id of the one that has found a winner."""
    turn, started = users(url), []
    for _ in range(6):
        turn("replies", 50)
    for changes in ({}, {"endpoint": "support", "name": "mixed-answers", "treatments": ["both"]}):
        made = post(f"{control}/v1/experiments", {**TRIAL, **changes})
        started.append(post(f"{control}/v1/experiments/{made['id']}/start")["id"])
    hidden = {"endpoint": "offers", "name": "blind-trial", "blind": True, "hide_until_verdict": True}
    started.append(post(f"{control}/v1/experiments", {**TRIAL, **hidden})["id"])
    post(f"{control}/v1/experiments/{started[-1]}/start")
    post(f"{control}/v1/experiments", {**TRIAL, "endpoint": "support", "name": "candidate-at-support"})
    deadline = time.monotonic() + LATE_S
    while time.monotonic() < deadline:
        for endpoint, n in (("replies", 20), ("support", 6), ("offers", 4)):
            turn(endpoint, n)
        with urllib.request.urlopen(f"{control}/v1/experiments/{started[0]}") as answer:
            if json.load(answer)["state"] == "decided":
                return str(started[0])
    sys.exit("There was no verdict.")


def take(console: str, id: str) -> None:
    """All pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_context(**DESKTOP).new_page()
        page.goto(f"{console}/experiments")
        page.locator(".experiment").nth(3).wait_for()
        save(page, "experiments")
        page.goto(f"{console}/experiments/new?endpoint=replies")
        page.get_by_label("Name").fill("second-trial")
        page.locator('[id="f-minimum_effect"]').fill("0.05")
        page.locator('[id="f-control"]').select_option("current")
        page.get_by_label("candidate", exact=True).first.check()
        page.locator(".assume summary").click()
        page.locator('[id="f-daily_units"]').fill("800")
        page.get_by_role("button", name="Plan", exact=True).click()
        page.locator("caption").wait_for(timeout=60_000)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(300)
        save(page, "experiment-plan")
        for name, screen in (("experiment", DESKTOP), ("experiment-phone", {**PHONE, "color_scheme": "dark"})):
            page = browser.new_context(**screen).new_page()
            page.goto(f"{console}/experiments/{id}")
            page.locator(".picture svg:visible").first.wait_for()
            page.wait_for_timeout(400)
            save(page, name, full_page=name == "experiment")
        browser.close()


def main() -> None:
    """Serve the project, let users come, take the pictures, stop."""
    quorate = Path(sys.executable).with_name("quorate")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        ports = [option for name in ("--port", "--control-port", "--console-port") for option in (name, "0")]
        with log.open("wb") as out:
            server = subprocess.Popen([quorate, "serve", project(Path(folder) / "p"), *ports], stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + READY_WITHIN
            found: dict[str, str] = {}
            while len(found) < 3:
                if time.monotonic() > deadline or server.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
                found = dict(re.findall(r"^  (inference|control|console) +(http://\S+)", log.read_text(), re.M))
            take(found["console"], happen(found["inference"], found["control"]))
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
