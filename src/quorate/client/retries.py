"""When to send again and how long to wait before: a plan of steps that both clients carry out.

Safe because every predict carries an idempotency key, and outcomes told twice count once. Nothing here sends, sleeps
or reads the time by itself.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from quorate.client.errors import QuorateClientError, ServerUnavailable, of_reply
from quorate.clock import Clock

FIRST_PAUSE = 0.2  # with three retries a call outlives the restart of a worker, which takes about a second
GROWTH = 4.0
LONGEST_PAUSE = 10.0
_AGAIN = frozenset({429, 502, 503})


@dataclass(frozen=True, slots=True)
class Policy:
    """``retries`` after the first try; a try waits ``timeout`` seconds; ``deadline`` seconds for all, with pauses."""

    retries: int
    timeout: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request now and wait at most ``timeout`` seconds; hand back a :class:`Reply` or a :class:`Fault`."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many ``seconds``; hand back nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """No reply: ``message`` is a sentence; ``hopeless`` where sending again cannot help."""

    message: str
    hopeless: bool = False


Steps = Generator[Send | Pause, Reply | Fault | None, Reply]


def steps(policy: Policy, clock: Clock, rng: random.Random) -> Steps:
    """What to do, one step at a time, until a 2xx reply is returned or a :class:`QuorateClientError` raised.

    Sent again: after no connection, no reply in time, 429, 502, 503, and a 409 that says that an earlier try with the
    same idempotency key is still being answered. The pause is at least the server's ``Retry-After``; where it would
    end after the deadline, the error is raised at once.

    The pauses are ``FIRST_PAUSE * GROWTH**k``, of which a random half is taken off so that clients that failed
    together do not come back together ("equal jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    end = clock.monotonic() + policy.deadline
    tries = 0
    while True:
        left = end - clock.monotonic()
        got = yield Send(max(0.001, min(policy.timeout, left)))
        tries += 1
        if isinstance(got, Reply) and 200 <= got.status < 300:
            return got
        error, again = _judge(got)
        if not again or tries > policy.retries:
            raise error
        pause = rng.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** (tries - 1))
        if error.retry_after is not None:
            pause += error.retry_after
        if clock.monotonic() + pause >= end:
            raise error
        yield Pause(pause)


def _judge(got: Reply | Fault | None) -> tuple[QuorateClientError, bool]:
    """The error, and whether another try may help."""
    if isinstance(got, Reply):
        error = of_reply(got.status, got.headers, got.body)
        answering = got.status == 409 and error.path == "Idempotency-Key"
        return error, got.status in _AGAIN or answering
    assert isinstance(got, Fault)  # noqa: S101 - who sends hands back one of the two
    return ServerUnavailable(got.message, code="unreachable"), not got.hopeless
