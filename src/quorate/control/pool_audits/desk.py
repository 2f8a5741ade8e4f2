"""The desk of pool audits."""

from __future__ import annotations

from quorate.codecs import snapshot
from quorate.control.experiments.hiding import require_shown
from quorate.control.pool_audits.asked import Question
from quorate.control.pool_audits.subject import endpoints_of, subject
from quorate.control.questions.desk import QuestionDesk
from quorate.control.questions.queue import Kind
from quorate.store.pool_audits import pool_audits


class PoolAuditDesk(QuestionDesk[Question]):
    """What the members of pools are worth, asked of one project."""

    kind = Kind(
        "pool audit",
        about="name",
        questions=pool_audits,
        module="quorate.control.pool_audits.process",
        command="audit-pool",
    )

    def _check(self, question: Question) -> None:
        question.check()
        routing = snapshot.read_or_empty(self._home.snapshot)
        with self._database.read() as connection:
            for endpoint in endpoints_of(question.name, routing):
                require_shown(connection, endpoint.name)
        subject(question, routing, self._registry)
