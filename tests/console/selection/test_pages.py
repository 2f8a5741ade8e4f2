"""Open pages of selection without a browser: what they show, keep, and say where there is nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from quorate.console.control import ControlGone, ControlRefused
from quorate.console.selection.frontier import FrontierPage
from quorate.console.selection.regret import RegretPage
from quorate.console.selection.tabs import TABS, tabs
from quorate.console.selection.trust import TrustPage

from .conftest import FRONTIER, SESSION, texts

GONE = "Control is not reachable since 7 s; trying again. These are the last figures."
HIDDEN = ControlRefused("Endpoint 'e' is under experiment 'trial', which hides its arms.", 409)
TRUST: dict[str, Any] = {
    "endpoint": "e", "strategy": "near", "kind": "ola", "means": "weight", "members": ["a", "b"],
    "strategies": [{"name": "near", "kind": "ola", "means": "weight"},
                   {"name": "online", "kind": "online", "means": "experts"}],
    "by": "label", "ways": [{"by": "label", "title": "predicted label"}, {"by": "context.k", "title": "context: k"}],
    "decisions": 90, "rows": 100, "since": 0.0, "until": 3600.0, "overall": {"a": 0.25, "b": 0.75},
    "groups": [{"name": "cat", "rows": 60, "shares": {"a": 0.4, "b": 0.6}},
               {"name": "dog", "rows": 40, "shares": {"a": 0.025, "b": 0.975}}],
    "left_out": {"not_asked": 3}, "experts": None,
}  # fmt: skip
HISTORY = [{"at": 60.0 * i, "rows": i, "trust": {"a": 0.1 * i, "b": 1 - 0.1 * i}} for i in range(1, 6)]
EXPERTS: dict[str, Any] = TRUST | {
    "strategy": "online", "kind": "online", "means": "experts", "overall": {}, "groups": [], "ways": [], "left_out": {},
    "rows": 0, "decisions": 0, "since": None, "until": None,
    "experts": {"rows": 5, "trust": {"a": 0.5, "b": 0.5}, "history": HISTORY},
}  # fmt: skip
REGRET: dict[str, Any] = {
    "endpoint": "e", "policy": "exp3", "learns": True, "metric": "accuracy", "unit": "mistakes", "known": "all",
    "rows": 200, "outcomes": 210, "since": 0.0, "until": 7200.0, "whole": True, "served": 40.0, "best": "svm",
    "regret": 12.0,
    "others": [
        {"name": "svm", "kind": "member", "basis": "known", "loss": 28.0, "low": None, "high": None, "regret": 12.0},
        {"name": "vote", "kind": "strategy", "basis": "estimate", "loss": 44.4, "low": 40.0, "high": 48.8,
         "regret": -4.4},
        {"name": "online", "kind": "strategy", "basis": "unknown", "loss": None, "low": None, "high": None,
         "regret": None},
    ],
    "points": [{"at": 36.0 * n, "rows": n, "served": 0.2 * n, "others": {"svm": 0.14 * n, "vote": 0.222 * n},
                "regret": 0.06 * n} for n in (50, 100, 150, 200)],
    "left_out": {"no_reward": 10}, "bound": {"value": 33.3, "rows": 200},
    "combiners": [{
        "strategy": "online", "kind": "online", "unit": "mistakes", "rows": 200, "own": 31.25, "regret": 2.25,
        "certificate": 9.5, "experts": [{"name": "svm", "trust": 0.7, "loss": 29.0},
                                        {"name": "prior", "trust": 0.3, "loss": 33.0}],
        "points": [{"at": 60.0, "rows": 100, "own": 15.0, "best": "svm", "least": 14.0, "regret": 1.0,
                    "certificate": 6.0},
                   {"at": 120.0, "rows": 200, "own": 31.25, "best": "svm", "least": 29.0, "regret": 2.25,
                    "certificate": 9.5}],
    }],
}  # fmt: skip
PAGES: list[tuple[Any, dict[str, Any]]] = [
    (TrustPage, {"/v1/endpoints/e/trust": TRUST}),
    (RegretPage, {"/v1/endpoints/e/regret": REGRET}),
    (
        FrontierPage,
        {
            "/v1/endpoints/e": {"served": {"strategies": [{"name": "steps", "kind": "cascade"}]}},
            "/v1/endpoints/e/strategies/steps/frontier": FRONTIER,
        },
    ),
]


@pytest.mark.parametrize(("make", "answers"), PAGES, ids=lambda each: getattr(each, "__name__", ""))
def test_figures_stay_while_control_is_away_and_are_hidden_where_they_must_be(
    make: Any, answers: dict[str, Any], apis: Any, on_page: Any
) -> None:
    async def scenario(client: Any) -> None:
        clock = [0.0]
        apis.answers = dict(answers)
        shown = make(apis, SESSION, "e", lambda: clock[0])
        await shown.looking.again()
        before = texts(client)
        assert "%" in before or "mistakes" in before
        clock[0] = 7.0
        last = list(answers)[-1]
        apis.answers[last] = ControlGone("gone")
        await shown.looking.again()
        kept = texts(client)
        assert GONE in kept
        figure = {TrustPage: "75.0 %", RegretPage: "a regret of 12", FrontierPage: "91.3 %"}[make]
        assert figure in before
        assert figure in kept
        apis.answers[last] = HIDDEN
        await shown.looking.again()
        assert figure not in texts(client)
        assert "hides its arms" in texts(client)
        apis.answers[last] = answers[last]
        await shown.looking.again()
        assert texts(client) == before

    on_page(scenario)


def test_trust_by_group_and_what_is_chosen_is_asked_for(apis: Any, on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        apis.answers = {"/v1/endpoints/e/trust": TRUST}
        shown = TrustPage(apis, SESSION, "e", lambda: 0.0)
        await shown.looking.again()
        told = texts(client)
        for text in ("By predicted label", "cat", "dog", "98 %", "3 rows for which a member of it was not asked"):
            assert text in told
        assert "100 rows of 90 decisions" in told
        await shown._by._changed(type("Event", (), {"args": "context.k"}))
        assert apis.asked[-1] == "/v1/endpoints/e/trust?by=context.k"
        await shown._by._changed(type("Event", (), {"args": "<nonsense>"}))
        assert len(apis.asked) == 2
        apis.answers = {"/v1/endpoints/e/trust": EXPERTS}
        await shown._strategy._changed(type("Event", (), {"args": "online"}))
        assert apis.asked[-1] == "/v1/endpoints/e/trust?strategy=online"  # ways of another strategy are not its own
        told = texts(client)
        assert "Trust over time: a from 10.0 % to 50.0 % and b from 90.0 % to 50.0 %" in told
        assert "cat" not in told

    on_page(scenario)


def test_a_strategy_that_is_gone_is_not_asked_for_again(apis: Any, on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        apis.answers = {"/v1/endpoints/e/trust": TRUST}
        shown = TrustPage(apis, SESSION, "e", lambda: 0.0)
        await shown.looking.again()
        apis.answers = {"/v1/endpoints/e/trust": ControlRefused("It can be told of the strategies near.", 422)}
        await shown._strategy._changed(type("Event", (), {"args": "online"}))
        assert "It can be told of the strategies near." in texts(client)
        apis.answers = {"/v1/endpoints/e/trust": TRUST}
        await shown.looking.again()
        assert apis.asked[-1] == "/v1/endpoints/e/trust"
        assert "75.0 %" in texts(client)

    on_page(scenario)


def test_many_members_are_the_foremost_and_the_others(apis: Any, on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        shares = {f"m{i}": 1 / 40 for i in range(40)}
        many = TRUST | {"overall": shares, "groups": [{"name": "cat", "rows": 1, "shares": shares}]}
        apis.answers = {"/v1/endpoints/e/trust": many}
        await TrustPage(apis, SESSION, "e", lambda: 0.0).looking.again()
        told = texts(client)
        assert "m11" in told
        assert "m12" not in told
        assert "others" in told
        assert "70.0 %" in told

    on_page(scenario)


def test_regret_with_what_is_known_estimated_and_not_known(apis: Any, on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        apis.answers = {"/v1/endpoints/e/regret": REGRET}
        shown = RegretPage(apis, SESSION, "e", lambda: 0.0)
        await shown.looking.again()
        told = texts(client)
        for text in (
            "svm alone, would have made 28: a regret of 12", "40 to 48.8", "estimated", "not known",
            "promises an expected regret of at most 33.3", "10 rows of which what is learned from is not known",
            "online: after 200 outcomes a draw by its trust has lost 31.25", "it could be 9.5 at most",
            "at the end a regret of 12", "2.25 at the end, where it could be 9.5 at most",
        ):  # fmt: skip
            assert text in told, text
        apis.answers = {"/v1/endpoints/e/regret": REGRET | {"combiners": [], "bound": None}}
        await shown.looking.again()
        told = texts(client)
        assert "against its experts" not in told
        assert "promises" not in told
        nothing = {"rows": 0, "outcomes": 0, "known": "none", "served": None, "best": None, "regret": None,
                   "others": [], "points": [], "since": None, "until": None, "left_out": {}}  # fmt: skip
        apis.answers = {"/v1/endpoints/e/regret": copy.deepcopy(REGRET) | nothing}
        await shown.looking.again()
        assert "Of no recent row is it known what was lost" in texts(client)

    on_page(scenario)


def test_the_frontier_with_its_references_its_promise_and_what_was_served(apis: Any, on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        apis.answers = dict(PAGES[2][1])
        shown = FrontierPage(apis, SESSION, "e", lambda: 0.0)
        await shown.looking.again()
        told = texts(client)
        for text in (
            "Promised: an accuracy of at least 90.0 % at the least cost, with a risk of 5.0 % that it is less.",
            "Served: 4,000 rows at a mean cost of 2.2 ms; 1.10 times the 2 ms that was expected.",
            "cascade 1 (chosen)", "oracle", "random 25 %", "90.0 to 92.5 %", "25.0 %", "30.0 %",
            "chosen: cascade 1 91.3 % at 2 ms",
        ):  # fmt: skip
            assert text in told, text
        assert "each stage, besides" not in told
        apis.answers["/v1/endpoints/e/strategies/steps/frontier"] = FRONTIER | {"stage": 0.45}
        await shown.looking.again()
        told = texts(client)
        assert "each stage, besides" in told
        assert "0.45 ms" in told
        apis.answers["/v1/endpoints/e"] = {"served": {"strategies": [{"name": "mean", "kind": "mean"}]}}
        await shown.looking.again()
        assert "No strategy of this endpoint is a cascade." in texts(client)
        assert "91.3 %" not in texts(client)
        apis.answers["/v1/endpoints/e"] = {"served": None}
        await shown.looking.again()
        assert "No strategy of this endpoint is a cascade." in texts(client)

    on_page(scenario)


def test_the_tabs_link_to_all_five_and_say_where_one_is(on_page: Any) -> None:
    async def scenario(client: Any) -> None:
        tabs("regret", "a b")
        links = [each.props for each in client.elements.values() if each.tag == "a"]
        assert [link["href"] for link in links] == [f"/selection/{name}?endpoint=a+b" for name, _ in TABS]
        assert [link.get("aria-current") for link in links] == [None, "page", None, None, None]

    on_page(scenario)
