"""Replay: ask what another strategy or policy would have earned, follow it, read the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console.control import ControlRefused
from quorate.console.evidence.questions import PATIENCE_S, Kind, QuestionPage
from quorate.console.evidence.replay_answer import ReplayAnswer
from quorate.console.evidence.replay_form import Candidate, ReplayForm
from quorate.console.evidence.replay_words import line, scales
from quorate.console.evidence.table import Column, Line


class ReplayPage(QuestionPage):
    """The page of replays."""

    kind = Kind(
        "replay",
        "/v1/replays",
        about="endpoint",
        title="Replay of {}",
        lead="What would have been if another strategy or policy had been live: recorded outputs are combined anew, or "
        "decisions weighted by how likely they were. No model is run and nothing is changed.",
        columns=(
            Column("What if"),
            Column("How it stands", "text"),
            Column("Would have been"),
            Column("Was"),
            Column("Difference, with 95 % interval"),
            Column("Decisions", "figure"),
            Column("Effective", "figure"),
        ),
        empty="No replay was asked for yet. Choose a strategy above, and say which decisions are to be replayed.",
    )

    def _ask_with(self) -> None:
        self._form = ReplayForm(self._endpoint, self._ask)

    def _answering(self) -> ReplayAnswer:
        return ReplayAnswer("replay", self._cancel)

    def _lines(self, found: Sequence[Mapping[str, Any]]) -> list[Line]:
        return [line(each, place) for each, place in zip(found, scales(found), strict=True)]

    async def _offer(self) -> None:
        """The rewards that were told of, which are metrics of replays."""
        if self._form.offered:
            return
        path = f"/v1/endpoints/{self._endpoint.name}/outcomes"
        found = await self._apis.control.get(path, self._session.key, timeout_s=PATIENCE_S)
        self._form.offer([each["metric"] for each in found["metrics"] if each["metric"] != "truth"])

    async def _ask(self, asked: list[Candidate], common: Mapping[str, Any]) -> list[tuple[Candidate, ControlRefused]]:
        """Start a replay of each; those that were refused, with what was said."""
        wrong = []
        for each in asked:
            try:
                await self._send({each.kind: each.what, **common})
            except ControlRefused as error:
                wrong.append((each, error))
        await self._again()
        return wrong
