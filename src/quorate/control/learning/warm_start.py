"""Warm start: a policy learns from decisions that were made before it was there.

Rows are learned that were answered by the same strategies, made of the same versions of the same members, whatever the
policy was: with the probabilities they were drawn with, in the order they were made.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.learned import Known
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.ingest import INDEXES
from quorate.control.learning import recording
from quorate.control.learning.answering import ReadBlob, SameStrategies
from quorate.control.learning.combining import Lesson, learned_rows
from quorate.control.learning.feedback import OTHER_POLICY, feedback
from quorate.control.learning.learner import Learning, served
from quorate.control.learning.views import LearnerView, view
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.rejoining import by_revision, known_since
from quorate.core.select.columns import FeedbackColumns
from quorate.core.select.columns import joined as joined_columns
from quorate.errors import Conflict
from quorate.home import Home
from quorate.store import experts, learners
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.learners import StoredLearner
from quorate.store.ledger import TRUTH
from quorate.store.lessons import WARM


def warm_start(
    home: Home, database: Database, learning: Learning, read: ReadBlob, since: float, *, author: str, now: float
) -> LearnerView:
    """Forget what was learned, and learn from everything known of decisions made from ``since`` on (Unix seconds).

    It is one transaction: outcomes that come meanwhile are ingested, and learned from, after it.
    """
    with database.begin() as connection:
        before = learners.learner(connection, learning.name)
        stored = learned_from(home, connection, learning, read, since, before, now=now)
        _keep(connection, learning, stored, since, author, now)
    return view(learning, stored)


def warm_start_beside(
    home: Home,
    database: Database,
    learning: Learning,
    read: ReadBlob,
    since: float,
    *,
    author: str,
    clock: Clock,
    rest: Callable[[], None],
) -> LearnerView:
    """The same without keeping others from writing to the store; hold the ingest lock, or rows that become known
    meanwhile are lost. ``rest()`` is called now and then, and may raise to end it.

    :class:`~quorate.errors.Conflict` where the learner was changed, or its policy, while it was being made.
    """
    with database.read() as connection:
        before = learners.learner(connection, learning.name)
        stored = learned_from(home, connection, learning, read, since, before, now=clock.now(), rest=rest)
    with database.begin() as connection:
        found = learners.learner(connection, learning.name)
        served_now = None if snapshot.current_version(home.snapshot) is None else snapshot.read(home.snapshot)
        same = served_now is not None and getattr(served(served_now, learning.name), "key", None) == learning.key
        if not same or (found and found.version) != (before and before.version):
            raise Conflict(
                f"The learner of '{learning.name}' was reset, or its policy changed, during the warm start; nothing of "
                "that was kept. Ask again.",
                path="name",
            )
        _keep(connection, learning, stored, since, author, clock.now())
    return view(learning, stored)


def learned_from(
    home: Home,
    connection: sa.Connection,
    learning: Learning,
    read: ReadBlob,
    since: float,
    before: StoredLearner | None,
    *,
    now: float,
    rest: Callable[[], None] = lambda: None,
) -> StoredLearner:
    """The learner that follows ``before``, with what is known of decisions from ``since`` on; nothing is written."""
    revisions = SameStrategies(connection, learning.name, learning.arms, read)
    reader = JournalReader(home.journal, cached=INDEXES)
    fresh = learning.anew(before, now)
    state, counts = learning.state(fresh), Counter[str]()
    known: Mapping[str, Known] = {}
    for joined in known_since(connection, reader, learning.name, since):
        told, lessons = _told(learning, revisions, [all_new(each) for each in joined], counts, known)
        if any(told):
            state = learning.policy.learn(state, joined_columns(told).by_time()) or state
        known = learning.taught(known, lessons, shown=False)
        rest()
    return learning.after(fresh, state, now, known).counting(counts)


def _keep(
    connection: sa.Connection, learning: Learning, stored: StoredLearner, since: float, author: str, now: float
) -> None:
    learners.put(connection, stored)
    recording.began(connection, learning, stored, WARM)
    experts.drop(connection, stored.endpoint)
    detail = {"since": since, "rows": dict(stored.counts)}
    add_entry(connection, at=now, actor=author, action="learner.warm_start", subject=stored.endpoint, detail=detail)


def _told(
    learning: Learning,
    revisions: SameStrategies,
    joined: Sequence[Joined],
    counts: Counter[str],
    known: Mapping[str, Known],
) -> tuple[list[FeedbackColumns], dict[str, list[Lesson]]]:
    """What decisions tell the policy, and the combiners, which know so much; the others are counted by why not."""
    states = {each.name: each.state(known) for each in learning.combining}
    found: list[FeedbackColumns] = []
    lessons: dict[str, list[Lesson]] = defaultdict(list)
    for number, some in by_revision(joined).items():
        revision = revisions.of(number)
        if revision is None:
            counts[OTHER_POLICY] += sum(len(each.new) for each in some)
            continue
        taught = learning.lessons(revision, some)
        for strategy, rows in taught.items():
            lessons[strategy] += rows
        if learning.reward is None:
            counts += learned_rows(some, taught)
        else:
            found.append(feedback(revision.knowing(states), learning.reward, some, counts))
    return found, lessons


def all_new(joined: Joined) -> Joined:
    """Everything that is known counts as new to who knows nothing."""
    new = {row: frozenset(rewards) for row, rewards in joined.rewards.items()}
    for row in joined.truths:
        new[row] = new.get(row, frozenset()) | {TRUTH}
    return joined._replace(new=new, valued=frozenset(joined.values))
