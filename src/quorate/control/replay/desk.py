"""The desk of replays."""

from __future__ import annotations

import msgspec

from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control.experiments.hiding import require_shown
from quorate.control.learning.past import Pasts
from quorate.control.questions.desk import QuestionDesk
from quorate.control.questions.queue import Kind
from quorate.control.replay.asked import Question
from quorate.control.replay.targets import target
from quorate.store.replays import replays
from quorate.store.revisions import revisions


class ReplayDesk(QuestionDesk[Question]):
    """What would have been with another strategy or policy, asked of one project."""

    kind = Kind(
        "replay", about="endpoint", questions=replays, module="quorate.control.replay.process", command="replay"
    )

    def _check(self, question: Question) -> None:
        question.check()
        routing = snapshot.read_or_empty(self._home.snapshot)
        with self._database.read() as connection:
            past = [msgspec.json.decode(each.content) for each in revisions(connection, question.endpoint)]
        logged = {each["name"] for content in past for each in content["endpoint"]["strategies"]}
        pasts = Pasts(self._database, JournalReader(self._home.journal))
        target(question, routing, self._registry, sorted(logged), pasts)
        with self._database.read() as connection:
            require_shown(connection, question.endpoint)
