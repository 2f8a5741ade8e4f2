"""What policies have learned, from a client's side: looked at, reset and warm-started on the control port."""

from __future__ import annotations

from quorate.client import learner_requests, selection_requests
from quorate.client.control import ControlClient
from quorate.client.learner_requests import Learned, WarmStart
from quorate.client.selection_requests import Coverage, Regret, Trust


class Learners(ControlClient):
    """The learners of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``, and ``admin`` to reset or warm-start. What changes anything is asked once.
    Errors are those of :class:`~quorate.client.sync.Client`.
    """

    def get(self, endpoint: str) -> Learned:
        """What the endpoint's policy has learned."""
        return self._ask(learner_requests.one(endpoint), Learned)

    def trust(self, endpoint: str, *, strategy: str | None = None, by: str | None = None) -> Trust:
        """Whom a strategy trusts where: the first that tells, and by predicted label, where it is not said.

        ``by`` is ``label``, ``context.KEY`` or ``feature.NAME``; ``ways`` of the answer lists them.
        """
        asked = selection_requests.trust(endpoint, strategy, by)
        return self._ask(asked, Trust)

    def regret(self, endpoint: str, *, points: int | None = None) -> Regret:
        """What was served against each strategy, member and expert, at so many points of time (60)."""
        return self._ask(selection_requests.regret(endpoint, points), Regret)

    def coverage(self, endpoint: str, *, since: float | None = None) -> Coverage:
        """How often the truth was in the sets and intervals that were answered, from ``since`` (Unix seconds) on."""
        return self._ask(selection_requests.coverage(endpoint, since), Coverage)

    def reset(self, endpoint: str) -> Learned:
        """Have the policy forget what it learned."""
        return self._ask_once(learner_requests.reset(endpoint), Learned)

    def warm_start(self, endpoint: str, *, since: float | None = None) -> WarmStart:
        """Have the policy begin anew with what is known of decisions from ``since`` on: Unix seconds, 30 days back.

        It is done in the background; see :meth:`wait`. Refused while another runs.
        """
        return self._ask_once(learner_requests.warm_start(endpoint, since), WarmStart)

    def newest_warm_start(self, endpoint: str) -> WarmStart:
        """The warm start that was asked for last, since control started."""
        return self._ask(learner_requests.newest(endpoint), WarmStart)

    def wait(self, endpoint: str, *, every: float = 0.5) -> WarmStart:
        """Return when the newest warm start has ended, looking ``every`` seconds; see ``error`` whether it failed."""
        while not (found := self.newest_warm_start(endpoint)).over:
            self._sleep(every)
        return found
