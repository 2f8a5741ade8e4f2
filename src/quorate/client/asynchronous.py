"""The client for asyncio; the same calls as :class:`~quorate.client.sync.Client`, awaited."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any

from quorate.client import answers, batches, requests, retries, wire
from quorate.client.answers import Answer, EndpointInfo, Item, OutcomeReceipt
from quorate.client.batches import BatchRow
from quorate.client.errors import ServerUnavailable
from quorate.client.inputs import needs_work
from quorate.client.lookahead import check_concurrency, ordered_async
from quorate.client.requests import Options, Request
from quorate.client.retries import Fault, Pause, Reply
from quorate.client.wire import httpx
from quorate.clock import Clock, SystemClock
from quorate.errors import QuorateError

if TYPE_CHECKING:
    from quorate.client.inputs import Image, Rows


class AsyncClient:
    """A connection to a server's inference port, of one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.sync.Client`; ``sleep`` is awaited.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 10.0,
        retries: int = 3,
        deadline: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.url = requests.base_url(url)
        self._policy = wire.policy(retries, timeout, deadline)
        self._http = httpx.AsyncClient(**wire.settings(self.url, api_key), transport=transport)
        self._clock: Clock = clock or SystemClock()
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def predict(
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
        """See :meth:`quorate.client.sync.Client.predict`; files are read and pixels encoded in a thread."""
        options = Options(strategy, max_ms, context, idempotency_key, traceparent, min_confidence)
        request = await _request(endpoint, options, {"image": image, "images": images, "rows": rows})
        reply = await self._exchange(request)
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
    ) -> AsyncIterator[Item]:
        """See :meth:`quorate.client.sync.Client.predict_many`; ``async for`` over it.

        Where the loop is left early, what is under way is cancelled when the generator is closed.
        """
        check_concurrency(concurrency)
        jobs = requests.many(images, batches)
        options = Options(strategy, max_ms, context, min_confidence=min_confidence)
        return ordered_async(lambda job: self._item(endpoint, options, *job), jobs, concurrency)

    async def _item(self, endpoint: str, options: Options, index: int, source: Any, asked: Mapping[str, Any]) -> Item:
        try:
            reply = await self._exchange(await _request(endpoint, options, asked))
            return Item(index, source, answers.answer(reply.body, reply.headers))
        except QuorateError as error:
            return Item(index, source, error=error)

    async def batch(
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
    ) -> AsyncIterator[BatchRow]:
        """See :meth:`quorate.client.sync.Client.batch`; ``async for`` over it."""
        check_concurrency(concurrency)
        options = Options(strategy, max_ms, context, min_confidence=min_confidence)
        parts = batches.parts(rows, images, context)
        async with aclosing(
            ordered_async(lambda part: self._part(endpoint, options, part), parts, concurrency)
        ) as answered:
            async for found in answered:
                for row in found:
                    yield row

    async def _part(self, endpoint: str, options: Options, part: batches.Part) -> list[BatchRow]:
        if not part.lines:
            return part.rows([])
        reply = await self._exchange(batches.request(endpoint, options, part))
        return part.rows(reply.body.splitlines())

    async def outcome(
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
        """See :meth:`quorate.client.sync.Client.outcome`."""
        told = requests.outcome(id, row=row, truth=truth, reward=reward, rewards=rewards, source=source, at=at)
        return answers.parsed((await self._exchange(requests.outcomes(told))).body, OutcomeReceipt)

    async def outcomes(self, told: Iterable[Mapping[str, Any]]) -> OutcomeReceipt:
        """See :meth:`quorate.client.sync.Client.outcomes`."""
        receipt = OutcomeReceipt()
        for offset, part in requests.parts(told):
            reply = await self._exchange(requests.outcomes(part))
            receipt = receipt.plus(answers.parsed(reply.body, OutcomeReceipt), offset=offset)
        return receipt

    async def ready(self) -> bool:
        """Does the server answer, and is it ready to predict? One try."""
        try:
            await self._exchange(requests.READY, once=True)
        except ServerUnavailable:
            return False
        return True

    async def endpoint(self, name: str) -> EndpointInfo:
        """What an endpoint takes and gives."""
        return answers.parsed((await self._exchange(requests.metadata(name))).body, EndpointInfo)

    async def endpoints(self) -> tuple[EndpointInfo, ...]:
        """All endpoints the server has, without the models behind them."""
        reply = await self._exchange(requests.INDEX)
        found = [await self.endpoint(name) for name in answers.index(reply.body)]
        return tuple(each for each in found if each.is_endpoint)

    async def _exchange(self, request: Request, *, once: bool = False) -> Reply:
        policy = dataclasses.replace(self._policy, retries=0) if once else self._policy
        plan = retries.steps(policy, self._clock, self._rng)
        try:
            step = next(plan)
            while True:
                if isinstance(step, Pause):
                    await self._sleep(step.seconds)
                    step = next(plan)
                else:
                    step = plan.send(await self._send(request, step.timeout))
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    async def _send(self, request: Request, timeout: float) -> Reply | Fault:
        try:
            return batches.judged(
                request,
                wire.reply(
                    await self._http.request(
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

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<quorate.AsyncClient {self.url}>"


async def _request(endpoint: str, options: Options, asked: Mapping[str, Any]) -> Request:
    image, images = asked.get("image"), asked.get("images")
    if (image is not None and needs_work(image)) or (images is not None and any(map(needs_work, images))):
        return await asyncio.to_thread(requests.predict, endpoint, options, **asked)
    return requests.predict(endpoint, options, **asked)
