"""What goes wrong while the page is open: it says so in words, and recovers without being touched."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.core.types import TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEVEN = Path(__file__).parents[2] / "examples" / "digits" / "samples" / "7.png"
SOURCE = "import numpy as np\n\ndef predict(input):\n    return np.full((len(input), 10), 0.1, np.float32)\n"
BODY = {"instances": [[[0] * 8] * 8]}
PROBLEMS, STATUS, LABEL = "[data-testid=problems]", "[data-testid=status]", "[data-testid=label]"


def add_callable(project: Path) -> None:
    """A sixth member, in a process of its own."""
    home = Home(project)
    registry = Registry(home.registry, SystemClock())
    healthy = registry.manifest("logistic")
    register_model(
        registry,
        name="even",
        format="callable",
        files={"even.py": SOURCE.encode()},
        signature=healthy.signature,
        tensors=(TensorSpec("input", "float32", (None, 64)),),
        preprocess=healthy.preprocess,
        options={"entry": "predict"},
        sample_raw={"image": np.zeros((2, 8, 8), np.uint8)},
    )
    home.config.write_text(
        "pools:\n  digits: {task: classification, members: [logistic, forest, even]}\n"
        "endpoints:\n  digits: {pool: digits, strategies: {soft-vote: {kind: vote}}, caller_may_choose: true}\n"
    )


def upload(page: Any) -> None:
    page.set_input_files("[data-testid=file]", SEVEN)


def asked(page: Any, count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('.asked li').length === {count}")


def host_of(running: Any) -> psutil.Process:
    worker = psutil.Process(running.pid("worker 0"))
    (host,) = [child for child in worker.children() if "host_main" in " ".join(child.cmdline())]
    return host


def test_a_killed_member_process(digits: Path, server: Callable[..., Any], visit: Callable[..., Any]) -> None:
    add_callable(digits)
    running = server(digits, "--console-port", "0")
    page, board = visit(f"{running.console}/"), visit(f"{running.console}/overview")
    upload(page)
    page.get_by_text("2 of 3 members say 7").wait_for()
    board.locator(PROBLEMS, has_text="Nothing").wait_for()
    host_of(running).kill()
    upload(page)
    page.locator("[data-testid=problem]", has_text="This answer is degraded: even gave nothing").wait_for()
    page.locator("tr.silent", has_text="even").wait_for()
    row = board.locator('[data-member="even"]')
    row.get_by_text("restarted 1×").wait_for()
    row.get_by_text("ok", exact=True).wait_for()
    board.locator(PROBLEMS, has_text="Nothing").wait_for()
    page.get_by_role("button", name="Ask again").click()
    asked(page, 3)
    page.get_by_text("2 of 3 members say 7").wait_for()
    assert page.locator("[data-testid=problem]").inner_text() == ""


def test_a_file_that_is_damaged_on_disk(digits: Path, server: Callable[..., Any], visit: Callable[..., Any]) -> None:
    running = server(digits, "--console-port", "0")
    board = visit(f"{running.console}/overview")
    board.locator(PROBLEMS, has_text="Nothing").wait_for()
    home = Home(digits)
    route = next(m for pool in snapshot.read(home.snapshot).pools for m in pool.members if m.name == "forest")
    (digest,) = route.files.values()
    blob = home.registry / "blobs" / digest[:2] / digest
    good = blob.read_bytes()
    # Blob and checkout are one file, but for a project that was copied, as this one was.
    checkouts = (path for path in (home.registry / "checkouts").rglob("*") if path.is_file())
    for path in (blob, *(path for path in checkouts if path.read_bytes() == good)):
        path.chmod(0o644)
        path.write_bytes(good[:100] + bytes([good[100] ^ 255]) + good[101:])
    board.locator(PROBLEMS, has_text="The file of member 'forest' is damaged on disk. It goes on").wait_for()
    page = visit(f"{running.console}/")
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()

    os.kill(running.pid("worker 0"), signal.SIGKILL)  # the next one has to load the file
    board.locator(PROBLEMS, has_text="Member 'forest' cannot be loaded and is left out").wait_for(timeout=90_000)
    board.locator('[data-member="forest"]').get_by_text("left out, file damaged").wait_for()
    page.get_by_role("button", name="Ask again").click()
    asked(page, 2)
    page.get_by_text("of 5 members say 7").wait_for()
    page.locator("tr.silent", has_text="forest").wait_for()

    blob.write_bytes(good)
    board.locator(PROBLEMS, has_text="Nothing").wait_for(timeout=60_000)
    board.locator('[data-member="forest"]').get_by_text("ok", exact=True).wait_for()


@pytest.fixture(scope="module")
def running(module_server: Callable[..., Any], module_digits: Path) -> Iterator[Any]:
    """Serves the page, and ends well; who kills a part of it waits until it is back."""
    started = module_server(module_digits, "--console-port", "0")
    yield started
    assert started.stop() == 0


def test_control_is_killed_while_the_page_is_open(running: Any, visit: Callable[..., Any]) -> None:
    page, board = visit(f"{running.console}/"), visit(f"{running.console}/overview")
    board.locator(STATUS, has_text="Live").wait_for()
    before = int(board.locator(".tile dd").first.inner_text())
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()
    board.wait_for_function(f"document.querySelector('.tile dd').textContent === '{before + 1}'")
    os.kill(running.pid("control"), signal.SIGSTOP)  # alive, but silent: the supervisor does not help yet
    board.locator(STATUS, has_text="Control is not reachable since").wait_for()
    assert board.locator(".tile dd").first.inner_text() == str(before + 1)  # the last figures stay
    page.get_by_role("button", name="Ask again").click()
    asked(page, 2)
    page.locator("[data-testid=votes-note]", has_text="control is not reachable").wait_for()
    assert page.locator(LABEL).inner_text() == "7"
    os.kill(running.pid("control"), signal.SIGKILL)
    board.locator(STATUS, has_text="Live").wait_for()
    board.wait_for_function(f"document.querySelector('.tile dd').textContent === '{before + 2}'")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("of 5 members say 7").wait_for()


def test_a_page_that_is_opened_while_control_is_down_answers_and_learns_the_rest_later(
    running: Any, visit: Callable[..., Any]
) -> None:
    os.kill(running.pid("control"), signal.SIGSTOP)
    page = visit(f"{running.console}/")
    upload(page)
    page.locator(LABEL, has_text="7").wait_for()
    page.get_by_text("Strategies and members are shown").wait_for()
    os.kill(running.pid("control"), signal.SIGCONT)
    page.locator("#strategy optgroup").first.wait_for(state="attached")
    page.get_by_role("button", name="7").click()


def test_the_console_is_killed(running: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{running.console}/")
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()
    worker = running.pid("worker 0")
    os.kill(running.pid("console"), signal.SIGKILL)
    for _ in range(20):
        assert running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY).status_code == 200
    page.get_by_text("Nothing was asked yet").wait_for(timeout=60_000)  # it was loaded again, by itself
    upload(page)
    page.get_by_text("of 5 members say 7").wait_for()
    assert running.pid("worker 0") == worker


def test_a_console_that_cannot_start_stops_nothing(digits: Path, server: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = server(digits, "--console-port", str(taken.getsockname()[1]))
        assert "There is no page. Cannot listen on" in running.log()
        assert "console" not in running.pids()
        assert running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY).status_code == 200
