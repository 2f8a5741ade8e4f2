"""Does what docs/guide.md says, block by block, as its reader would: ``python guide_driver.py PAGE``, in a new folder.

Blocks of Python share one interpreter, as in a notebook; a block below a file's name is written to that file; lines
that begin with ``$`` are run by a shell. Changed is only this: ``quorate serve`` runs beside the rest, on free ports.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

URL = "http://127.0.0.1:8000"
PATIENCE = 60.0


def blocks(page: str) -> list[tuple[str, str, str]]:
    """File name (or none), language and text of each block."""
    return re.findall(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who follows the page."""

    def __init__(self) -> None:
        self.url = ""
        self.serving: subprocess.Popen[bytes] | None = None
        self.names: dict[str, Any] = {"__name__": "notebook"}
        Path("bin").mkdir()
        quorate = Path("bin/quorate")
        quorate.write_text(f"#!{sys.executable}\nfrom quorate.cli import main\nmain()\n")
        quorate.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}"}
        sys.path.insert(0, str(Path.cwd()))

    def follow(self, page: str) -> None:
        for name, language, text in blocks(page):
            if name:
                Path(name).write_text(text)
            elif language == "python":
                exec(text.replace(URL, self.url), self.names)  # noqa: S102
            elif language == "console":
                for line in text.splitlines():
                    self.type(line.removeprefix("$ "))

    def type(self, line: str) -> None:
        print("$", line, flush=True)
        if line == "quorate serve":
            self.serve()
            return
        if line.startswith("quorate report"):
            self.until(self.judged, "all outcomes are in the report")
        subprocess.run(["/bin/sh", "-c", line], env=self.environment, check=True)

    def serve(self) -> None:
        log = Path("serve.log")
        line = ["bin/quorate", "serve", "--port", "0", "--control-port", "0", "--console-port", "0"]
        with log.open("wb") as stream:
            self.serving = subprocess.Popen(line, stdout=stream, stderr=stream, process_group=0)
        self.until(lambda: "Ctrl-C stops it" in log.read_text(), "the server is ready")
        self.url = re.findall(r"^  inference +(\S+)", log.read_text(), re.M)[0]
        self.environment["QUORATE_URL"] = self.url

    def judged(self) -> bool:
        line = ["bin/quorate", "report", "digits", "--json"]
        found = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
        return sum(each["judged_rows"] for each in found["strategies"]) == len(self.names["told"]) + 1

    def until(self, true: Any, what: str) -> None:
        """Look again until it is so; the reader of a page is slower than this."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > deadline:
                log = Path("serve.log")
                sys.exit(f"Not within {PATIENCE:g} s: {what}.\n{log.read_text() if log.exists() else ''}")
            time.sleep(0.1)


if __name__ == "__main__":
    reader = Reader()
    try:
        reader.follow(Path(sys.argv[1]).read_text("utf-8"))
    finally:
        if reader.serving is not None:
            reader.serving.terminate()
            reader.serving.wait(20)
