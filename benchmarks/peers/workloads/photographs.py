"""Workload c: MobileNetV2 from a JPEG body. Workload d: five convolutional networks and a stack, one JSON row."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import examples, machine
from benchmarks.harness.found import Found
from benchmarks.harness.process import Server
from benchmarks.harness.requests import Request, save
from benchmarks.harness.table import FOLDER, QUORATE, Row
from benchmarks.peers.bench import Workload
from benchmarks.peers.check import check_answer, post
from benchmarks.peers.export import body
from benchmarks.peers.piped import VARIABLE, Piped, PipedFiles, export, reference
from benchmarks.peers.pool import open_session
from benchmarks.peers.systems import System, program, quorate
from benchmarks.peers.workloads.asked import Asked, run
from quorate.home import Home

RUN = FOLDER / "run"
JPEG = "image/jpeg"
FOOD_PATH = "/v1/endpoints/food11/predict"
DIGITS_PATH = "/v1/endpoints/digits/predict"
TOLERANCE = 1e-4
"""One row by itself or in a batch of a fused graph: float32 sums in another order."""
TYPES = {".jpg": JPEG, ".jpeg": JPEG, ".png": "image/png"}


def mobilenet(asked: Asked) -> Found:
    """Workload c; says so where the weights are not there."""
    title = "MobileNetV2 from a JPEG body"
    folder = examples.data()
    if folder is None:
        return Found([Row(title, QUORATE, "answers", "1/s", (), "no data: set QUORATE_DATA (examples/food11)")], 0)
    project = examples.photographs()
    files = export(Home(project), RUN / "piped-photographs")
    picture = folder / "images" / "food_slices" / "test_image.jpeg"
    sent = picture.read_bytes()
    work = _workload(title, project, FOOD_PATH, files, sent, [sent], JPEG, asked)
    found = run(work, asked, (_cores(asked),), (1, 10, 32), levels=False)
    same, total = _labels(project, files, folder, asked.photographs)
    label = "labels as by the reference Pillow path"
    found.rows.append(Row(title, QUORATE, label, "%", (100 * same / total,), f"{same} of {total} photographs"))
    return found


def networks(asked: Asked) -> Found:
    """Workload d."""
    project = examples.networks()
    files = export(Home(project), RUN / "piped-networks")
    digits = examples.module(Path("examples/digits-cnn"), "digits")
    pixels = digits.held_out()[0][0]
    sent = body([pixels.tolist()])
    work = _workload("five networks, stacking, one row", project, DIGITS_PATH, files, sent, [pixels], "", asked)
    return run(work, asked, (_cores(asked),), (1, 32), levels=False)


def _workload(
    title: str,
    project: Path,
    path: str,
    files: PipedFiles,
    sent: bytes,
    raw: list[Any],
    content_type: str,
    asked: Asked,
) -> Workload:
    folder = RUN / f"piped-{project.name}"
    kind = content_type or "application/json"
    environment = {VARIABLE: str((folder / "piped.json").resolve())}
    (folder / "body").write_bytes(sent)
    probabilities = Piped(files).probabilities(raw)[0].astype(np.float64).tolist()
    wanted = [dict(zip(files.classes, probabilities, strict=True))]
    systems = [
        quorate(QUORATE, project, path, protocol="quorate"),
        program("ASGI, a session a member", "piped_app:application", environment),
    ]

    def check(system: System, port: int) -> None:
        answer = post(port, system.path, sent, {"Content-Type": kind})
        check_answer(system.name, *answer, wanted, TOLERANCE)

    return Workload(
        title=title,
        systems=[s for s in systems if not asked.only or any(part in s.name for part in asked.only)],
        requests={s.protocol: save([Request(s.path, sent, kind)], folder / f"{s.protocol}.requests") for s in systems},
        check=check,
        alone=(
            *(sys.executable, "-m", "benchmarks.peers.piped_app"),
            *("encoded" if content_type else "json", str((folder / "body").resolve())),
        ),
        alone_name="in process, no HTTP: one loop a core",
        environment=environment,
    )


def _cores(asked: Asked) -> int:
    """As many workers as cores can be left to the server."""
    return max(1, min(3, len(machine.available()) - (not asked.shared)))


def _labels(project: Path, files: PipedFiles, folder: Path, most: int) -> tuple[int, int]:
    """On how many photographs the server says what the network says behind the reference path, and of how many."""
    (path, output), *_ = files.members.items()
    session = open_session(path)
    found = sorted(file for file in (folder / "images").rglob("*") if file.suffix in TYPES)
    found = found[:: max(1, len(found) // most)] if most else found
    same = 0
    with quorate("labels", project).start(1, None) as server:
        for file in found:
            logits = session.run([output], {session.get_inputs()[0].name: reference(file.read_bytes())})[0]
            same += _label(server, file) == files.classes[int(logits.argmax())]
    return same, len(found)


def _label(server: Server, file: Path) -> str:
    status, answer = post(server.port, FOOD_PATH, file.read_bytes(), {"Content-Type": TYPES[file.suffix]})
    return str(json.loads(answer)["predictions"][0]["label"]) if status == 200 else f"status {status}"
