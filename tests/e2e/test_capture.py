"""Inputs are captured, told apart by their outcomes, trained on again, and one subject's are erased: real processes."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs.capture_reader import CaptureReader
from quorate.codecs.lookup import JournalReader
from quorate.home import Home

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "digits.py"

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
SEVEN = (Path(__file__).parents[2] / "examples" / "digits" / "samples" / "7.png").read_bytes()
MANY = 60


def quorate(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QUORATE, *args], capture_output=True, text=True, timeout=200, check=False)


def captured(project: Path, **settings: Any) -> Path:
    """The project with every input of its endpoint captured."""
    text = (project / "quorate.yaml").read_text()
    begin = "  digits:\n    pool: digits\n"
    assert text.count(begin) == 1
    made = f"{begin}    capture: {json.dumps(settings)}\n    record: {{redact: {{user: hash}}}}\n"
    (project / "quorate.yaml").write_text(text.replace(begin, made))
    return project


@pytest.mark.timeout(300)
def test_capture_outcomes_export_retrain_erase(digits: Path, server: Any, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("capture_digits", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    from sklearn.linear_model import LogisticRegression

    from quorate.clock import SystemClock
    from quorate.registry.registry import Registry
    from quorate.training.estimator import estimators
    from quorate.training.exported import read_exported
    from quorate.training.recipe import Recipe
    from quorate.training.splits import split
    from quorate.training.train import train_pool

    home = Home(captured(digits))
    running = server(digits, "--workers", "2")
    http, url = running.http, running.url
    pixels, labels = example.held_out()
    seen = {}
    for i in range(MANY):
        body = {"instances": [pixels[i].tolist()], "context": {"user": "ann" if i % 3 == 0 else "bob"}}
        answer = http.post(f"{url}/v1/endpoints/digits/predict", json=body).json()
        seen[answer["id"]] = i
    others = [
        http.post(f"{url}/v1/endpoints/digits/predict", content=SEVEN, headers={"content-type": "image/png"}),
        http.post(f"{url}/v1/endpoints/digits/predict", files={"file": ("7.png", SEVEN, "image/png")}),
        http.post(
            f"{url}/v2/models/digits/infer",
            json={"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "UINT8", "data": pixels[0].tolist()}]},
        ),
        http.post(
            f"{url}/v1/endpoints/digits/batch",
            content=json.dumps(pixels[0].tolist()).encode() + b"\n",
            headers={"content-type": "application/x-ndjson"},
        ),
    ]
    assert [answer.status_code for answer in others] == [200] * 4
    reader = CaptureReader(home.captures)
    running.until(
        lambda: len(list(reader.captures("digits"))) == MANY + 4, within=30, what=lambda: "all inputs are kept"
    )
    assert {capture.id for capture in reader.captures("digits")} >= set(seen)
    told = [{"id": id_, "truth": str(labels[i]), "source": "ground_truth"} for id_, i in seen.items()]
    assert http.post(f"{url}/v1/outcomes", json=told).json()["accepted"] == MANY

    # The truths are joined by the control process; then it writes the set, which is trained on as any other.
    control = running.control

    def judged() -> int:
        report = http.get(f"{control}/v1/endpoints/digits/report").json()
        return sum(each["judged_rows"] for each in report["strategies"])

    running.until(lambda: judged() == MANY, within=60, what=lambda: f"all truths are joined: {judged()}")
    wanted = http.post(
        f"{control}/v1/datasets", json={"endpoint": "digits", "truth": "with", "format": "folder"}
    ).json()
    where = f"{control}/v1/datasets/{wanted['id']}"
    running.until(lambda: http.get(where).json()["state"] == "done", within=60, what=running.log)
    packed = zipfile.ZipFile(io.BytesIO(http.get(f"{where}/file").content))
    packed.extractall(tmp_path / "set")
    found = read_exported(tmp_path / "set")
    assert len(found.data) == MANY
    for row, place in enumerate(found.decisions):
        assert found.data.labels[row] == labels[seen[place.partition(":")[0]]]
    out = tmp_path / "by-command"
    done = quorate("data", "export", "digits", "--out", str(out), "--with", "without-truth", "--project", str(digits))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "card.json").read_bytes())["rows"] == 4
    registry = Registry(tmp_path / "registry", SystemClock())
    recipe = Recipe(
        data=found.data,
        split=split(found.data, "stratified", seed=1),
        signature=example.SIGNATURE,
        preprocess=example.PREPROCESS,
        trainers=estimators({"again": LogisticRegression(max_iter=200)}),
        code="test",
    )
    assert train_pool(recipe, registry).made == ("again",)
    answers = registry.manifest("again:1").metrics["validation_accuracy"]
    assert answers > 0.5  # ten classes, some forty rows: it has learned from what was captured

    # While everything runs: the control process has the workers end their segments, and takes ann out.
    done = quorate("erase", "digits", "--context", "user=ann", "--json", "--project", str(digits))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["decisions"], report["captures"]) == (MANY // 3, MANY // 3)
    assert str(out) in report["exports"]
    assert http.get(where).status_code == 404  # what control has written is gone with her
    assert len(list(reader.captures("digits"))) == MANY + 4 - MANY // 3
    journal = JournalReader(home.journal)
    for id_, i in seen.items():
        decision = journal.find(id_)
        assert decision is not None
        assert (dict(decision.context) == {}) == (i % 3 == 0)
    again = http.post(f"{url}/v1/endpoints/digits/predict", json={"instances": [pixels[0].tolist()]})
    assert again.status_code == 200
    late = {"id": next(iter(seen)), "truth": str(labels[0]), "source": "user"}
    assert http.post(f"{url}/v1/outcomes", json=late).json()["accepted"] == 1  # statistics go on
    metrics = http.get(f"{running.control}/metrics").text
    assert 'quorate_captures_total{endpoint="digits",result="kept"}' in metrics
    assert np.isclose(found.weights, 1.0).all()
