"""From answers through outcomes to the report: over HTTP and on the command line, on a running server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("e2e-outcomes")

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
UNKNOWN = "01a1fbbc-5837-7000-8000-000000000000"  # nobody's decision: of 2026, from a boot that never was
ENDPOINT = """
  {name}:
    pool: digits
    strategies: {{mean: {{kind: mean}}, best: {{kind: single, member: svm}}}}
    policy: mean
    caller_may_choose: true
"""
NAMES = ("report", "list", "repeat", "early")


class Site:
    """A server with an endpoint for each test, so that their reports do not mix."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.until = server.until

    def ask(self, endpoint: str, digit: str, **options: Any) -> str:
        """The id of an answer to one sample picture."""
        picture = (SAMPLES / f"{digit}.png").read_bytes()
        url = f"{self.server.url}/v1/endpoints/{endpoint}/predict"
        answer = self.server.http.post(url, content=picture, params=options, headers={"content-type": "image/png"})
        assert answer.json()["predictions"][0]["label"] == digit, answer.text
        return str(answer.json()["id"])

    def tell(self, body: Any) -> httpx.Response:
        """Report outcomes."""
        found: httpx.Response = self.server.http.post(f"{self.server.url}/v1/outcomes", json=body)
        return found

    def report(self, endpoint: str) -> dict[str, Any]:
        """The endpoint's report."""
        answer = self.server.http.get(f"{self.server.control}/v1/endpoints/{endpoint}/report")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait(self, true: Callable[[], bool], what: Any) -> None:
        """Ingest runs beside serving: wait until its effect shows."""
        self.until(true, within=20, what=lambda: f"{what()} as wanted")

    def command(self, *words: str) -> Any:
        """A command's JSON."""
        line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", *words]
        run = subprocess.run([*line, "--project", str(self.server.project), "--json"], capture_output=True, check=False)
        assert run.returncode == 0, run.stderr.decode()
        return json.loads(run.stdout)


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Site:
    config = module_digits / "quorate.yaml"
    config.write_text(config.read_text() + "".join(ENDPOINT.format(name=name) for name in NAMES))
    return Site(module_server(module_digits, "--workers", "2"))


def _counts(answer: httpx.Response) -> tuple[int, int, int]:
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["rejected"] == []
    return body["accepted"], body["duplicate"], body["pending"]


def _mean(report: dict[str, Any]) -> dict[str, Any]:
    (found,) = report["strategies"] or [{"requests": 0, "judged_rows": 0}]
    return dict(found)


def test_the_report_knows_traffic_accuracy_and_its_interval(site: Site) -> None:
    digits = ["0", "3", "7", "0", "3", "7", "0", "3", "7", "0"]
    ids = [site.ask("report", digit) for digit in digits]
    chosen = site.ask("report", "7", strategy="best")
    truths = [*digits[:8], "1", "1"]  # the last two answers were wrong
    told = [{"id": one, "truth": truth} for one, truth in zip(ids, truths, strict=True)]
    assert _counts(site.tell([*told, {"id": chosen, "truth": "7"}])) == (11, 0, 0)
    site.wait(lambda: _mean(site.report("report"))["judged_rows"] == 10, lambda: site.report("report"))

    report = site.report("report")
    mean = _mean(report)
    assert mean["strategy"] == "mean"
    assert mean["requests"] == mean["rows"] == 10
    assert mean["share"] == 1
    assert mean["errors"] == mean["degraded"] == mean["fallbacks"] == 0
    assert mean["accuracy"] == pytest.approx(0.8)
    assert (mean["accuracy_low"], mean["accuracy_high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson, 8 of 10
    assert 0 < mean["p50_ms"] <= mean["p95_ms"] <= mean["p99_ms"] < 1000
    (by_caller,) = report["chosen_by_caller"]
    assert (by_caller["strategy"], by_caller["requests"], by_caller["judged_rows"]) == ("best", 1, 1)

    assert site.command("report", "report") == report
    record = site.command("decisions", "show", ids[0])
    assert record["assigned"] == "mean"
    (outcome,) = record["outcomes"]
    assert (outcome["metric"], outcome["value"], outcome["source"]) == ("truth", "0", "user")
    assert site.server.http.get(f"{site.server.control}/v1/decisions/{ids[0]}").json() == record


def test_a_list_is_taken_one_by_one(site: Site) -> None:
    one = site.ask("list", "7")
    answer = site.tell(
        [
            {"id": one, "truth": "7"},
            {"id": one, "row": 1, "truth": "7"},
            {"id": one, "truth": "seven"},
            {"id": UNKNOWN, "reward": 1.5, "source": "shop"},
            {"id": "x", "truth": "7"},
            {"id": one, "rewards": {"clicks": 3, "money": 0.5}, "at": time.time() - 60},
        ]
    )
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["duplicate"], body["pending"]) == (2, 0, 1)
    assert [(r["index"], r["code"], r["path"]) for r in body["rejected"]] == [
        (1, "invalid_input", "[1].row"),
        (2, "invalid_input", "[2].truth"),
        (4, "invalid_input", "[4].id"),
    ]


def test_a_single_outcome_that_is_wrong_is_a_problem(site: Site) -> None:
    answer = site.tell({"id": site.ask("list", "3"), "truth": "three"})
    assert answer.status_code == 422
    assert answer.json()["path"] == "truth"


def test_telling_it_again_changes_nothing_and_the_last_correction_counts(site: Site) -> None:
    one = site.ask("repeat", "7")
    now = time.time()
    assert _counts(site.tell({"id": one, "truth": "7", "at": now - 3})) == (1, 0, 0)
    assert _counts(site.tell({"id": one, "truth": "7", "at": now - 3})) == (0, 1, 0)
    site.wait(lambda: _mean(site.report("repeat")).get("accuracy") == 1, lambda: site.report("repeat"))
    assert _counts(site.tell({"id": one, "truth": "1", "at": now - 2})) == (1, 0, 0)
    site.wait(lambda: _mean(site.report("repeat"))["accuracy"] == 0, lambda: site.report("repeat"))
    assert _mean(site.report("repeat"))["judged_rows"] == 1


def test_an_outcome_may_come_from_anywhere_at_once(site: Site) -> None:
    one = site.ask("early", "7")
    with httpx.Client() as other:  # most likely another worker than the one that answered
        answer = other.post(f"{site.server.url}/v1/outcomes", json={"id": one, "truth": "7"})
    assert _counts(answer) == (1, 0, 0)
    site.wait(lambda: _mean(site.report("early"))["judged_rows"] == 1, lambda: site.report("early"))


def test_metrics_count_outcomes(site: Site) -> None:
    one = site.ask("list", "0")

    def count(result: str) -> float:
        page = site.server.http.get(f"{site.server.control}/metrics").text
        lines = [
            line for line in page.splitlines() if line.startswith("quorate_outcomes_total") and f'"{result}"' in line
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    before = count("accepted"), count("duplicate"), count("rejected")
    site.tell([{"id": one, "truth": "0"}])
    site.tell([{"id": one, "truth": "0"}, {"id": "x"}])
    site.wait(
        lambda: (count("accepted"), count("duplicate"), count("rejected")) == tuple(n + 1 for n in before),
        lambda: "counters",
    )
