"""The client for ordinary code: blocking calls, safe to share between threads."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from quorate.client import answers, batches, requests, retries, wire
from quorate.client.answers import Answer, EndpointInfo, Item, OutcomeReceipt
from quorate.client.batches import BatchRow
from quorate.client.errors import ServerUnavailable
from quorate.client.lookahead import check_concurrency, ordered
from quorate.client.requests import Options, Request
from quorate.client.retries import Fault, Pause, Reply
from quorate.client.wire import httpx
from quorate.clock import Clock, SystemClock
from quorate.errors import QuorateError

if TYPE_CHECKING:
    from quorate.client.inputs import Image, Rows


class Client:
    """A connection to a server's inference port, with pooled connections; close it, or use it in a ``with`` block.

    ``url`` is such as ``http://127.0.0.1:8000``, ``api_key`` what ``quorate keys create`` printed. A try waits
    ``timeout`` seconds at most for the connection and for each part of the reply; no try or pause begins or is planned
    to end after ``deadline`` seconds, ``retries`` included.
    ``transport`` replaces httpx's own; ``clock``, ``sleep`` and ``rng`` are for tests.

    Calls raise :class:`~quorate.errors.InvalidInput` for what is wrong before anything is sent, else a
    :class:`~quorate.client.errors.QuorateClientError`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 10.0,
        retries: int = 3,
        deadline: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.url = requests.base_url(url)
        self._policy = wire.policy(retries, timeout, deadline)
        self._http = httpx.Client(**wire.settings(self.url, api_key), transport=transport)
        self._clock: Clock = clock or SystemClock()
        self._sleep = sleep
        self._rng = rng or random.Random()

    def predict(
        self,
        endpoint: str,
        image: Image | None = None,
        *,
        images: Sequence[Image] | None = None,
        rows: Rows | None = None,
        strategy: str | None = None,
        max_ms: float | None = None,
        min_confidence: float | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Ask an endpoint about one ``image``, several ``images``, or ``rows`` of a table; one decision in any case.

        An image is a path, the bytes of an encoded file, pixels (``[h, w]`` or ``[h, w, 3 or 4]``, 0 to 255), or a PIL
        image. ``rows`` is a list of lists or of objects by column name, an array ``[n, k]``, or a data frame.
        ``strategy`` and ``max_ms`` (milliseconds) are asked of this request; ``context`` is recorded with the decision.
        A row that no member is sure enough of, ``min_confidence`` (0 to 1), is ``abstained``.
        The ``idempotency_key`` makes retries one decision, and is new for each call unless given.
        """
        options = Options(strategy, max_ms, context, idempotency_key, traceparent, min_confidence)
        request = requests.predict(endpoint, options, image=image, images=images, rows=rows)
        reply = self._exchange(request)
        return answers.answer(reply.body, reply.headers)

    def predict_many(
        self,
        endpoint: str,
        images: Iterable[Image] | None = None,
        *,
        batches: Iterable[Rows] | None = None,
        concurrency: int = 8,
        strategy: str | None = None,
        max_ms: float | None = None,
        min_confidence: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Iterator[Item]:
        """Ask about many ``images``, or ``batches`` of rows, each a request of its own, ``concurrency`` at a time.

        Results come in the order of the input, as they are known; what cannot be read or answered is an item with an
        ``error``. The input is taken as it is needed, a few items ahead.
        """
        check_concurrency(concurrency)
        jobs = requests.many(images, batches)
        options = Options(strategy, max_ms, context, min_confidence=min_confidence)
        return ordered(lambda job: self._item(endpoint, options, *job), jobs, concurrency)

    def _item(self, endpoint: str, options: Options, index: int, source: Any, asked: Mapping[str, Any]) -> Item:
        try:
            reply = self._exchange(requests.predict(endpoint, options, **asked))
            return Item(index, source, answers.answer(reply.body, reply.headers))
        except QuorateError as error:
            return Item(index, source, error=error)

    def batch(
        self,
        endpoint: str,
        rows: Rows | None = None,
        *,
        images: Iterable[Image] | None = None,
        concurrency: int = 4,
        strategy: str | None = None,
        max_ms: float | None = None,
        min_confidence: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Iterator[BatchRow]:
        """Score any number of ``rows``, or ``images``, in constant memory; their results come in order.

        They go to the endpoint's batch in parts of half a mebibyte, ``concurrency`` at a time; a part that breaks is
        sent again, and no row is told twice. A row that cannot be sent or answered has an ``error``; what concerns all
        of them (an unknown endpoint, no server) is raised. ``max_ms`` is for each group of rows that the server forms.
        """
        check_concurrency(concurrency)
        options = Options(strategy, max_ms, context, min_confidence=min_confidence)
        parts = batches.parts(rows, images, context)
        for found in ordered(lambda part: self._part(endpoint, options, part), parts, concurrency):
            yield from found

    def _part(self, endpoint: str, options: Options, part: batches.Part) -> list[BatchRow]:
        if not part.lines:
            return part.rows([])
        return part.rows(self._exchange(batches.request(endpoint, options, part)).body.splitlines())

    def outcome(
        self,
        id: str,
        *,
        truth: str | float | None = None,
        row: int = 0,
        reward: float | None = None,
        rewards: Mapping[str, float] | None = None,
        source: str = "user",
        at: float | None = None,
    ) -> OutcomeReceipt:
        """Tell what became of an answer's row: its ``truth`` (a label or a number), a ``reward``, or ``rewards``.

        ``at`` is when that became known, in Unix seconds; now, if not given. Telling the same twice changes nothing.
        """
        told = requests.outcome(id, row=row, truth=truth, reward=reward, rewards=rewards, source=source, at=at)
        return answers.parsed(self._exchange(requests.outcomes(told)).body, OutcomeReceipt)

    def outcomes(self, told: Iterable[Mapping[str, Any]]) -> OutcomeReceipt:
        """Tell many: objects with ``id``, ``truth`` (or ``reward``, ``rewards``), and ``row``, ``source``, ``at``.

        They go in parts of a thousand. If one part fails, those before it were taken; tell all of them again.
        """
        receipt = OutcomeReceipt()
        for offset, part in requests.parts(told):
            reply = self._exchange(requests.outcomes(part))
            receipt = receipt.plus(answers.parsed(reply.body, OutcomeReceipt), offset=offset)
        return receipt

    def ready(self) -> bool:
        """Does the server answer, and is it ready to predict? One try."""
        try:
            self._exchange(requests.READY, once=True)
        except ServerUnavailable:
            return False
        return True

    def endpoint(self, name: str) -> EndpointInfo:
        """What an endpoint takes and gives."""
        return answers.parsed(self._exchange(requests.metadata(name)).body, EndpointInfo)

    def endpoints(self) -> tuple[EndpointInfo, ...]:
        """All endpoints the server has, without the models behind them."""
        names = answers.index(self._exchange(requests.INDEX).body)
        return tuple(found for found in map(self.endpoint, names) if found.is_endpoint)

    def _exchange(self, request: Request, *, once: bool = False) -> Reply:
        policy = dataclasses.replace(self._policy, retries=0) if once else self._policy
        plan = retries.steps(policy, self._clock, self._rng)
        try:
            step = next(plan)
            while True:
                if isinstance(step, Pause):
                    self._sleep(step.seconds)
                    step = next(plan)
                else:
                    step = plan.send(self._send(request, step.timeout))
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    def _send(self, request: Request, timeout: float) -> Reply | Fault:
        try:
            return batches.judged(
                request,
                wire.reply(
                    self._http.request(
                        request.method,
                        self.url + request.path,
                        headers=request.headers,
                        content=request.content,
                        timeout=timeout,
                    )
                ),
            )
        except httpx.RequestError as error:
            return wire.fault(error, self.url, timeout)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<quorate.Client {self.url}>"
