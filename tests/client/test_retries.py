"""The plan of retries: when to send again, how long to wait, when to give up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.client.errors import QuorateClientError, RequestRefused, ServerFailed, ServerUnavailable, Shed
from quorate.client.retries import Fault, Pause, Policy, Reply, Send, steps
from quorate.testing import FakeClock

OK = Reply(200, {}, b"{}")
GONE = Fault("gone")
ANSWERING = Reply(409, {}, b'{"detail": "still being answered", "code": "conflict", "path": "Idempotency-Key"}')


def play(
    script: list[Any], policy: Policy, *, takes: float = 0.0, seed: int = 0
) -> tuple[Any, list[float], list[float]]:
    """Carry a plan out: what it ends with, its pauses, and the timeouts of its tries; a try takes ``takes`` seconds."""
    clock = FakeClock()
    plan = steps(policy, clock, random.Random(seed))
    pauses, timeouts = [], []
    left = iter(script)
    try:
        step = next(plan)
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                clock.advance(step.seconds)
                step = next(plan)
            else:
                assert isinstance(step, Send)
                timeouts.append(step.timeout)
                clock.advance(min(takes, step.timeout))
                step = plan.send(next(left))
    except StopIteration as done:
        return done.value, pauses, timeouts
    except QuorateClientError as error:
        return error, pauses, timeouts


@pytest.mark.parametrize("reply", [OK, Reply(202, {}, b"")])
def test_a_good_reply_ends_it(reply: Reply) -> None:
    assert play([reply], Policy(3, 10, 30)) == (reply, [], [10])


@pytest.mark.parametrize("fault", [GONE, Reply(429, {}, b""), Reply(502, {}, b""), Reply(503, {}, b""), ANSWERING])
def test_what_may_pass_is_sent_again_with_growing_pauses(fault: Any) -> None:
    end, pauses, timeouts = play([fault] * 3 + [OK], Policy(3, 10, 30))
    assert end == OK
    assert len(timeouts) == 4
    for pause, longest in zip(pauses, (0.2, 0.8, 3.2), strict=True):
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(GONE, ServerUnavailable), (Reply(503, {}, b""), ServerUnavailable), (Reply(429, {}, b""), Shed),
     (ANSWERING, RequestRefused)],
)  # fmt: skip
def test_the_last_error_is_raised_when_the_retries_are_used_up(fault: Any, kind: type[Exception]) -> None:
    end, pauses, timeouts = play([fault] * 9, Policy(2, 10, 30))
    assert type(end) is kind
    assert (len(pauses), len(timeouts)) == (2, 3)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(status, {}, b""), RequestRefused)
        for status in (301, 400, 401, 403, 404, 409, 413, 415, 422)
        if status > 399
    ]
    + [(Reply(status, {}, b""), ServerFailed) for status in (301, 500, 504)]
    + [(Fault("bad certificate", hopeless=True), ServerUnavailable)],
)
def test_what_stays_wrong_is_not_sent_again(fault: Any, kind: type[Exception]) -> None:
    end, pauses, timeouts = play([fault] * 9, Policy(3, 10, 30))
    assert type(end) is kind
    assert (len(pauses), len(timeouts)) == (0, 1)


def test_a_pause_is_at_least_what_the_server_asks_for() -> None:
    end, [pause], _ = play([Reply(429, {"retry-after": "7"}, b""), OK], Policy(3, 10, 30))
    assert end == OK
    assert 7.1 <= pause <= 7.2


def test_nobody_waits_for_a_pause_that_ends_after_the_deadline() -> None:
    end, pauses, _ = play([Reply(429, {"retry-after": "31"}, b""), OK], Policy(3, 10, 30))
    assert isinstance(end, Shed)
    assert end.retry_after == 31
    assert pauses == []


def test_a_try_gets_what_is_left_of_the_deadline() -> None:
    end, _, timeouts = play([GONE] * 9, Policy(9, 10, 25), takes=10)
    assert isinstance(end, ServerUnavailable)
    assert timeouts[:2] == [10, 10]
    assert 4 < timeouts[2] < 5
    assert len(timeouts) == 3


_faults = st.sampled_from([GONE, Reply(429, {"retry-after": "2"}, b""), Reply(503, {}, b""), ANSWERING, OK])


@given(
    script=st.lists(_faults, min_size=12, max_size=12),
    retries=st.integers(0, 10),
    deadline=st.floats(0.01, 60),
    takes=st.floats(0, 5),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_neither_retries_nor_deadline_are_ever_exceeded(
    script: list[Any], retries: int, deadline: float, takes: float, seed: int
) -> None:
    end, pauses, timeouts = play(script, Policy(retries, 3, deadline), takes=takes, seed=seed)
    tries = len(timeouts)
    assert tries <= retries + 1
    assert len(pauses) == tries - 1
    assert sum(pauses) + sum(min(takes, timeout) for timeout in timeouts) <= deadline + 0.001 * tries
    if end == OK:
        assert script.index(OK) == tries - 1
    else:
        assert OK not in script[:tries]
