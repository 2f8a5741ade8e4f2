"""An open page, without a browser: what it looks up, what it shows, what it keeps of what people say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from nicegui import Client
from nicegui.page import page

from quorate.client import Answer, OutcomeReceipt, Prediction
from quorate.console.catalogue import Endpoint
from quorate.console.pages import try_it
from quorate.console.pages.try_it import Desk
from quorate.console.session import Session

OPEN = Answer("1", "e", (Prediction("7", 0.9, {"7": 0.9, "1": 0.1}),), "mean", degraded=False, latency_ms=1.0)
BLIND = Answer("2", "e", (Prediction("7"),))
DIGITS = Endpoint("e", "image", classes=("1", "7"), members=("a",))
PRICES = Endpoint("e", "array", output="values", targets=("price",))


@pytest.fixture(autouse=True)
def _plain_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework's own tasks need its server."""
    monkeypatch.setattr(try_it.background_tasks, "create", asyncio.create_task)


class Apis:
    """Stands in for both ports; notes what is asked of control, and the truths that are told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.looked: list[str] = []
        self.truths: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.control = SimpleNamespace(get=self._get, preview=self._preview)

    def client(self, key: str | None) -> Any:
        return SimpleNamespace(predict=self._predict, outcome=self._outcome)

    async def _predict(self, endpoint: str, **asked: Any) -> Answer:
        self.asked.append(asked)
        return self.answer

    async def _outcome(self, id: str, *, truth: Any) -> OutcomeReceipt:
        self.truths.append(truth)
        return OutcomeReceipt()

    async def _get(self, path: str, key: str | None) -> Any:
        self.looked.append(path)
        return {"classes": ["1", "7"], "output_kind": "scores", "members": []}

    async def _preview(self, *asked: Any) -> bytes:
        self.looked.append("preview")
        return b""


def on_a_page(
    endpoint: Endpoint, answer: Answer, scenario: Callable[[Desk, Apis, list[str]], Coroutine[Any, Any, None]]
) -> Session:
    session = Session("token", None, 0.0)

    async def run() -> None:
        client, apis, scripts = Client(page("/"), request=None), Apis(answer), list[str]()
        client.run_javascript = scripts.append  # type: ignore[method-assign, assignment]
        with client:
            desk = Desk(apis, session, endpoint, client, "/ask/1")  # type: ignore[arg-type]
        await scenario(desk, apis, scripts)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name().startswith("explain"):
                await task
        client.delete()

    asyncio.run(run())
    return session


def test_votes_and_preview_are_looked_up_of_an_open_answer() -> None:
    seen: list[str] = []

    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk.ask_image(b"", "image/png", "")
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("explain")))
        seen.extend(apis.looked)
        assert scripts == []

    (entry,) = on_a_page(DIGITS, OPEN, scenario).history
    assert sorted(seen) == ["/v1/decisions/1", "preview"]
    assert not entry.blind


def test_an_endpoint_that_has_become_blind_is_not_looked_through() -> None:
    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk.ask_image(b"", "image/png", "")
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("explain")]
        assert apis.looked == []
        assert scripts == ["location.reload()"]

    (entry,) = on_a_page(DIGITS, BLIND, scenario).history
    assert entry.blind
    assert (entry.votes, entry.preview) == (None, None)


def test_bars_of_an_earlier_answer_do_not_stay() -> None:
    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk.ask_image(b"", "image/png", "")
        values = [value.text for *_, value in desk._answer._bars]
        assert values == ["10.0 %", "90.0 %"]
        (entry,) = desk._session.history
        entry.probabilities = None
        desk._show(entry)
        assert [value.text for *_, value in desk._answer._bars] == ["–", "–"]

    on_a_page(DIGITS, OPEN, scenario)


def test_a_value_that_was_right_is_listed_as_right() -> None:
    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk._ask_row([1.0], "")
        await desk._feedback._is_right()
        (told,) = (told for _, _, told in desk._history._items.values())
        assert (apis.truths, told.text) == ([3.0], "✓")
        await desk._feedback._is("much")
        assert desk._feedback._thanks.text == "The true value is a number."

    answer = Answer("3", "e", (Prediction(value=3.0),), "mean", degraded=False, latency_ms=1.0)
    (entry,) = on_a_page(PRICES, answer, scenario).history
    assert entry.truth == "3"


SETS = Endpoint("e", "array", classes=("1", "7"), members=("a",), strategies=("mean",), drawn=("mean",),
                promising={"mean": None})  # fmt: skip


def test_wishes_are_asked_and_what_is_none_is_said() -> None:
    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk._ask_row([1.0], "", {"max_ms": "20", "coverage": "0.9", "min_confidence": ""})
        assert apis.asked == [{"rows": [[1.0]], "max_ms": 20.0, "coverage": 0.9, "strategy": None}]
        assert await desk.ask_image(b"", "image/png", "", {"coverage": "2"}) == 0
        assert len(apis.asked) == 1
        assert desk._wishes._problem.text == "'Coverage of the set' takes a share from 0.5 to 0.999; got '2'."
        desk._wishes.chosen("a")
        assert desk._wishes._note is not None
        assert "calibrated is mean" in desk._wishes._note.text
        desk._wishes.chosen("mean")
        assert desk._wishes._note.text == ""

    on_a_page(SETS, OPEN, scenario)


def test_an_answer_that_abstains_is_no_truth_to_confirm() -> None:
    async def scenario(desk: Desk, apis: Apis, scripts: list[str]) -> None:
        await desk._ask_row([1.0], "", {"coverage": "0.9"})
        card = desk._answer
        assert card._promise is not None
        assert card._withheld is not None
        assert card._promise.text == "The truth is 7 or 1 in 90.0 % of such answers."
        assert card._withheld.text == "It abstains. Several labels are possible."
        assert (card._label.text, card._sure.text) == ("–", "No answer")
        assert desk._feedback._right.props.get("disabled")
        assert not desk._feedback._wrong.props.get("disabled")

    one = Prediction(confidence=0.6, set=("7", "1"), abstained=True, reason="ambiguous")
    on_a_page(SETS, Answer("5", "e", (one,), "mean", degraded=False, latency_ms=1.0), scenario)
