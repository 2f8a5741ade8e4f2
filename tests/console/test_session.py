"""Sessions: found by their token only, ended by logging out, by age and by number."""

from __future__ import annotations

import pytest

from quorate.console.session import IDLE_S, SESSIONS, Sessions
from quorate.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(8002, clock.monotonic)


def test_a_session_is_found_by_its_token(sessions: Sessions) -> None:
    ann, bob = sessions.begin("key a"), sessions.begin(None)
    assert sessions.find(ann.token) is ann
    assert sessions.find(bob.token) is bob
    assert sessions.find(None) is None
    assert sessions.find("") is None
    assert sessions.find(ann.token[:-1]) is None
    assert len({ann.token, bob.token}) == 2
    assert len(ann.token) == 43


def test_an_ended_session_forgets_its_key_and_tells_its_pages(sessions: Sessions) -> None:
    session = sessions.begin("secret")
    told: list[int] = []
    session.pages[1] = lambda: told.append(1)
    session.history.append("asked")
    sessions.end(session)
    assert sessions.find(session.token) is None
    assert (session.key, told, list(session.history), session.pages) == (None, [1], [], {})
    sessions.end(session)
    assert told == [1]


def test_a_key_is_given_up_with_its_last_session_and_never_shown(clock: FakeClock) -> None:
    unused: list[str | None] = []
    sessions = Sessions(8002, clock.monotonic, unused.append)
    one, other = sessions.begin("secret"), sessions.begin("secret")
    assert "secret" not in repr(one)
    assert one.token not in repr(one)
    sessions.end(one)
    assert unused == []
    sessions.end(one)
    sessions.end(other)
    assert unused == ["secret"]


def test_what_is_not_used_goes(sessions: Sessions, clock: FakeClock) -> None:
    idle, used = sessions.begin("idle"), sessions.begin("used")
    clock.advance(IDLE_S - 1)
    assert sessions.find(used.token) is used
    clock.advance(2)
    assert sessions.find(used.token) is used
    assert sessions.find(idle.token) is None
    assert idle.key is None


def test_there_are_only_so_many(sessions: Sessions) -> None:
    first = sessions.begin("first")
    second = sessions.begin("second")
    sessions.find(first.token)
    for _ in range(SESSIONS - 1):
        sessions.begin(None)
    assert sessions.find(second.token) is None
    assert sessions.find(first.token) is first


def test_the_cookie_is_for_this_port_and_not_for_scripts(sessions: Sessions) -> None:
    session = sessions.begin(None)
    set_cookie = sessions.set_cookie(session)
    assert set_cookie == f"quorate-console-8002={session.token}; Path=/; HttpOnly; SameSite=Strict"
    assert sessions.clear_cookie().endswith("Max-Age=0")
