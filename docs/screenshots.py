"""``make screenshots``: the pictures of docs/console.md, taken from a real server with a headless Chromium."""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / "images"
EXAMPLE = Path(__file__).parents[1] / "examples" / "digits-cnn"
DESKTOP = {"viewport": {"width": 1280, "height": 820}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
FILE = "[data-testid=file]"
COLOURS = 128
READY_WITHIN = 60


def save(page: Any, name: str, **options: Any) -> None:
    """A screenshot with few colours, which makes it small."""
    from PIL import Image

    IMAGES.mkdir(exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    path = IMAGES / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def traffic(url: str, samples: list[Path]) -> None:
    """Some answers, most of whose truths are told."""
    for number in range(120):
        sample = samples[number % len(samples)]
        request = urllib.request.Request(
            f"{url}/v1/endpoints/digits/predict", sample.read_bytes(), {"content-type": "image/png"}
        )
        with urllib.request.urlopen(request) as answer:
            id = json.load(answer)["id"]
        told = json.dumps({"id": id, "truth": sample.name[0]}).encode()
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/v1/outcomes", told, {"content-type": "application/json"})
        ).close()


def take(console: str, samples: list[Path]) -> None:
    """All pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, screen in (
            ("try-it-light", DESKTOP),
            ("try-it-dark", {**DESKTOP, "color_scheme": "dark"}),
            ("try-it-phone", PHONE),
        ):
            page = browser.new_context(**screen).new_page()
            page.goto(f"{console}/?endpoint=digits")
            for count, sample in enumerate(samples, 1):
                page.set_input_files(FILE, sample)
                page.wait_for_function(f"document.querySelectorAll('.asked img[src]').length === {count}")
            page.get_by_text(re.compile(r"of \d+ members say")).wait_for()
            page.locator("[data-testid=preview]").wait_for()
            page.locator("[data-testid=right]").click()
            page.get_by_text("Thank you").wait_for()
            page.wait_for_timeout(400)  # bars grow
            save(page, name)
        page = browser.new_context(**DESKTOP).new_page()
        page.goto(f"{console}/overview?endpoint=digits")
        page.get_by_text("interval").first.wait_for()
        page.locator(".range:not([hidden])").first.wait_for(state="attached")
        page.wait_for_timeout(400)
        save(page, "overview", full_page=True)
        browser.close()


def main() -> None:
    """Serve the project, take the pictures, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, help="a trained project whose endpoint is 'digits'")
    given = parser.parse_args().project
    quorate = Path(sys.executable).with_name("quorate")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "digits"
        shutil.copytree(given or EXAMPLE, project)
        if not (project / ".quorate" / "report.json").exists():
            subprocess.run([quorate, "train", project], check=True, stdout=subprocess.DEVNULL)
        log = Path(folder) / "log"
        ports = [option for name in ("--port", "--control-port", "--console-port") for option in (name, "0")]
        with log.open("wb") as out:
            server = subprocess.Popen([quorate, "serve", project, *ports], stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + READY_WITHIN
            while len(found := dict(re.findall(r"^  (inference|console) +(http://\S+)", log.read_text(), re.M))) < 2:
                if time.monotonic() > deadline or server.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            samples = sorted((project / "samples").glob("*.png"))
            traffic(found["inference"], samples)
            take(found["console"], samples)
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
