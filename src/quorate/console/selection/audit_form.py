"""The form of a pool audit: how members are combined, which metric, what may be lost, which decisions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.looking import problem_of
from quorate.console.selection.audit_words import METRICS, SHARES

PERIODS = (("", "everything that is kept"), ("2592000", "the last 30 days"), ("604800", "the last 7 days"),
           ("86400", "the last 24 hours"))  # fmt: skip
OF_CLASSES, OF_NUMBERS = ("accuracy", "log_loss", "brier", "macro_f1"), ("mse", "mae")
SEND = """(event) => {
  event.preventDefault();
  const form = event.target, one = (name) => form.elements[name]?.value?.trim() ?? '';
  const period = one('period');
  emit({
    strategy: one('strategy'), metric: one('metric'), margin: one('margin'), costs: one('costs'),
    since: period ? Math.floor(Date.now() / 1000) - Number(period) : null,
  });
}"""
PLACES = ("strategy", "metric", "margin", "costs", "since")
"""Fields beside which something may be said; what is about others is said at the end."""

Ask = Callable[[Mapping[str, Any]], Awaitable[None]]


class AuditForm:
    """Asks ``ask`` for an audit; what is refused is said beside its field."""

    def __init__(self, endpoint: Endpoint, ask: Ask) -> None:
        self._ask = ask
        self._problems: dict[str, Node] = {}
        metrics = OF_CLASSES if endpoint.output == "scores" else OF_NUMBERS
        with Node("section", "card", aria_labelledby="ask-title"):
            Node("h2", "", "Audit the pool", id="ask-title")
            with Node("form", "replay-form", autocomplete="off").on("submit", self._submitted, js_handler=SEND):
                with Node("div", "fields open"):
                    own = [("", "as the endpoint does")]
                    names = [(name, name) for name in endpoint.strategies]
                    self._choice("strategy", "Members are combined by", own + names)
                    self._choice("metric", "Metric", [(name, METRICS[name]) for name in metrics])
                    with Node("div", "field"):
                        unit = "points, or the loss's unit" if endpoint.output == "scores" else "the error's unit"
                        Node("label", "", f"May be lost ({unit})", for_="audit-margin")
                        Node("input", "", id="audit-margin", name="margin", inputmode="decimal",
                             placeholder="by default little", aria_describedby="problem-margin")  # fmt: skip
                        self._problem("margin")
                    self._choice("period", "Decisions of", PERIODS, problem="since")
                    with Node("div", "field"):
                        Node("label", "", "Costs, if not measured time", for_="audit-costs")
                        Node("input", "", id="audit-costs", name="costs", placeholder="a=3, b=0.5",
                             spellcheck="false", aria_describedby="problem-costs")  # fmt: skip
                        self._problem("costs")
                self._problem("")
                with Node("div", "tools"):
                    self._button = Node("button", "primary", "Audit", type="submit", data_testid="audit-start")

    def _choice(self, name: str, title: str, options: Sequence[tuple[str, str]], *, problem: str = "") -> None:
        where = problem or name
        with Node("div", "field"):
            Node("label", "", title, for_=f"audit-{name}")
            with Node("select", "", id=f"audit-{name}", name=name, aria_describedby=f"problem-{where}"):
                for each, text in options:
                    Node("option", "", text, value=each)
            self._problem(where)

    def _problem(self, name: str) -> None:
        node = Node("p", "problem slim", role="alert", id=f"problem-{name or 'audit'}")
        node.put(data_testid=f"problem-{name or 'audit'}")
        self._problems[name] = node

    def _say(self, said: Mapping[str, str]) -> None:
        for name, node in self._problems.items():
            node.say(said.get(name, ""))

    async def _submitted(self, event: Any) -> None:
        try:
            asked = read(event.args)
        except Wrong as error:
            self._say({error.field: str(error)})
            return
        self._say({})
        self._button.put(disabled=True)
        try:
            await self._ask(asked)
        except (ControlGone, ControlRefused) as error:
            self._say({place(getattr(error, "path", None)): problem_of(error)})
        finally:
            self._button.put(disabled=False)


class Wrong(ValueError):
    """Something that was typed; ``field`` says where."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def place(path: str | None) -> str:
    """The field beside which a refusal belongs."""
    first = (path or "").partition(".")[0]
    return first if first in PLACES else ""


def read(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed as a question, without the name of what it is about; :class:`Wrong`."""
    found: dict[str, Any] = {name: typed[name] for name in ("strategy", "metric") if typed.get(name)}
    if typed.get("margin"):
        amount = _number(typed["margin"], "margin")
        found["margin"] = amount / 100 if typed.get("metric") in SHARES else amount
    if typed.get("costs"):
        found["costs"] = dict(_cost(each) for each in typed["costs"].split(",") if each.strip())
    if typed.get("since") is not None:
        found["since"] = float(typed["since"])
    return found


def _cost(text: str) -> tuple[str, float]:
    name, sign, amount = text.partition("=")
    if not sign or not name.strip():
        raise Wrong("Costs are written as a=3, b=0.5.", "costs")
    return name.strip(), _number(amount, "costs")


def _number(text: str, field: str) -> float:
    try:
        found = float(text.strip())
    except ValueError:
        raise Wrong(f"'{text.strip()[:20]}' is not a number.", field) from None
    if not 0 <= found < 1e12:
        raise Wrong("A number from 0 on is expected.", field)
    return found
