"""What a policy has learned: each strategy's evidence, the guard rails, and what the traffic was given over time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from nicegui.events import GenericEventArguments

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.parts.boards import trusted

COLOURS = 7


class ArmsBoard:
    """Each strategy in a row: its share from now on, and what is known of it."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="arms-title"):
            Node("h2", "", "Strategies", id="arms-title")
            self._lead = Node("p", "quiet note", " ")
            scroll = Node("div", "scroll", tabindex="0", role="region", aria_label="Table of strategies")
            with scroll, Node("table"):
                with Node("thead"), Node("tr"):
                    for title, classes in (
                        ("Strategy", ""),
                        ("Share from now on", ""),
                        ("Best of all", "figure"),
                        ("Rewards known", "figure"),
                        ("Their mean", "figure"),
                    ):
                        Node("th", classes, title, scope="col")
                self._body = Node("tbody", "", data_testid="arms")
        self._rows: dict[str, tuple[Node, Node, Node, Node, Node]] = {}

    def show(self, learned: Mapping[str, Any]) -> None:
        """Fill the rows, making those that are new."""
        arms, reward = learned["arms"], learned["reward"]
        self._lead.say(learns_from(reward))
        names = [arm["strategy"] for arm in arms]
        if names != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {name: _arm_row(name, index) for index, name in enumerate(names)}
        for arm in arms:
            share, fill, best, known, mean = self._rows[arm["strategy"]]
            share.say(words.percent(arm["share"]))
            fill.grow(arm["share"])
            best.say(words.percent(arm["best"]))
            known.say(words.DASH if arm["known"] is None else f"{arm['known']:,.6g}")
            mean.say(words.DASH if arm["mean"] is None else f"{arm['mean']:.4g}")


def learns_from(reward: Mapping[str, Any] | None) -> str:
    """What is learned from, in a sentence."""
    if reward is None:
        return "The policy does not learn; what is learned is whom its strategies' combiners trust."
    return f"It learns from {reward['metric']}: {reward['low']:g} counts as 0 and {reward['high']:g} as 1."


class CombinersBoard:
    """Combiners that learn, in sentences; hidden where there is none."""

    def __init__(self, endpoint: str) -> None:
        with Node("section", "card", aria_labelledby="combiners-title", hidden=True) as self._card:
            Node("h2", "", "Combiners", id="combiners-title")
            self._list = Node("ul", "why-list", data_testid="combiners")
            with Node("p", "note"):
                where = f"/selection/trust?{urlencode({'endpoint': endpoint})}"
                Node("a", "", "Who is trusted, and how that moved", href=where)
        self._shown: list[str] = []

    def show(self, combiners: Mapping[str, Mapping[str, Any]]) -> None:
        """Say whom they trust, and what is promised."""
        said = [
            f"{trusted(name, told)} A draw by it has lost at most {told['certificate']:.4g} more than any expert."
            for name, told in combiners.items()
        ]
        if said == self._shown:
            return
        self._shown = said
        self._card.put(hidden=not said)
        self._list.clear()
        with self._list:
            for line in said:
                Node("li", "", line)


def _arm_row(name: str, index: int) -> tuple[Node, Node, Node, Node, Node]:
    with Node("tr", data_arm=name):
        with Node("th", "", scope="row"):
            Node("span", f"swatch p{index % COLOURS}", aria_hidden="true")
            Node("span", "", name)
        with Node("td"):
            share = Node("span", "", words.DASH)
            with Node("span", "share", aria_hidden="true"):
                fill = Node("span", "fill")
        best, known, mean = (Node("td", "figure", words.DASH) for _ in range(3))
    return share, fill, best, known, mean


class GuardBoard:
    """The guard rails in sentences, and what became of the rows."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="guard-title"):
            Node("h2", "", "Guard rails", id="guard-title")
            self._guard = Node("ul", "why-list", data_testid="guard")
        with Node("section", "card", aria_labelledby="rows-title"):
            Node("h2", "", "What it learned from", id="rows-title")
            self._rows = Node("ul", "why-list", data_testid="rows")
        self._shown: Any = None

    def show(self, learned: Mapping[str, Any], now: float) -> None:
        """Say how it stands."""
        lines = (guard_rails(learned["guard"]), rows(learned, now))
        if lines == self._shown:
            return
        self._shown = lines
        for place, told in zip((self._guard, self._rows), lines, strict=True):
            place.clear()
            with place:
                for text in told:
                    Node("li", "", text)


def guard_rails(guard: Mapping[str, Any] | None) -> list[str]:
    """Floor, baseline and tolerance in sentences."""
    if guard is None:
        return ["This kind of policy has none."]
    floor = guard["floor"]
    said = [
        f"Floor: every strategy keeps at least {words.percent(floor)} of the traffic."
        if floor
        else "No floor: a strategy may get no traffic at all, and then nothing more is learned of it."
    ]
    if guard["baseline"] is None:
        return [*said, "No baseline is named."]
    said.append(
        f"Baseline: “{guard['baseline']}”. The policy may fall behind it by {guard['tolerance']:g} reward a request "
        "(rewards from 0 to 1)."
    )
    if guard["bound"] is None:
        said.append("Nothing is known yet of how the traffic compares with the baseline.")
    else:
        least = f"{guard['bound']:+.3f}".replace("-", "−")
        said.append(f"Compared with it, the traffic earns at least {least} reward a request (95 % sure at every look).")
    said.append(
        "The baseline has the traffic now, but for the floors."
        if guard["guarded"]
        else "The policy has the traffic; the baseline does not hold it back."
    )
    return said


OTHER_ROWS = {
    "learned": "{} learned from",
    "not_drawn": "{} of callers who chose a strategy themselves, which say nothing of the policy",
    "other_policy": "{} of decisions that another policy, or other strategies, made",
    "failed": "{} that the policy could not learn from; the log says why",
}


def rows(learned: Mapping[str, Any], now: float) -> list[str]:
    """How many rows, what became of them, and since when."""
    said = [
        OTHER_ROWS.get(name, "{} " + name.replace("_", " ")).format(words.counted(count, "row")) + "."
        for name, count in learned["rows"].items()
        if count
    ] or ["Nothing was learned yet."]
    if learned["since"] is not None:
        said.append(f"It began {words.ago(max(0.0, now - learned['since']))} ago.")
    if learned["updated"] is not None:
        said.append(f"State {learned['version']}, {words.ago(max(0.0, now - learned['updated']))} old.")
    return said


PERIODS = {"1": "the last hour", "24": "the last day", "168": "the last week", "720": "the last 30 days"}
"""Hours, and how they are called."""
CHOOSE = "(event) => emit(event.target.value)"


class SharesBoard:
    """What the traffic was given, over time: a stack a stretch. ``chosen()`` is called when another time is."""

    def __init__(self, chosen: Callable[[], Awaitable[None]]) -> None:
        self.hours = next(iter(PERIODS))
        self._chosen = chosen
        with Node("section", "card wide", aria_labelledby="shares-title"):
            with Node("div", "heading"):
                Node("h2", "", "What the traffic was given", id="shares-title")
                with Node("select", "", aria_label="Over which time").on("change", self._choose, js_handler=CHOOSE):
                    for hours, title in PERIODS.items():
                        Node("option", "", title, value=hours)
            self._chart = Node("div", "stacks", role="img", aria_label="Not known yet", data_testid="shares")
            with Node("p", "axis quiet note", aria_hidden="true"):
                self._from = Node("span", "", " ")
                Node("span", "", "now")
            self._legend = Node("ul", "legend")
            self._note = Node("p", "quiet note", " ")
        self._shown: Any = None

    async def _choose(self, event: GenericEventArguments) -> None:
        if event.args in PERIODS:
            self.hours = str(event.args)
            await self._chosen()

    def show(self, found: Mapping[str, Any]) -> None:
        """Draw the stretches; those without requests stay empty."""
        stretches, names = found["stretches"], found["strategies"]
        if (stretches, names) == self._shown:
            return
        self._shown = (stretches, names)
        self._chart.clear()
        with self._chart:
            for each in stretches:
                total = sum(each["requests"].values())
                with Node("span", "", title=f"{_at(each['at'])}: {told(each['requests']) or 'no requests'}"):
                    for index, name in enumerate(names):
                        if total and each["requests"].get(name):
                            Node("i", f"p{index % COLOURS}").style(f"flex:{each['requests'][name] / total:.4f}")
        self._legend.clear()
        with self._legend:
            for index, name in enumerate(names):
                with Node("li"):
                    Node("span", f"swatch p{index % COLOURS}", aria_hidden="true")
                    Node("span", "", name)
        asked = [each for each in stretches if sum(each["requests"].values())]
        self._from.say(_at(stretches[0]["at"]) if stretches else " ")
        self._chart.put(aria_label=described(asked))
        minutes = words.counted(found["stretch_s"] / 60, "minute")
        self._note.say(f"Each column is {minutes}; requests that callers chose a strategy for are left out.")


def described(asked: list[Mapping[str, Any]]) -> str:
    """The chart in words: the first and the last stretch that had requests."""
    if not asked:
        return "No requests in this time"
    first, last = asked[0], asked[-1]
    return f"Shares of requests: {told(first['requests'])} at {_at(first['at'])}, {told(last['requests'])} at the end"


def told(requests: Mapping[str, int]) -> str:
    """``a 75.0 %, b 25.0 % of 8``."""
    total = sum(requests.values())
    shares = ", ".join(f"{name} {words.percent(count / total)}" for name, count in requests.items() if count)
    return f"{shares} of {total:,}" if total else ""


def _at(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%-d %b, %H:%M} UTC"
