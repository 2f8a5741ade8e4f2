"""Pool audit: ask what the members are worth, follow it, read what can go and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console.evidence.questions import Kind, QuestionPage
from quorate.console.evidence.table import Column, Line
from quorate.console.selection.audit_answer import AuditAnswer
from quorate.console.selection.audit_form import AuditForm
from quorate.console.selection.audit_words import line


class AuditPage(QuestionPage):
    """The page of pool audits."""

    kind = Kind(
        "audit",
        "/v1/pool-audits",
        about="name",
        title="What the members of {} are worth",
        lead="Recorded outputs are combined anew without this member or that one. Half of the decisions say which can "
        "go, the other half checks it. No model is run and nothing is changed.",
        columns=(
            Column("Audit"),
            Column("What came of it", "text"),
            Column("Saves"),
            Column("Gain, replayed"),
            Column("Rows", "figure"),
        ),
        empty="No audit was asked for yet. Say above what may be lost, and which decisions count.",
    )

    def _ask_with(self) -> None:
        self._form = AuditForm(self._endpoint, self._ask)

    def _answering(self) -> AuditAnswer:
        return AuditAnswer("audit", self._cancel)

    def _lines(self, found: Sequence[Mapping[str, Any]]) -> list[Line]:
        return [line(each) for each in found]

    async def _offer(self) -> None:
        """Nothing is found out."""

    async def _ask(self, asked: Mapping[str, Any]) -> None:
        await self._send(asked)
        await self._again()
