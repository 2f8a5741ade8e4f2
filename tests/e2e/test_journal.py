"""kill -9 under load: every decision a client has seen the answer of is in the journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from quorate.codecs.lookup import JournalReader
from quorate.home import Home

KILLS = 20
CLIENTS = 6
BODY = {"instances": [[[0] * 8] * 8]}


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_answered_decision_survives_twenty_kills(digits, server):
    running = server(digits)
    seen: set[str] = set()
    stop = threading.Event()
    fresh = threading.Semaphore(0)

    def ask() -> None:
        with httpx.Client(timeout=10) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY)
                except httpx.TransportError:
                    stop.wait(0.02)  # the worker died; nothing was answered, and it needs the processor to come back
                    continue
                assert answer.status_code == 200
                seen.add(answer.json()["id"])
                fresh.release()

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for kill in range(KILLS):
            for _ in range(40):  # some answers between kills, a different number each time
                assert fresh.acquire(timeout=30), running.log()
            for _ in range(kill):
                fresh.acquire(timeout=30)
            os.kill(running.pid("worker 0"), signal.SIGKILL)
            while fresh.acquire(blocking=False):  # what was answered before counts for nothing
                pass
    finally:
        stop.set()
        for client in clients:
            client.join()
    reader = JournalReader(Home(digits).journal)
    boots = {segment.boot for segment in reader.files()}
    assert len(boots) >= KILLS
    assert len(seen) > 40 * KILLS
    lost = [i for i in seen if (found := reader.find(i)) is None or found.id != i]
    assert lost == []


def test_a_decision_is_found_by_id_over_http_and_on_the_command_line(digits, server):
    running = server(digits)
    answer = running.http.post(
        f"{running.url}/v1/endpoints/digits/predict",
        json={**BODY, "context": {"user_id": "u7"}, "options": {"strategy": "stacking"}},
        headers={"x-request-id": "request-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
    ).json()
    found = running.http.get(f"{running.control}/v1/decisions/{answer['id']}").json()
    assert found["assigned"] == found["served"] == "stacking"
    assert found["source"] == "caller"
    assert found["context"] == {"user_id": "u7"}
    assert found["request_id"] == "request-1"
    assert found["traceparent"].startswith("00-aaaa")
    assert [m["name"] for m in found["members"]] == ["logistic", "forest", "extra-trees", "mlp", "svm"]
    command = [sys.executable, "-P", "-c", "from quorate.cli import main; main()"]
    done = subprocess.run(
        [*command, "decisions", "show", answer["id"], "--project", str(digits), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["id"] == answer["id"]


def test_outcomes_make_a_report(digits, server):
    running = server(digits)
    ids = [running.http.post(f"{running.url}/v1/endpoints/digits/predict", json=BODY).json() for _ in range(12)]
    told = [{"id": a["id"], "truth": a["predictions"][0]["label"]} for a in ids[:10]]
    told[0]["truth"] = "0" if told[0]["truth"] != "0" else "1"
    first = running.http.post(f"{running.url}/v1/outcomes", json=told)
    assert first.status_code == 202
    assert first.json() == {"accepted": 10, "duplicate": 0, "pending": 0, "rejected": []}
    assert running.http.post(f"{running.url}/v1/outcomes", json=told).json()["duplicate"] == 10
    assert running.http.post(f"{running.url}/v1/outcomes", json={"id": ids[0]["id"], "truth": "x"}).status_code == 422

    def report() -> dict:
        return running.http.get(f"{running.control}/v1/endpoints/digits/report").json()

    def joined() -> bool:
        return sum(s["judged_rows"] for s in report()["strategies"]) == 10

    running.until(joined, within=20, what=lambda: f"ten rows are labelled: {report()}")
    strategies = report()["strategies"]
    assert sum(s["requests"] for s in strategies) == 12
    assert sum(s["errors"] for s in strategies) == 0
    right = sum(round(s["accuracy"] * s["judged_rows"]) for s in strategies if s["judged_rows"])
    assert right == 9
