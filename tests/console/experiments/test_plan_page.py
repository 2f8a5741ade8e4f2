"""Planning: what is asked of control, what it answers, and where what is wrong is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments.plan_page import PlanPage, suggested
from quorate.console.session import Session

ENDPOINTS = (
    Endpoint("replies", "array", strategies=("best", "current"), policy="always current"),
    Endpoint("prices", "array", output="values", strategies=("a", "b"), policy="split: a 50%, b 50%"),
)
ARM = {"share": 1.0, "power": 0.84, "alpha": 0.05, "expected_null": 3794, "expected_days": 2.4}
PLAN = {
    "endpoint": "replies",
    "metric": "accuracy",
    "minimum_effect": 0.05,
    "history": {
        "units": 10_000,
        "known": 6000,
        "days": 28.0,
        "baseline": 0.72,
        "standard_deviation": 0.45,
        "daily_units": 357.0,
        "presence": 0.6,
    },
    "treatments": [{"treatment": "best", **ARM}],
    "maximum": 3847,
    "assigned": 6411,
    "fixed": 2391,
    "expected": 2243,
    "maximum_days": 17.96,
    "alternatives": [
        {"minimum_effect": 0.025, "maximum": 15_000, "maximum_days": 70.0},
        {"minimum_effect": 0.1, "maximum": 900, "maximum_days": None},
    ],
    "suggested": {"max_units": 3847, "max_days": 17.96},
}
TEST = {
    "ok": True,
    "runs": 200,
    "units": 6000,
    "false_positives": 4,
    "false_positive_rate": 0.02,
    "low": 0.006,
    "high": 0.065,
    "alpha": 0.05,
    "seed": 0,
    "assignment": {"counts": {"current": 5010, "best": 4990}, "mismatch": False},
}


@pytest.fixture
def opened(apis: Any, on_page: Any) -> Callable[..., Any]:
    """``opened(scenario, **options)`` runs ``async scenario(page, whole, form)`` on a page with a form filled in."""

    def run(scenario: Callable[..., Any], **options: Any) -> Any:
        async def inside(client: Any) -> Any:
            session = Session("t", None, 0.0)
            with Node("div") as whole:
                page = PlanPage(apis, session, ENDPOINTS, "replies", client, **options)
            form = page._form.props["initial"]
            if not options:
                form |= {"name": "trial", "minimum_effect": "0.05"}
            return await scenario(page, whole, form)

        return on_page(inside)

    return run


def test_the_strategy_that_answers_now_is_the_one_to_beat(opened: Any) -> None:
    async def scenario(page: Any, whole: Any, form: Any) -> None:
        assert (form["control"], form["treatments"], form["metric"]["kind"]) == ("current", ["best"], "accuracy")

    opened(scenario)


def test_a_plan_is_shown_and_suggests_limits(apis: Any, opened: Any, said: Any) -> None:
    apis.answers["POST /v1/experiments/plan?daily_units=1000&presence=0.5"] = PLAN

    async def scenario(page: Any, whole: Any, form: Any) -> None:
        await page._plan(form, {"daily_units": "1000", "presence": " 0.5"})
        ((_, body, version),) = apis.asked
        assert (body["treatments"], body["minimum_effect"], version) == (["best"], 0.05, None)
        text = said(whole)
        for part in (
            "3,847 units with an outcome",
            "18 days",
            "84.0 %",
            "Rests on 10,000 units in 28 days, 60 % of them",
            "One look at the end would take 2,391 units.",
            "0.025\n15,000\n70 days\n0.05\n3,847\n18 days\n0.1\n900\n–",
        ):
            assert part in text, part
        assert page._form.props["suggested"] == {"max_units": "3847", "max_days": "18"}
        assert page._form.props["problems"] == {}

    opened(scenario)


def test_the_self_test_says_whether_it_passed(apis: Any, opened: Any, said: Any) -> None:
    apis.answers["POST /v1/experiments/selftest?runs=200"] = TEST

    async def scenario(page: Any, whole: Any, form: Any) -> None:
        await page._test(form, {})
        assert "Self-test passed: of 200 experiments on 6,000 past units" in said(whole)
        assert "4 found a difference (2.0 %; 99 % interval 0.6 % to 6.5 %; 5.0 % allowed)" in said(whole)
        apis.answers["POST /v1/experiments/selftest?runs=200"] = {**TEST, "ok": False}
        await page._test(form, {})
        assert "Self-test FAILED" in said(whole)

    opened(scenario)


def test_what_cannot_be_read_is_not_sent(apis: Any, opened: Any) -> None:
    async def scenario(page: Any, whole: Any, form: Any) -> None:
        await page._plan({**form, "minimum_effect": "big"}, {"daily_units": "many"})
        assert apis.asked == []
        assert set(page._form.props["problems"]) == {"minimum_effect", "daily_units"}

    opened(scenario)


@pytest.mark.parametrize(
    ("error", "problems", "failed"),
    [
        (ControlRefused("Too few.", 409, path="endpoint"), {"endpoint": "Too few."}, ""),
        (ControlRefused("Bad.", 422, path="stop.alpha"), {"stop.alpha": "Bad."}, ""),
        (ControlRefused("Somebody else has changed it.", 409, path="If-Match"), {}, "Somebody else has changed it."),
        (ControlRefused("No.", 403), {}, "This needs a key with the role operate."),
        (ControlGone("away"), {}, "Control is not reachable, or took too long."),
    ],
)
def test_what_control_refuses_stands_beside_its_field(
    apis: Any, opened: Any, error: Exception, problems: dict[str, str], failed: str
) -> None:
    apis.answers["POST /v1/experiments/plan?"] = error

    async def scenario(page: Any, whole: Any, form: Any) -> None:
        before = {**form}
        await page._plan(form, {})
        assert page._form.props["problems"] == problems
        assert page._form.props["failed"].startswith(failed)
        assert bool(page._form.props["failed"]) == bool(failed)
        assert form == before  # what was typed stays
        apis.answers["POST /v1/experiments/plan?"] = PLAN
        await page._plan(form, {})
        assert (page._form.props["problems"], page._form.props["failed"]) == ({}, "")

    opened(scenario)


def test_registering_goes_to_the_experiment_and_forgets_the_form(apis: Any, opened: Any) -> None:
    apis.answers["POST /v1/experiments"] = {"id": "a" * 16}

    async def scenario(page: Any, whole: Any, form: Any) -> None:
        form["stop"] |= {"max_units": "4000", "max_days": "18"}
        await page._save(form, {})
        (script,) = page._client.scripts
        assert f"location.href = '/experiments/{'a' * 16}'" in script
        assert "sessionStorage.removeItem('quorate-plan-replies-new')" in script

    opened(scenario)


def test_a_draft_is_revised_at_the_version_that_was_seen(apis: Any, opened: Any, experiment: Any) -> None:
    draft = experiment(state="registered", version=7)
    apis.answers[f"PUT /v1/experiments/{draft['id']}"] = {"id": draft["id"]}

    async def scenario(page: Any, whole: Any, form: Any) -> None:
        assert form["name"] == "candidate-trial"
        await page._save(form, {})
        ((what, body, version),) = apis.asked
        assert (what, version) == (f"PUT /v1/experiments/{draft['id']}", 7)
        assert body["minimum_effect"] == 0.05

    opened(scenario, like=draft, revises=True)


def test_one_like_another_needs_a_name_of_its_own(apis: Any, opened: Any, experiment: Any) -> None:
    async def scenario(page: Any, whole: Any, form: Any) -> None:
        assert (form["name"], form["minimum_effect"]) == ("", "0.05")
        await page._save(form, {})
        assert set(page._form.props["problems"]) == {"name"}

    opened(scenario, like=experiment())


@pytest.mark.parametrize(("days", "typed"), [(17.96, "18"), (3.21, "3.3"), (0.0047, "0.005"), (1e-9, "0.001")])
def test_suggested_days_are_rounded_up(days: float, typed: str) -> None:
    assert suggested({"max_units": 10, "max_days": days})["max_days"] == typed
