"""Open pages without a browser: what is hidden stays hidden, what is refused is said, figures are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from nicegui import Client
from nicegui.page import page

from quorate.console.apis import Apis
from quorate.console.control import Control, ControlGone, ControlRefused
from quorate.console.evidence.importing import ImportForm
from quorate.console.evidence.outcomes import OutcomesPage
from quorate.console.parts.looking import Looking
from quorate.console.session import Session

SECRET = "Endpoint 'e' is under experiment 'trial', which hides its arms until the verdict."
REVISION = {"number": 1, "content": {"endpoint": {"value": {"correct": 1.0}}}}
POINTS = [{"at": 60.0 * minute, "rows": 9, "mean": 0.8, "low": 0.7, "high": 0.9} for minute in range(3)]
STRATEGY = {
    "strategy": "arm-a", "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9, "judged_rows": 27,
    "mean_absolute_error": None, "rewards": [],
    "value": {"metric": "value", "rows": 27, "mean": 0.8, "low": 0.7, "high": 0.9},
}  # fmt: skip
OUTCOMES = {
    "endpoint": "e", "rows": 30, "precedence": ["user"], "correction_s": None, "expected_within_s": None,
    "horizon_s": 60.0, "metrics": [], "pending": 0, "gone": 0,
}  # fmt: skip


class Server:
    """Answers as control does; ``refuses`` has what is refused, by the end of the path."""

    def __init__(self, **refuses: Exception) -> None:
        self.refuses = refuses
        self.control = SimpleNamespace(get=self._get)

    async def shared(self, what: Any, look: Callable[[], Any]) -> Any:
        return await look()

    async def _get(self, path: str, key: str | None, *, timeout_s: float) -> Any:
        last = path.partition("?")[0].rpartition("/")[2]
        if last in self.refuses:
            raise self.refuses[last]
        series = [{"strategy": "arm-a", "metric": metric, "points": POINTS} for metric in ("accuracy", "value")]
        return {
            "outcomes": OUTCOMES,
            "e": {"served": {"revision": 1}, "revisions": [REVISION]},
            "timeline": {"since": 0.0, "now": 240.0, "step_s": 60.0, "series": series},
            "report": {"strategies": [STRATEGY]},
            "contested": [],
        }[last]


def on_a_page(scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        client = Client(page("/"), request=None)
        with client:
            await scenario(client)
        client.delete()

    asyncio.run(run())


def texts(client: Client) -> str:
    """Everything that the page would show."""
    said = []
    for element in client.elements.values():
        said += [getattr(element, "text", ""), getattr(element, "content", ""), str(element.props)]
    return " ".join(map(str, said))


def test_outcomes_show_strategies_unless_an_experiment_hides_them() -> None:
    async def scenario(client: Client) -> None:
        opened = Server()
        shown = OutcomesPage(opened, Session("t", None, 0.0), "e", "day", lambda: 0.0, lambda: 600.0)  # type: ignore[arg-type]
        await shown.looking.again()
        assert "arm-a" in texts(client)
        opened.refuses = {each: ControlRefused(SECRET, 409) for each in ("timeline", "report")}
        await shown.looking.again()
        told = texts(client)
        assert "hides its arms until the verdict" in told
        assert "arm-a" not in told
        assert "30" in told

    on_a_page(scenario)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ControlGone("gone"), "Control is not reachable since 5 s; trying again. These are the last figures."),
        (ControlRefused("no", 403), "This needs a key with the role operate."),
        (ControlRefused("no", 401), "Your API key is not valid any more. Log in again with another one."),
        (ControlRefused("The store is busy.", 503), "The store is busy."),
    ],
)
def test_what_is_wrong_is_said_and_it_goes_on(error: Exception, said: str) -> None:
    async def scenario(client: Client) -> None:
        clock, wrong = [0.0], list[Exception]()

        async def look() -> str:
            if wrong:
                raise wrong[0]
            return "All is well."

        looking = Looking(look, lambda: clock[0], every_s=1.0)
        await looking.again()
        assert looking._line.text == "All is well."
        clock[0], wrong = 5.0, [error]
        await looking.again()
        assert looking._line.text == said
        wrong = []
        await looking.again()
        assert looking._line.text == "All is well."

    on_a_page(scenario)


def test_a_file_that_cannot_be_told_is_refused_in_words() -> None:
    class Fails:
        async def outcomes(self, told: Any) -> Any:
            from quorate.client import QuorateClientError

            raise QuorateClientError("no", status=403)

    async def scenario(client: Client) -> None:
        form = ImportForm("/import/x", client)
        asked = {"name": "t.csv", "id": "id", "truth": "truth"}
        said = await form.take(b"id,truth\na,1\n", asked, Fails())
        assert said == "Your key may not tell outcomes; it needs the role outcome."
        assert (
            await form.take(b"id,id\na,1\n", asked, Fails()) == "The CSV header names a column twice; name each once."
        )

    on_a_page(scenario)


def test_files_come_in_pieces_or_are_refused_before_the_first() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/good":
            return httpx.Response(200, content=b"abc" * 1000)
        return httpx.Response(409, json={"detail": "It is not done.", "path": "id"})

    async def run() -> None:
        control = Control("http://x", httpx.MockTransport(answer))
        assert b"".join([each async for each in await control.pieces("/good", "k")]) == b"abc" * 1000
        with pytest.raises(ControlRefused, match="not done") as refused:
            await control.pieces("/bad", None)
        assert (refused.value.status, refused.value.path) == (409, "id")
        await control.aclose()

    asyncio.run(run())


def test_what_was_changed_is_looked_at_anew() -> None:
    async def run() -> None:
        apis, looks = Apis("http://x", "http://y", lambda: 0.0), [0]

        async def look() -> int:
            looks[0] += 1
            return looks[0]

        assert [await apis.shared(("a", None), look) for _ in range(2)] == [1, 1]
        apis.drop("a", None)
        apis.drop("never looked at", None)
        assert await apis.shared(("a", None), look) == 2
        await apis.aclose()

    asyncio.run(run())
