"""The form of a replay: which candidates, which decisions, which metric."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.wording import named
from quorate.console.parts.looking import refused

PERIODS = (("604800", "the last 7 days"), ("86400", "the last 24 hours"), ("3600", "the last hour"),
           ("", "everything that is kept"), ("between", "between two times"))  # fmt: skip
METHODS = (("auto", "exact where possible"), ("exact", "exact only"), ("off-policy", "by propensities only"))
SEND = """(event) => {
  event.preventDefault();
  const form = event.target, one = (name) => form.elements[name]?.value?.trim() ?? '';
  const at = (name) => one(name) ? new Date(one(name)).getTime() / 1000 : null;
  let since = null, until = null;
  const period = one('period');
  if (period === 'between') { since = at('since'); until = at('until'); }
  else if (period) since = Math.floor(Date.now() / 1000) - Number(period);
  emit({
    names: [...form.querySelectorAll('input[name=name]:checked')].map((box) => box.value),
    strategy: one('strategy'), policy: one('policy'), metric: one('metric'), method: one('method'),
    revision: one('revision'), since, until,
  });
}"""
BETWEEN = "(event) => { document.getElementById('between').hidden = event.target.value !== 'between'; }"
PLACES = ("strategy", "policy", "until", "metric", "revision")
"""Fields beside which something may be said; what is about others is said at the end."""


class Candidate(NamedTuple):
    """What is asked about: a strategy (its name, or a definition) or a policy."""

    kind: Literal["strategy", "policy"]
    what: str | Mapping[str, Any]
    field: str


Ask = Callable[[list[Candidate], Mapping[str, Any]], Awaitable[list[tuple[Candidate, ControlRefused]]]]


class ReplayForm:
    """Asks ``ask`` for a replay of each candidate; what is refused is said beside its field."""

    def __init__(self, endpoint: Endpoint, ask: Ask) -> None:
        self._ask = ask
        self.offered: list[str] = []
        self._problems: dict[str, Node] = {}
        with Node("section", "card", aria_labelledby="ask-title"):
            Node("h2", "", "What if …", id="ask-title")
            with Node("form", "replay-form", autocomplete="off").on("submit", self._submitted, js_handler=SEND):
                self._candidates(endpoint)
                with Node("div", "fields open"):
                    self._decisions()
                    self._metric = self._choice("metric", "Metric", [("", _default(endpoint))])
                    self._choice("method", "Method", METHODS)
                    with Node("div", "field"):
                        Node("label", "", "Only of revision", for_="replay-revision")
                        Node("input", "", id="replay-revision", name="revision", type="number", min="1", step="1",
                             placeholder="any", aria_describedby="problem-revision")  # fmt: skip
                        self._problem("revision")
                self._problem("")
                with Node("div", "tools"):
                    self._button = Node("button", "primary", "Replay", type="submit", data_testid="replay-start")

    def _candidates(self, endpoint: Endpoint) -> None:
        for title, names in (("Strategies of the endpoint", endpoint.strategies), ("A member alone", endpoint.members)):
            with Node("fieldset", "checks"):
                Node("legend", "", title)
                for name in names:
                    with Node("label"):
                        Node("input", "", type="checkbox", name="name", value=name)
                        Node("span", "", name)
        self._problem("strategy")
        with Node("details"):
            Node("summary", "", "A strategy or policy that is not in quorate.yaml")
            with Node("div", "fields open two"):
                for name, title, hint in (
                    ("strategy", "A strategy, as in quorate.yaml", "{kind: vote, voting: hard, members: [a, b]}"),
                    ("policy", "A policy, as in quorate.yaml", "{kind: split, weights: {a: 3, b: 1}}"),
                ):
                    with Node("div", "field"):
                        Node("label", "", title, for_=f"replay-{name}")
                        Node("textarea", "", id=f"replay-{name}", name=name, rows=3, placeholder=hint,
                             spellcheck="false", aria_describedby=f"problem-{name}")  # fmt: skip
                        if name == "policy":
                            self._problem("policy")

    def _decisions(self) -> None:
        with Node("div", "field"):
            Node("label", "", "Decisions of", for_="replay-period")
            period = Node("select", "", id="replay-period", name="period", aria_describedby="problem-until")
            with period.on("change", js_handler=BETWEEN):
                for each, title in PERIODS:
                    Node("option", "", title, value=each)
            self._problem("until")
        with Node("div", "fields open between", hidden=True, id="between"):
            for name, title in (("since", "From (your time)"), ("until", "Until (your time)")):
                with Node("div", "field"):
                    Node("label", "", title, for_=f"replay-{name}")
                    Node("input", "", id=f"replay-{name}", name=name, type="datetime-local")

    def _choice(self, name: str, title: str, options: Sequence[tuple[str, str]]) -> Node:
        with Node("div", "field"):
            Node("label", "", title, for_=f"replay-{name}")
            with Node("select", "", id=f"replay-{name}", name=name) as choice:
                for each, text in options:
                    Node("option", "", text, value=each)
            if name in PLACES:
                self._problem(name)
        return choice

    def _problem(self, name: str) -> None:
        node = Node("p", "problem slim", role="alert", id=f"problem-{name or 'replay'}")
        node.put(data_testid=f"problem-{name or 'replay'}")
        self._problems[name] = node

    def offer(self, metrics: list[str]) -> None:
        """Rewards that there are, as metrics."""
        fresh = [metric for metric in metrics if metric not in self.offered]
        self.offered += fresh
        with self._metric:
            for metric in fresh:
                Node("option", "", named(metric), value=metric)

    def _say(self, said: Mapping[str, str]) -> None:
        for name, node in self._problems.items():
            node.say(said.get(name, ""))

    async def _submitted(self, event: Any) -> None:
        try:
            asked, common = read(event.args)
        except Wrong as error:
            self._say({error.field: str(error)})
            return
        self._say({})
        self._button.put(disabled=True)
        try:
            wrong = await self._ask(asked, common)
        except ControlGone:
            self._say({"": "Control is not reachable; it is started again by itself. Try once more in a moment."})
        else:
            said: dict[str, str] = {}
            for candidate, why in wrong:
                field = place(why.path, candidate)
                one = candidate.what if isinstance(candidate.what, str) and len(wrong) > 1 else ""
                said[field] = f"{said.get(field, '')} {f'{one}: ' if one else ''}{refused(why)}".strip()
            self._say(said)
        finally:
            self._button.put(disabled=False)


class Wrong(ValueError):
    """Something that was typed; ``field`` says where."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def place(path: str | None, candidate: Candidate) -> str:
    """The field beside which a refusal belongs."""
    first = (path or "").partition(".")[0]
    if first in ("strategy", "policy"):
        return candidate.field
    if first == "since":
        return "until"
    return first if first in PLACES else ""


def read(typed: Mapping[str, Any]) -> tuple[list[Candidate], dict[str, Any]]:
    """What was typed, as candidates and what all their questions share; :class:`Wrong`."""
    found = [Candidate("strategy", str(name), "strategy") for name in typed.get("names", ())]
    if typed.get("strategy"):
        found.append(Candidate("strategy", _declared(typed["strategy"], "strategy"), "strategy"))
    if typed.get("policy"):
        found.append(Candidate("policy", _declared(typed["policy"], "policy"), "policy"))
    if not found:
        raise Wrong("Choose a strategy or a member, or describe a strategy or policy.", "strategy")
    since, until = typed.get("since"), typed.get("until")
    if since is not None and until is not None and since >= until:
        raise Wrong("The first time must be before the second.", "until")
    common: dict[str, Any] = {"method": typed.get("method") or "auto"}
    common |= {name: float(each) for name, each in (("since", since), ("until", until)) if each is not None}
    if typed.get("metric"):
        common["metric"] = typed["metric"]
    if typed.get("revision"):
        if not str(typed["revision"]).isdigit() or int(typed["revision"]) < 1:
            raise Wrong("A revision is a whole number from 1.", "revision")
        common["revision"] = int(typed["revision"])
    return found, common


def _declared(text: str, field: str) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise Wrong(f"This is not YAML{where}: {getattr(error, 'problem', None) or error}.", field) from None
    if not isinstance(found, dict):
        raise Wrong(f"Expected a {field} as in quorate.yaml, such as {{kind: …}}; got {str(found)[:40]!r}.", field)
    return found


def _default(endpoint: Endpoint) -> str:
    return "accuracy" if endpoint.output == "scores" else "absolute error"
