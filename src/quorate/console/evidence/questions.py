"""Questions about the past on a page: the newest of an endpoint, the answer of one, and stopping it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.table import Column, Line, Table
from quorate.console.evidence.wording import OPEN, STATES, lasting, when
from quorate.console.parts.looking import Looking, refused
from quorate.console.session import Session

EVERY_S = 2.0
PATIENCE_S = 10.0
REMEMBERED = 100
"""Questions of all endpoints that are looked at."""
FOCUS = "document.getElementById('answer-title')?.focus()"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question, called ``name`` by people and ``path`` by the control port; its field ``about`` names the
    endpoint. ``title`` of the page has the endpoint at ``{}``, ``lead`` says what the page is for. ``columns`` are the
    table's, ``empty`` is said where it has no row."""

    name: str
    path: str
    about: str
    title: str
    lead: str
    columns: tuple[Column, ...]
    empty: str


class QuestionCard(ABC):
    """A card that shows one question; ``cancel`` stops it and returns what went wrong, in words."""

    def __init__(self, name: str, cancel: Callable[[str], Awaitable[str]]) -> None:
        self._name, self._cancel = name, cancel
        self._id = ""
        self._last: tuple[str, str] | None = None
        with Node("section", "card", aria_labelledby="answer-title", hidden=True, data_testid=name) as self._card:
            self._title = Node("h2", "", "", id="answer-title", tabindex="-1")
            self._about = Node("p", "quiet note", " ")
            self._said = Node("p", "said", "", role="status", data_testid=f"{name}-said")
            sentences = self._sentences()
            with Node("div", "tools") as self._tools:
                self._stop = Node("button", "", f"Stop this {name}", type="button").on("click", self._stopped, [])
            self._problem = Node("p", "problem", role="alert")
            self._warnings = Node("ul", "problems", data_testid=f"{name}-warnings")
            self._answered = (*sentences, self._parts())

    @abstractmethod
    def _sentences(self) -> Sequence[Node]:
        """Make what is below the first sentence of an answer."""

    @abstractmethod
    def _parts(self) -> Node:
        """Make what is below the warnings."""

    @abstractmethod
    def _asked(self, found: Mapping[str, Any]) -> tuple[str, str]:
        """A title for a question, and in a few words what it asks."""

    @abstractmethod
    def _answer(self, answer: Mapping[str, Any]) -> None:
        """Fill in an answer."""

    def focus(self) -> None:
        """Bring it to who has chosen it."""
        self._card.client.run_javascript(FOCUS)

    async def _stopped(self) -> None:
        self._stop.put(disabled=True)
        self._problem.say(await self._cancel(self._id))

    def show(self, found: Mapping[str, Any] | None) -> None:
        """Show a question; None where there is none."""
        self._card.put(hidden=found is None)
        if found is None:
            return
        if found["id"] != self._id:
            self._id = found["id"]
            self._problem.say("")
        state, answer, error = found["state"], found["answer"], found["error"]
        if (found["id"], state) == self._last:
            return
        self._last = (found["id"], state)
        title, asked = self._asked(found)
        self._title.say(title)
        took = "" if answer is None else f" It took {lasting(answer['seconds'])}."
        self._about.say(f"Asked {when(found['created'])} by {found['author']}: {asked}.{took}")
        self._tools.put(hidden=state not in OPEN)
        self._stop.put(disabled=False)
        self._said.flag("refused", error is not None)
        for node in self._answered:
            node.put(hidden=answer is None)
        if answer is None:
            fill(self._warnings, [])
            why = f"No answer: {error['message']}" if error else f"This {self._name} {STATES.get(state, state)}."
            self._said.say(why)
        else:
            fill(self._warnings, answer["warnings"], "warn")
            self._answer(answer)


class QuestionPage(ABC):
    """One open page; ``now`` is monotonic seconds. The newest question is shown until another one is chosen."""

    kind: ClassVar[Kind]

    def __init__(self, apis: Apis, session: Session, endpoint: Endpoint, now: Callable[[], float]) -> None:
        self._apis, self._session, self._endpoint = apis, session, endpoint
        self._found: dict[str, Mapping[str, Any]] = {}
        self._shown: str | None = None
        self._chosen = False
        Node("h1", "", self.kind.title.format(endpoint.name))
        Node("p", "quiet lead", self.kind.lead)
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        many = f"{self.kind.name}s"
        with Node("div", "board one"):
            self._ask_with()
            with Node("section", "card", aria_labelledby=f"{many}-title"):
                Node("h2", "", many.capitalize(), id=f"{many}-title")
                self._table = Table(many.capitalize(), self.kind.columns, empty=self.kind.empty, on_pick=self._pick)
            self._answer = self._answering()

    @abstractmethod
    def _ask_with(self) -> None:
        """Make the form."""

    @abstractmethod
    def _answering(self) -> QuestionCard:
        """Make the card."""

    @abstractmethod
    async def _offer(self) -> None:
        """Offer in the form what is known by now."""

    @abstractmethod
    def _lines(self, found: Sequence[Mapping[str, Any]]) -> list[Line]:
        """The rows of the table."""

    @property
    def _newest(self) -> str:
        return f"{self.kind.path}?limit={REMEMBERED}"

    async def _look(self) -> str:
        key, path = self._session.key, self._newest
        found = await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))
        await self._offer()
        mine = [each for each in found if each[self.kind.about] == self._endpoint.name]
        self._found = {each["id"]: each for each in mine}
        self._table.show(self._lines(mine))
        if self._shown not in self._found or not self._chosen:
            self._shown = mine[0]["id"] if mine else None
        self._show()
        waiting = sum(each["state"] in OPEN for each in found)
        if not waiting:
            return f"No {self.kind.name} is under way."
        return f"{waiting} under way; one runs at a time, with the lowest priority."

    def _pick(self, question_id: str) -> None:
        self._shown, self._chosen = question_id, True
        self._show()
        self._answer.focus()

    def _show(self) -> None:
        self._table.mark(self._shown)
        self._answer.show(self._found.get(self._shown or ""))

    async def _send(self, asked: Mapping[str, Any]) -> None:
        """Ask it; :class:`ControlRefused`."""
        body = {self.kind.about: self._endpoint.name, **asked}
        key = self._session.key
        made = await self._apis.control.send("POST", self.kind.path, key, body=body, timeout_s=PATIENCE_S)
        self._shown, self._chosen = made["id"], False

    async def _again(self) -> None:
        self._apis.drop(self._newest, self._session.key)
        await self.looking.again()

    async def _cancel(self, question_id: str) -> str:
        try:
            await self._apis.control.send("DELETE", f"{self.kind.path}/{question_id}", self._session.key)
        except ControlRefused as error:
            return refused(error)
        await self._again()
        return ""


def fill(place: Node, said: Sequence[str], classes: str = "") -> None:
    """A list of sentences; hidden where there is none."""
    place.clear()
    place.put(hidden=not said)
    with place:
        for each in said:
            Node("li", classes, each)
