"""``make bench-page``: how fast the page is: start, first paint, from upload to answer, twenty browsers at once.

Times are the browser's own (``performance.now``), in a headless Chromium on this machine. The limits are the project's.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from benchmarks.harness import digits, machine
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row, render, save

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync", "--no-first-run"]
FILE = "[data-testid=file]"
SAMPLES = ("0.png", "3.png", "7.png")
PAINT = "performance.getEntriesByName('first-contentful-paint').map((one) => one.startTime)[0] ?? null"
# From the moment the browser has the file to the frame after the one that shows another decision.
WATCH = """() => {
  const id = document.getElementById('decision');
  const file = document.querySelector('[data-testid=file]');
  file.addEventListener('change', () => { window.began = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() => {
    if (window.began) { window.took = performance.now() - window.began; window.began = 0; }
  }))).observe(id, { characterData: true, childList: true, subtree: true });
}"""


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument(
        "--project", type=Path, help="a trained project with an endpoint 'digits' (%(default)s: our own)"
    )
    parser.add_argument("--loads", type=int, default=10, help="first visits (%(default)s)")
    parser.add_argument("--uploads", type=int, default=40, help="uploads in one browser (%(default)s)")
    parser.add_argument("--browsers", type=int, default=20, help="browsers at once (%(default)s)")
    return parser.parse_args(argv)


def pictures(project: Path) -> list[Path]:
    """The pictures to upload: the project's samples, or the example's."""
    folders = (project / "samples", digits.EXAMPLE / "samples")
    folder = next(folder for folder in folders if (folder / SAMPLES[0]).exists())
    return [folder / name for name in SAMPLES]


async def first_paints(browser: Any, url: str, loads: int) -> list[float]:
    """Milliseconds from navigation to first contentful paint, each in a browser that has nothing cached."""
    found = []
    for _ in range(loads):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(url)
        await page.wait_for_selector("h1")
        found.append(float(await page.evaluate(PAINT)))
        await context.close()
    return found


async def upload(page: Any, path: Path) -> float:
    """Milliseconds from the file's choice until its answer is painted."""
    await page.evaluate("window.took = 0")
    await page.set_input_files(FILE, path)
    await page.wait_for_function("window.took > 0")
    return float(await page.evaluate("window.took"))


async def ready(browser: Any, url: str) -> Any:
    """A page of its own browser, ready for uploads."""
    page = await (await browser.new_context()).new_page()
    await page.goto(url)
    await page.wait_for_selector(FILE, state="attached")
    await page.evaluate(WATCH)
    return page


async def measure(url: str, files: Sequence[Path], asked: argparse.Namespace) -> list[Row]:
    """All rows that need a browser."""
    from playwright.async_api import async_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sys.exit("Chromium is not installed; apt install chromium.")
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=path, args=OPTIONS)
        paints = await first_paints(browser, url, asked.loads)
        page = await ready(browser, url)
        await upload(page, files[0])  # the first one also opens connections
        alone = [await upload(page, files[number % len(files)]) for number in range(asked.uploads)]
        await page.context.close()
        pages = [await ready(browser, url) for _ in range(asked.browsers)]
        together: list[float] = []
        for number in range(3):
            together += await asyncio.gather(
                *(upload(one, files[(number + index) % len(files)]) for index, one in enumerate(pages))
            )
        counts = [await one.locator(".asked li").count() for one in pages]
        assert counts == [3] * asked.browsers, counts
        await browser.close()
    crowd = f"{asked.browsers} browsers at once"
    return [
        Row("the page", QUORATE, "first contentful paint", "ms", tuple(paints)),
        Row("the page", LIMIT, "first contentful paint", "ms", (1500.0,)),
        Row("the page", QUORATE, "upload to answer, median", "ms", tuple(alone)),
        Row("the page", QUORATE, "upload to answer, p95", "ms", (quantiles(alone, n=20)[-1],)),
        Row("the page", LIMIT, "upload to answer, p95", "ms", (300.0,)),
        Row("the page", QUORATE, f"upload to answer, {crowd}", "ms", tuple(together)),
    ]


def main(argv: Sequence[str]) -> None:
    """Measure and print the table."""
    asked = options(argv)
    about = machine.describe()
    project = asked.project or digits.trained()
    port, control, console = free_port(), free_port(), free_port()
    command = [str(digits.QUORATE), "serve", str(project), "--port", str(port), "--control-port", str(control)]
    log = FOLDER / "run" / "page.log"
    rows = []
    for _ in range(2):  # the second start finds everything in the caches of the system
        with Server([*command, "--console-port", str(console)], console, mark=digits.READY, log=log) as server:
            url = f"http://127.0.0.1:{console}/?endpoint=digits"
            began = time.perf_counter()
            httpx.get(url, timeout=30).raise_for_status()  # the port is open before the page can be answered
            started = server.started_in + time.perf_counter() - began
            if not rows:
                rows = asyncio.run(measure(url, pictures(Path(project)), asked))
    rows += [
        Row("the page", QUORATE, "second start to the first page", "s", (started,)),
        Row("the page", LIMIT, "second start to the first page", "s", (5.0,)),
    ]
    print(about)
    print(render(rows))
    print(f"\n{save(rows, 'page')}")


if __name__ == "__main__":
    main(sys.argv[1:])
