"""The digits example as a project of the benchmarks' own, trained once under ``build/bench``."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness.table import FOLDER

EXAMPLE = Path("examples/digits")
TRAINED = FOLDER / "digits"
QUORATE = Path(sys.executable).with_name("quorate")
SOURCES = ("digits.py", "train.py", "quorate.yaml")
STRATEGY = "soft-vote"
PREDICT = "/v1/endpoints/digits/predict"
READY = "Quorate is ready."


def trained() -> Path:
    """The trained project; trains it if it is not there or the example has changed."""
    if not _is_current():
        shutil.copytree(EXAMPLE, TRAINED, ignore=shutil.ignore_patterns(".quorate", "__pycache__"), dirs_exist_ok=True)
        print("Training the digits pool …", flush=True)
        subprocess.run([QUORATE, "train", TRAINED], check=True, stdout=subprocess.DEVNULL)
    return TRAINED


def _is_current() -> bool:
    if not (TRAINED / ".quorate" / "report.json").exists():
        return False
    _, different, missing = filecmp.cmpfiles(EXAMPLE, TRAINED, SOURCES, shallow=False)
    return not different and not missing


def project(name: str, *, deadline_ms: float | None = None, **sections: Any) -> Path:
    """A fresh copy of the trained project that answers every request by soft vote, applied.

    ``sections`` are added to its ``quorate.yaml``; ``deadline_ms`` replaces the endpoint's.
    """
    folder = FOLDER / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained(), folder)
    config = yaml.safe_load((folder / "quorate.yaml").read_text())
    config["endpoints"]["digits"]["policy"] = {"kind": "fixed", "strategy": STRATEGY}
    if deadline_ms is not None:
        config["endpoints"]["digits"]["deadline_ms"] = deadline_ms
    (folder / "quorate.yaml").write_text(yaml.safe_dump({**config, **sections}, sort_keys=False))
    subprocess.run([QUORATE, "apply", "--project", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def serve(folder: Path, port: int, control_port: int, workers: int, quorate: Path = QUORATE) -> list[str]:
    """The command that serves a project."""
    ports = ["--port", str(port), "--control-port", str(control_port), "--no-console"]
    return [str(quorate), "serve", str(folder), *ports, "--workers", str(workers)]
