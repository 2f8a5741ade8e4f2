"""docs/experiments.md on a real server: an experiment from its plan to the promotion, across a death of control."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from quorate import Pool
from quorate.cli import main
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text("utf-8")
RATES = {"1": 0.55, "0": 0.85}
"""How often each label is right: 1 is what the strategy ``current`` answers, 0 what ``candidate`` does."""


def _block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def _project(folder: Path) -> Path:
    """An endpoint whose strategies always answer differently, so that a user's truth depends on the answer alone."""
    home = Home(folder)
    home.state.mkdir(parents=True)
    x = np.float32([[1, 0], [-1, 0], [1, 1], [-1, 1]])
    y = (x[:, 0] > 0).astype(int)
    members = {"plain": LogisticRegression().fit(x, y), "turned": LogisticRegression().fit(x, 1 - y)}
    Pool(members, x).register(Registry(home.registry, SystemClock()))
    strategies = {"current": {"kind": "single", "member": "plain"}, "candidate": {"kind": "single", "member": "turned"}}
    config = {
        "pools": {"pair": {"task": "classification", "members": list(members)}},
        "endpoints": {"replies": {"pool": "pair", "strategies": strategies, "policy": "current"}},
    }
    home.config.write_text(yaml.safe_dump(config))
    return folder


class Users:
    """Ask, and tell of six answers in ten whether they were right, a turn later."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.rng = np.random.default_rng(5)
        self.later: list[dict[str, Any]] = []
        self.asked = 0

    def turn(self, n: int) -> None:
        told, self.later = self.later, []
        for _ in range(n):
            body = {"instances": [[1, 0]], "context": {"country": "de" if self.rng.random() < 0.5 else "fr"}}
            answer = self.server.http.post(f"{self.server.url}/v1/endpoints/replies/predict", json=body).json()
            self.asked += 1
            label = answer["predictions"][0]["label"]
            truth = label if self.rng.random() < RATES[label] else str(1 - int(label))
            if self.rng.random() < 0.6:
                self.later.append({"id": answer["id"], "truth": truth})
        if told:
            assert self.server.http.post(f"{self.server.url}/v1/outcomes", json=told).json()["rejected"] == []


def test_the_page_from_plan_to_promotion(
    server: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(line: str) -> str:
        with pytest.raises(SystemExit) as done:
            main(line.split()[2:])
        out, err = capsys.readouterr()
        assert done.value.code == 0, line + out + err
        return str(out)

    site = server(_project(tmp_path / "project"))
    monkeypatch.setenv("QUORATE_CONTROL_URL", site.control)
    monkeypatch.chdir(tmp_path)
    users = Users(site)
    (tmp_path / "trial.yaml").write_text(_block("yaml"))
    users.turn(80)
    users.turn(1)
    report = f"{site.control}/v1/endpoints/replies/report"
    known = lambda: sum(s["judged_rows"] for s in site.http.get(report).json()["strategies"])  # noqa: E731
    site.until(lambda: known() >= 30, within=30, what=lambda: f"outcomes are joined, not {known()}")

    plan, selftest, register, listed = _block("console").splitlines()
    assert "stop.max_units" in run(plan)
    assert run(selftest) == "ok\n"
    experiment = run(register).strip()
    assert "candidate-trial" in run(listed)

    where = f"{site.control}/v1/experiments/{experiment}"
    killed = False

    def decided() -> bool:
        nonlocal killed
        users.turn(25)
        try:
            found = site.http.get(where).json()
        except Exception:  # control is being started again
            return False
        if found["latest"] is not None and not killed:
            os.kill(site.pid("control"), signal.SIGKILL)
            killed = True
        return bool(found["state"] == "decided")

    site.until(decided, within=120, what=lambda: f"there is a verdict.\n{site.log()}")
    assert killed
    exec(_block("python").replace("http://127.0.0.1:8001", site.control), {})  # noqa: S102
    assert capsys.readouterr().out == "better candidate\nended promote\n"

    final = site.http.get(where).json()["latest"]["body"]
    assert final["comparisons"][0]["low"] > 0
    assert sum(final["units"].values()) <= users.asked
    assert sum(final["requests"].values()) == sum(final["units"].values())
    assert {each["value"] for each in final["segments"]} == {"de", "fr"}
    numbers = [look["number"] for look in site.http.get(f"{where}/looks").json()]
    assert numbers == list(range(1, len(numbers) + 1))
    for reader in ("manager", "statistician"):
        page = site.http.get(f"{where}/report", params={"for": reader}).text
        assert "&#x27;candidate&#x27; is better than &#x27;current&#x27;" in page
        assert "<svg" in page
        assert not re.search(r"""(?:src|href)=|<script|https?:""", page)
    labels = set()

    def promoted() -> bool:
        body = {"instances": [[1, 0]] * 3}
        answer = site.http.post(f"{site.url}/v1/endpoints/replies/predict", json=body).json()
        labels.update(p["label"] for p in answer["predictions"])
        return [p["label"] for p in answer["predictions"]] == ["0"] * 3

    site.until(promoted, within=20, what=lambda: f"the winner answers, not {labels}")
