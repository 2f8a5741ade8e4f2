"""Who is at the page: sessions in memory only, so that no key is ever on disk or in a browser."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

IDLE_S = 12 * 3600.0
SESSIONS = 1000
HISTORY = 50


@dataclass(slots=True, eq=False)
class Session:
    """One browser: its API key (None where none is needed), what it asked, newest first, and its open pages.

    ``asked`` numbers the questions of all its pages; ``pages`` are called when the session ends.
    """

    token: str = field(repr=False)
    key: str | None = field(repr=False)
    used: float
    asked: int = 0
    history: deque[Any] = field(default_factory=lambda: deque(maxlen=HISTORY))
    pages: dict[int, Callable[[], None]] = field(default_factory=dict)


class Sessions:
    """All sessions, at most :data:`SESSIONS`; those idle for :data:`IDLE_S` seconds, or least used, go.

    ``now`` gives monotonic seconds. ``cookie`` is the cookie's name: browsers do not tell ports apart. ``unused`` is
    called with a key that no session has any more.
    """

    def __init__(
        self, port: int, now: Callable[[], float], unused: Callable[[str | None], None] = lambda _: None
    ) -> None:
        self.cookie = f"quorate-console-{port}"
        self._now = now
        self._unused = unused
        self._known: OrderedDict[str, Session] = OrderedDict()

    def find(self, token: str | None) -> Session | None:
        """The session of a cookie, if it still is one."""
        now = self._now()
        while self._known:
            oldest = next(iter(self._known.values()))
            if now - oldest.used < IDLE_S:
                break
            self.end(oldest)
        session = self._known.get(token or "")
        if session is not None:
            session.used = now
            self._known.move_to_end(session.token)
        return session

    def begin(self, key: str | None) -> Session:
        """A new session; its token is 256 random bits."""
        session = Session(secrets.token_urlsafe(32), key, self._now())
        self._known[session.token] = session
        while len(self._known) > SESSIONS:
            self.end(next(iter(self._known.values())))
        return session

    def end(self, session: Session) -> None:
        """Forget a session and its key; its open pages are told."""
        if self._known.pop(session.token, None) is None:
            return
        key, session.key = session.key, None
        if all(other.key != key for other in self._known.values()):
            self._unused(key)
        for told in list(session.pages.values()):
            told()
        session.pages.clear()
        session.history.clear()

    def set_cookie(self, session: Session) -> str:
        """The Set-Cookie header: not for scripts, not sent along from other sites, gone with the browser."""
        return f"{self.cookie}={session.token}; Path=/; HttpOnly; SameSite=Strict"

    def clear_cookie(self) -> str:
        """The Set-Cookie header that removes it."""
        return f"{self.cookie}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
