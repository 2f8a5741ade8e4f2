"""Try it: give an input, see the answer and how it came about, say whether it was right."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nicegui import background_tasks, ui
from nicegui.client import Client
from nicegui.events import GenericEventArguments

from quorate.client import Answer, QuorateClientError
from quorate.console import words
from quorate.console.apis import Apis, in_words
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.answer import AnswerCard
from quorate.console.parts.feedback import Feedback
from quorate.console.parts.form import RowForm
from quorate.console.parts.history import History
from quorate.console.parts.picker import Picker
from quorate.console.parts.record import Entry, of_answer, stages_of, votes_of
from quorate.console.parts.votes import Preview, VotesTable
from quorate.console.parts.wishes import Wishes, read
from quorate.console.session import Session
from quorate.errors import QuorateError

COPY = """(event) => {
  const id = document.getElementById('decision').textContent;
  navigator.clipboard?.writeText(id).then(() => {
    const button = event.target; button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}"""
NOTHING: Mapping[str, Any] = MappingProxyType({})
TOLD_EVERY_S = 3.0
FIND_AGAIN_S = (0.0, 0.15, 0.5, 1.0)
"""Pauses before looking a decision up: it may take a moment until the journal has it where nothing waits for that."""


class Desk:
    """One open page: where inputs come in and answers are shown. The newest question is the one that is shown."""

    def __init__(self, apis: Apis, session: Session, endpoint: Endpoint, client: Client, url: str) -> None:
        self._apis = apis
        self._session = session
        self._endpoint = endpoint
        self._client = client
        self._asked = 0
        self._shown: Entry | None = None
        with Node("div", "try"):
            with Node("section", "card input", aria_labelledby="input-title"):
                Node("h1", "", endpoint.name, id="input-title")
                self._strategies()
                self._wishes = Wishes(endpoint)
                if endpoint.kind == "image":
                    Picker(url, self._thumb)
                else:
                    RowForm(endpoint, self._ask_row)
            with Node("section", "card answer", aria_labelledby="answer-title"):
                Node("h2", "unseen", "Answer", id="answer-title")
                self._answer = AnswerCard(endpoint)
                self._feedback = Feedback(endpoint, self._tell)
                if not endpoint.blind:
                    with Node("p", "decision quiet"):
                        Node("span", "", "Decision ")
                        self._id = Node("code", "", words.DASH, id="decision")
                        self._more = Node("a", "more-link", "In full", hidden=True, data_testid="in-full")
                        self._copy = Node("button", "small", "Copy", type="button", disabled=True)
                        self._copy.on("click", js_handler=COPY)
            if not endpoint.blind:
                with Node("section", "card why", aria_labelledby="why-title"):
                    Node("h2", "", "How it came about", id="why-title")
                    self._preview = Preview() if endpoint.kind == "image" else None
                    self._votes = VotesTable(endpoint)
                    self._stages = Node("p", "quiet note", " ", data_testid="stages") if endpoint.staged else None
            if not endpoint.told:
                self._waiting = ui.timer(TOLD_EVERY_S, self._told)
            mine = [entry for entry in session.history if entry.endpoint == endpoint.name]
            self._history = History(mine, self._show)

    def _strategies(self) -> None:
        endpoint = self._endpoint
        with Node("div", "field strategy"):
            Node("label", "", "Answered by", for_="strategy")
            chosen = Node("select", "", id="strategy", disabled=not endpoint.may_choose)
            chosen.on("change", self._chosen, js_handler="(event) => emit(event.target.value)")
            with chosen:
                Node("option", "", "the endpoint's policy", value="")
                if endpoint.may_choose:
                    for title, names in (("Strategies", endpoint.strategies), ("Single members", endpoint.members)):
                        with Node("optgroup", label=title):
                            for name in names:
                                Node("option", "", name, value=name)
        if endpoint.blind:
            Node("p", "quiet note", "Blind: nobody may choose who answers.")
        elif not endpoint.told:
            Node(
                "p",
                "quiet note",
                "Strategies and members are shown with a key that has the role operate, while control runs.",
            )
        elif endpoint.may_choose:
            Node("p", "quiet note", f"The policy: {endpoint.policy}.")
        else:
            Node("p", "quiet note", "This endpoint does not let callers choose (caller_may_choose).")

    def _chosen(self, event: GenericEventArguments) -> None:
        self._wishes.chosen(str(event.args))

    async def _told(self) -> None:
        """Load the page again once control tells what it could not when the page was opened."""
        opens = (await self._apis.doors(self._session.key)).control
        if opens is not None:
            self._waiting.deactivate()
        if opens:
            self._client.run_javascript("location.reload()")

    # --- asking ---

    async def ask_image(self, body: bytes, content_type: str, strategy: str, typed: Mapping[str, Any] = NOTHING) -> int:
        """Ask about an encoded picture; returns the number of the question when its answer is shown.

        ``typed`` are wishes; 0 where one of them is none, which the page says.
        """
        return await self._ask({"image": body}, strategy, typed, "picture", (body, content_type))

    async def _ask_row(self, row: Any, strategy: str, typed: Mapping[str, Any] = NOTHING) -> None:
        await self._ask({"rows": [row]}, strategy, typed, "row", None)

    async def _ask(
        self,
        what: dict[str, Any],
        strategy: str,
        typed: Mapping[str, Any],
        kind: str,
        picture: tuple[bytes, str] | None,
    ) -> int:
        try:
            wishes: dict[str, Any] = {**read(typed)}
        except ValueError as error:
            self._wishes.complain(str(error))
            return 0
        self._wishes.complain("")
        self._session.asked += 1
        number = self._asked = self._session.asked
        self._answer.wait()
        try:
            answer: Answer = await self._apis.client(self._session.key).predict(
                self._endpoint.name, **what, **wishes, strategy=strategy or None
            )
        except QuorateError as error:
            if number == self._asked:
                self._clear()
                self._answer.fail(in_words(error) if isinstance(error, QuorateClientError) else error.message)
            return number
        promised = wishes.get("coverage", self._endpoint.promising.get(answer.strategy or ""))
        entry = of_answer(answer, number, kind, self._endpoint.units, promised)
        self._session.history.appendleft(entry)
        if self._client.is_deleted:
            return number
        if entry.blind and self._endpoint.told and not self._endpoint.blind:
            # It has become blind since the page was opened: made again, the page has no place for votes.
            self._client.run_javascript("location.reload()")
            return number
        with self._client:
            self._history.add(entry)
        if number == self._asked:
            self._show(entry)
        if not entry.blind:
            background_tasks.create(self._explain(entry, picture), name=f"explain {entry.id}")
        return number

    def _clear(self) -> None:
        self._shown = None
        self._feedback.show(None)
        if not self._endpoint.blind:
            self._id.say(words.DASH)
            self._copy.put(disabled=True)
            self._more.put(hidden=True)
            self._votes.clear()
            if self._stages is not None:
                self._stages.say(" ")
            if self._preview is not None:
                self._preview.show(None)

    def _show(self, entry: Entry) -> None:
        self._shown = entry
        self._answer.show(entry)
        self._feedback.show(entry)
        if not self._endpoint.blind:
            self._id.say(entry.id)
            self._copy.put(disabled=False)
            self._more.put(hidden=not self._endpoint.told, href=f"/decision?id={entry.id}")
            self._show_why(entry)

    def _show_why(self, entry: Entry) -> None:
        if self._shown is entry and not self._client.is_deleted:
            self._votes.show(entry)
            if self._stages is not None:
                self._stages.say(entry.stages or " ")
            if self._preview is not None:
                self._preview.show(entry)

    # --- how it came about ---

    async def _explain(self, entry: Entry, picture: tuple[bytes, str] | None) -> None:
        parts = [self._find_votes(entry)]
        if picture is not None:
            parts.append(self._find_preview(entry, *picture))
        await asyncio.gather(*parts)

    async def _find_votes(self, entry: Entry) -> None:
        key = self._session.key
        for pause in FIND_AGAIN_S:
            await asyncio.sleep(pause)
            try:
                found = await self._apis.control.get(f"/v1/decisions/{entry.id}", key)
                entry.votes, entry.stages = votes_of(found), stages_of(found)
                break
            except ControlGone:
                entry.votes_note = "Votes cannot be shown: control is not reachable. Answers do not need it."
            except ControlRefused as error:
                if error.status in (401, 403):
                    entry.votes_note = "Votes are shown with a key that has the role operate."
                    break
                entry.votes_note = f"Votes cannot be shown: {error.message}"
        self._show_why(entry)

    async def _find_preview(self, entry: Entry, body: bytes, content_type: str) -> None:
        if not self._endpoint.members:
            entry.preview_note = "What the models see is not known without control."
        else:
            member = self._endpoint.members[0]
            try:
                png = await self._apis.control.preview(member, body, content_type, self._session.key)
                entry.preview = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            except ControlGone:
                entry.preview_note = "Not shown: control is not reachable."
            except ControlRefused as error:
                entry.preview_note = f"Not shown: {error.message}"
        self._show_why(entry)

    # --- what people say ---

    async def _tell(self, entry: Entry, said: str) -> str | None:
        try:
            truth = float(said) if self._endpoint.output == "values" else said
        except ValueError:
            return "The true value is a number."
        try:
            receipt = await self._apis.client(self._session.key).outcome(entry.id, truth=truth)
        except QuorateError as error:
            if isinstance(error, QuorateClientError) and error.status == 403:
                return "Your key may not report truths; it needs the role outcome."
            return in_words(error) if isinstance(error, QuorateClientError) else error.message
        if receipt.rejected:
            return receipt.rejected[0].detail
        entry.truth = said
        self._history.refresh(entry)
        return None

    def _thumb(self, number: int, url: str) -> None:
        for entry in self._session.history:
            if entry.number == number and entry.endpoint == self._endpoint.name:
                entry.thumb = url
                self._history.refresh(entry)
