"""Both reports on the page: all that control tells of an experiment, and nothing that it hides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quorate.console.elements import Node
from quorate.console.experiments.manager import manager
from quorate.console.experiments.statistician import statistician

Shown = Callable[[Callable[[Any], None], dict[str, Any]], str]


@pytest.fixture
def shown(on_page: Any, said: Any) -> Shown:
    """``shown(page, report)``: what a page of a report says."""

    def show(page: Callable[[Any], None], report: dict[str, Any]) -> str:
        async def build(_: Any) -> str:
            with Node("div") as all_of_it:
                page(report)
            pictures = sum("<svg" in str(node.props.get("innerHTML", "")) for node in _all(all_of_it))
            return f"{said(all_of_it)}\n{pictures} pictures"

        return str(on_page(build))

    return show


def _all(node: Any) -> list[Any]:
    return [node, *(below for child in node.default_slot.children for below in _all(child))]


def test_the_manager_s_page(shown: Shown, report: dict[str, Any]) -> None:
    text = shown(manager, report)
    for part in (
        "candidate against current",
        report["said"]["meaning"]["candidate"],
        "Units are where the split would have them: current 1,529 and candidate 1,543, for shares of 50 % and 50 %.",
        "Outcomes are missing equally",
        "Error rate of candidate: fine",
        "a difference of 0.05 matters",
        "The candidate was trained on three more months of replies.",
        "1 pictures",
    ):
        assert part in text


def test_what_is_wrong_is_said_in_words(shown: Shown, report: dict[str, Any]) -> None:
    body = report["looks"][-1]["body"]
    body["sample_ratio"]["mismatch"] = True
    body["missing"][0]["differs"] = True
    body["guard_rails"][0]["status"] = "harmed"
    body["excluded"] = {"chosen_by_caller": 7, "other_revision": 0}
    text = shown(manager, report)
    assert "Units are not where the split would have them" in text
    assert "Outcomes are missing in one arm more than in the other" in text
    assert "Error rate of candidate: worse than allowed" in text
    assert "Left out: 7 chosen by caller." in text
    assert "MISMATCH" in shown(statistician, report)


def test_the_statistician_s_page(shown: Shown, report: dict[str, Any]) -> None:
    text = shown(statistician, report)
    for part in (
        "asymptotic confidence sequence",
        "Samples are large enough for means to be normal",
        "Intention to treat",
        report["said"]["formula"],
        "Robbins",
        report["digest"],
        "Segments",
        "Holm",
        "country",
        "Covariate (CUPED)",
        "sequential p =",
        "With an outcome so far",
        "Seed",
    ):
        assert part in text
    assert "of the download" not in text


@pytest.mark.parametrize("page", [manager, statistician])
def test_what_control_hides_is_on_neither_page(shown: Shown, report: dict[str, Any], page: Any) -> None:
    """As control sends it; and even if it sent more, a look that is hidden is not shown."""
    report |= {"hidden": True, "verdict": None, "conclusion": None, "state": "running", "ended": None}
    report["said"] |= {"sentence": "Hidden.", "meaning": {}, "warnings": []}
    for look in report["looks"]:
        look["hidden"] = True
    text = shown(page, report)
    assert "0 pictures" in text
    for secret in ("0.787", "1,529", "+0.05", "better", "fine", "de\n"):
        if not (page is statistician and secret == "better"):  # which way the metric goes is registered
            assert secret not in text, secret


def test_a_draft_shows_what_would_be_done(shown: Shown, report: dict[str, Any]) -> None:
    report |= {"state": "registered", "verdict": None, "started": None, "ended": None, "revision": None, "looks": []}
    assert "Nothing yet: this is a draft." in shown(manager, report)
    assert report["digest"] in shown(statistician, report)


def test_values_that_contradict_the_registration_are_named(shown: Shown, report: dict[str, Any]) -> None:
    report["looks"][-1]["body"] = {"problem": "values above 1", "verdict": {"verdict": "invalid"}}
    assert "values above 1" in shown(statistician, report)
    assert "It ended before there was anything to compare." in shown(manager, report)


def test_arms_without_an_interval_yet_say_why(shown: Shown, report: dict[str, Any]) -> None:
    for look in report["looks"]:
        look["body"]["comparisons"][0] |= {"low": None, "high": None}
    report["said"]["meaning"] = {}
    text = shown(manager, report)
    assert "There is no interval yet: every arm needs at least 20 units" in text
    assert "0 pictures" in text
    assert "–" in shown(statistician, report)
