"""From answers through outcomes to the report: over HTTP and on the command line, on a running server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

SAMPLES = Path(__file__).parents[2] / "examples" / "digits" / "samples"
UNKNOWN = "01a1fbbc-5837-7000-8000-000000000000"  # nobody's decision: of 2026, from a boot that never was
ENDPOINT = """
  {name}:
    pool: digits
    strategies: {{mean: {{kind: mean}}, best: {{kind: single, member: svm}}}}
    policy: mean
    caller_may_choose: true
"""
VALUED = """
    outcomes: {precedence: [shop, user], expected_within_s: 3600}
    value: {correct: 10, error: -5, rewards: {revenue: 2}}
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

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that prints JSON, ended."""
        line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", *words]
        project = str(self.server.project)
        return subprocess.run([*line, "--project", project, "--json"], capture_output=True, check=False, text=True)

    def command(self, *words: str) -> Any:
        """A command's JSON."""
        run = self.run(*words)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Site:
    config = module_digits / "quorate.yaml"
    endpoints = "".join(ENDPOINT.format(name=name) for name in NAMES)
    config.write_text(config.read_text() + endpoints + ENDPOINT.format(name="import") + VALUED)
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

    again = site.command("report", "report")
    assert again.pop("completeness") == pytest.approx(report.pop("completeness"), abs=0.1)
    assert again == report
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


def test_lines_are_taken_as_they_come(site: Site) -> None:
    one = site.ask("list", "3")
    lines = [{"id": one, "truth": "3"}, {"id": one, "truth": "three"}, {"id": one, "reward": 2}] * 700

    def body() -> Iterator[bytes]:
        for line in lines:
            yield json.dumps(line).encode() + b"\n"

    url, kind = f"{site.server.url}/v1/outcomes", {"content-type": "application/x-ndjson"}
    answer = site.server.http.post(url, content=body(), headers=kind)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert (told["accepted"] + told["duplicate"], len(told["rejected"]), told["more_rejected"]) == (1400, 700, 0)
    assert told["accepted"] >= 2
    assert [wrong["index"] for wrong in told["rejected"][:2]] == [1, 4]


def test_a_file_is_imported_and_how_outcomes_come_is_shown(site: Site, tmp_path: Path) -> None:
    digits = ["0", "3", "7", "0"]
    ids = [site.ask("import", digit) for digit in digits]
    rows = "".join(f"{one},{truth},{i}.5\n" for i, (one, truth) in enumerate(zip(ids, digits, strict=True)))
    (tmp_path / "told.csv").write_text("id,truth,eur\n" + rows + "nonsense,7,1\n")
    words = ["outcomes", "import", str(tmp_path / "told.csv"), "--source", "shop", "--reward", "revenue=eur"]
    for accepted, known in ((8, 0), (0, 8)):
        run = site.run(*words, "--url", site.server.url)
        assert run.returncode == 1
        assert "told.csv:6: 'nonsense' is not a decision id" in run.stderr
        assert json.loads(run.stdout) == {"accepted": accepted, "duplicate": known, "pending": 0, "rejected": 2}
    site.wait(lambda: _mean(site.report("import"))["judged_rows"] == 4, lambda: site.report("import"))
    mean = _mean(site.report("import"))
    assert [(m["metric"], m["rows"], m["mean"]) for m in mean["rewards"]] == [("revenue", 4, 2.0)]
    assert (mean["value"]["rows"], mean["value"]["mean"]) == (4, pytest.approx(10 + 2 * 2.0))
    shown = site.command("outcomes", "show", "import")
    assert [(m["metric"], m["known_rows"], m["share"]) for m in shown["metrics"]] == [
        ("truth", 4, 1.0),
        ("revenue", 4, 1.0),
    ]
    assert shown["metrics"][0]["sources"] == [{"source": "shop", "joined": 4, "replaced": 0, "late": 0, "invalid": 0}]
    told = site.server.http.get(f"{site.server.control}/v1/endpoints/import/outcomes").json()
    assert (told["rows"], told["precedence"], told["expected_within_s"]) == (4, ["shop", "user"], 3600.0)
    assert site.server.http.get(f"{site.server.control}/v1/endpoints/nothing/outcomes").status_code == 404


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
