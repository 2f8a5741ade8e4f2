"""One experiment's page: what it reads and when, what can be done with it, and what is said when that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments import actions
from quorate.console.experiments.actions import KEEP, PROMOTE, START, STOP, WITHDRAW, possible
from quorate.console.experiments.board import ExperimentBoard
from quorate.console.experiments.page import ExperimentPage
from quorate.console.session import Session
from quorate.testing.clock import FakeClock

ID = "7d5bd0061d54d1e0"
PATH = f"/v1/experiments/{ID}"
NOW = 1_795_314_300.0


@pytest.fixture
def opened(apis: Any, on_page: Any, experiment: Any, report: Any) -> Callable[..., Any]:
    """``opened(scenario, reader, **changes)`` runs ``async scenario(page, whole)`` with an experiment so changed."""

    def run(scenario: Callable[..., Any], reader: str = "manager", **changes: Any) -> Any:
        apis.answers[f"GET {PATH}"] = experiment(**changes)
        apis.answers[f"GET {PATH}/report"] = {**report, **{k: v for k, v in changes.items() if k in report}}

        async def inside(client: Any) -> Any:
            clock = FakeClock()
            with Node("div") as whole:
                page = ExperimentPage(apis, Session("t", None, 0.0), ID, reader, client, clock.monotonic, lambda: NOW)
            await page.look()
            return await scenario(page, whole)

        return on_page(inside)

    return run


RUNNING = {"state": "running", "verdict": None, "ended": None, "started": NOW - 3600}


def test_it_says_what_was_found_and_what_may_be_done(opened: Any, said: Any) -> None:
    async def scenario(page: Any, whole: Any) -> None:
        text = said(whole)
        for part in (
            "'candidate' is better than 'current'",
            "Waits for a decision",
            "1,868 of at most 20,000",
            "Promote the winner, or keep what was served before.",
            "Promote the winner\nKeep what was served\nPlan one like it",
        ):
            assert part in text, part

    opened(scenario)


@pytest.mark.parametrize(
    ("state", "verdict", "expected"),
    [
        ("registered", None, (START, WITHDRAW)),
        ("running", None, (STOP,)),
        ("decided", {"verdict": "better"}, (PROMOTE, KEEP)),
        ("decided", {"verdict": "no_difference"}, (KEEP,)),
        ("ended", {"verdict": "better"}, ()),
    ],
)
def test_only_what_control_would_take_is_offered(state: str, verdict: Any, expected: tuple[Any, ...]) -> None:
    assert possible({"state": state, "verdict": verdict}) == expected


def test_every_action_is_asked_about_before_it_is_done(opened: Any) -> None:
    async def scenario(page: Any, whole: Any) -> None:
        dialogues = [node for node in _all(whole) if node.tag == "dialog"]
        assert [node.props["id"] for node in dialogues] == [f"ask-{action.name}" for action in actions.ALL]

    opened(scenario)


def _all(node: Any) -> list[Any]:
    return [node, *(below for child in node.default_slot.children for below in _all(child))]


def test_stopping_is_done_at_the_version_that_was_seen(apis: Any, opened: Any, experiment: Any, said: Any) -> None:
    stopped = experiment(state="ended", verdict={"verdict": "stopped"}, version=4)
    apis.answers[f"POST {PATH}/stop"] = stopped

    async def scenario(page: Any, whole: Any) -> None:
        apis.answers[f"GET {PATH}"] = stopped
        await page._do(STOP)
        assert apis.asked == [(f"POST {PATH}/stop", None, 3)]
        text = said(whole)
        assert "Stopped: what was served before is served again." in text
        assert "Finished" in text
        assert "\nStop\n" not in text

    opened(scenario, **RUNNING)


def test_what_was_read_before_an_action_does_not_undo_it(apis: Any, opened: Any, experiment: Any, said: Any) -> None:
    """A look that began before the stop shows the running experiment; it comes too late."""
    apis.answers[f"POST {PATH}/stop"] = experiment(state="ended", verdict={"verdict": "stopped"}, version=4)

    async def scenario(page: Any, whole: Any) -> None:
        await page._do(STOP)
        await page.look()
        assert "Finished" in said(whole)

    opened(scenario, **RUNNING)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ControlGone("away"), "Control is not reachable, or took too long."),
        (ControlRefused("Experiment is ended: stop by key x; …", 409, path="id"), "ended: stop by key x"),
        (ControlRefused("No.", 403), "This needs a key with the role operate."),
    ],
)
def test_what_could_not_be_done_says_why_and_can_be_tried_again(
    apis: Any, opened: Any, said: Any, error: Exception, text: str
) -> None:
    apis.answers[f"POST {PATH}/stop"] = error

    async def scenario(page: Any, whole: Any) -> None:
        await page._do(STOP)
        assert text in said(page._wrong)
        assert not page._actions._buttons["stop"].props.get("disabled")
        assert not page._actions._buttons["stop"].props.get("hidden")

    opened(scenario, **RUNNING)


def test_a_draft_that_is_forgotten_leads_back_to_the_list(apis: Any, opened: Any, experiment: Any) -> None:
    apis.answers[f"DELETE {PATH}"] = experiment()

    async def scenario(page: Any, whole: Any) -> None:
        await page._do(WITHDRAW)
        assert page._client.scripts == ["location.href = '/experiments?endpoint=replies'"]

    opened(scenario, state="registered", verdict=None, started=None, ended=None)


def test_the_report_is_read_again_only_when_something_is_new(apis: Any, opened: Any, report: Any) -> None:
    reads: list[str] = []
    fetch = apis.control.fetch

    async def counting(path: str, *args: Any, **more: Any) -> bytes:
        reads.append(path)
        return bytes(await fetch(path, *args, **more))

    apis.control.fetch = counting

    async def scenario(page: Any, whole: Any) -> None:
        await page.look()
        assert len(reads) == 1
        apis.answers[f"GET {PATH}"]["latest"]["number"] += 1
        await page.look()
        assert len(reads) == 2
        apis.answers[f"GET {PATH}"]["version"] += 1
        await page.look()
        assert len(reads) == 3

    opened(scenario, **RUNNING)


def test_a_report_of_the_state_before_is_not_taken_for_the_new_one(apis: Any, opened: Any) -> None:
    """Pages share what one of them read a moment ago; after an action that is out of date."""
    read: dict[Any, Any] = {}
    fetched: list[str] = []
    fetch = apis.control.fetch

    async def shared(what: Any, look: Any) -> Any:
        if what[0].endswith("/report"):
            if what not in read:
                read[what] = await look()
            return read[what]
        return await look()

    async def counting(path: str, *args: Any, **more: Any) -> bytes:
        fetched.append(path)
        return bytes(await fetch(path, *args, **more))

    apis.shared, apis.control.fetch = shared, counting

    async def scenario(page: Any, whole: Any) -> None:
        await page.look()
        apis.answers[f"GET {PATH}"]["version"] += 1
        await page.look()
        await page.look()
        assert len(fetched) == 2

    opened(scenario, **RUNNING)


def test_a_hidden_experiment_shows_how_many_and_no_more(apis: Any, opened: Any, report: Any, said: Any) -> None:
    hidden = {"number": 2, "at": NOW, "hidden": True, "body": {"known": 108, "units": 180, "requests": 180}}
    told = {"sentence": "Its results are hidden until the verdict.", "warnings": [], "meaning": {}}
    report |= {**RUNNING, "hidden": True, "looks": [hidden], "said": {**report["said"], **told}}

    async def scenario(page: Any, whole: Any) -> None:
        text = said(whole)
        assert "108 of at most 20,000" in text
        assert "hidden until the verdict" in text
        assert "So far" not in text
        assert "0.7" not in text

    opened(scenario, latest=hidden, **RUNNING)


def test_what_was_known_stays_while_control_is_away_and_one_that_is_gone_says_so(
    apis: Any, opened: Any, said: Any
) -> None:
    async def scenario(page: Any, whole: Any) -> None:
        apis.answers[f"GET {PATH}"] = ControlGone("away")
        await page.look()
        assert "Control is not reachable" in said(whole)
        assert "'candidate' is better" in said(whole)
        apis.answers[f"GET {PATH}"] = ControlRefused("There is no experiment 'x'.", 404, path="id")
        await page.look()
        assert "There is no experiment 'x'." in said(whole)

    opened(scenario)


def test_the_overview_names_the_experiment_that_holds_its_endpoint(on_page: Any, experiment: Any, said: Any) -> None:
    async def scenario(_: Any) -> None:
        with Node("div") as whole:
            board = ExperimentBoard("replies")
        board.show([], NOW)
        assert "None runs on this endpoint" in said(whole)
        board.show([experiment(state="registered", verdict=None), experiment(**RUNNING)], NOW)
        assert "candidate-trial splits the requests of this endpoint: no verdict yet, 2 days left." in said(whole)
        assert board._link.props["href"] == f"/experiments/{ID}"
        board.show([experiment()], NOW)
        assert "candidate is better; it waits for a decision." in said(whole)

    on_page(scenario)
