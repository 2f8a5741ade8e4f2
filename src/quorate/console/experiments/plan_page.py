"""Planning an experiment: the form, what the plan and the self-test say, and the registration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui.client import Client

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.experiments.answers import PlanAnswer, TestAnswer
from quorate.console.experiments.form import Form
from quorate.console.experiments.typed import Reader, Typed, empty, field_of, typed
from quorate.console.parts.looking import problem_of
from quorate.console.session import Session

PLAN_TIMEOUT_S = 60.0
TEST_TIMEOUT_S = 300.0
TEST_RUNS = 200


class PlanPage:
    """The form of a new experiment; of one that is like ``like``, or instead of it where ``revises`` is set.

    ``like`` is an experiment as control shows it. One that has started can be copied and not revised.
    """

    def __init__(
        self,
        apis: Apis,
        session: Session,
        endpoints: Sequence[Endpoint],
        chosen: str,
        client: Client,
        *,
        like: Mapping[str, Any] | None = None,
        revises: bool = False,
    ) -> None:
        self._apis = apis
        self._session = session
        self._client = client
        self._like = like
        self._revises = like if revises else None
        by_name = {each.name: each for each in endpoints}
        title = "Plan an experiment" if self._revises is None else f"Change {self._revises['name']} before it starts"
        with Node("div", "head"):
            Node("h1", "", title)
            Node("a", "button", "All experiments", href=f"/experiments?{urlencode({'endpoint': chosen})}")
        slot = f"quorate-plan-{(like or {}).get('id', chosen)}-{'revise' if revises else 'new'}"
        on = {"plan": self._plan, "test": self._test, "save": self._save}
        shown = {each.name: {"strategies": each.strategies, "output": each.output} for each in endpoints}
        with Form(self._initial(by_name, chosen), shown, slot, on, revising=revises) as self._form:
            self._plan_answer = PlanAnswer()
            self._test_answer = TestAnswer()

    def _initial(self, by_name: Mapping[str, Endpoint], chosen: str) -> Typed:
        endpoint = by_name[chosen]
        if self._like is None or self._like["endpoint"] not in by_name:
            kind = "accuracy" if endpoint.output == "scores" else "absolute_error"
            return empty(chosen, _control_first(endpoint), kind)
        like = self._like["registration"]
        form = typed(like, by_name[self._like["endpoint"]].strategies)
        if self._revises is None:
            form["name"] = ""
        return form

    async def _plan(self, form: Typed, extra: Mapping[str, str]) -> None:
        reader = Reader(form)
        registration = reader.registration(planned=True)
        query = _assumed(extra, reader.problems)
        answer = await self._ask("plan", registration, query, reader, PLAN_TIMEOUT_S)
        if answer is None:
            return
        self._plan_answer.show(answer)
        limits = answer["suggested"]
        if limits["max_days"] is not None:
            self._form.suggest(suggested(limits))

    async def _test(self, form: Typed, extra: Mapping[str, str]) -> None:
        reader = Reader(form)
        registration = reader.registration(planned=True)
        query = {"runs": str(TEST_RUNS)}
        answer = await self._ask("selftest", registration, query, reader, TEST_TIMEOUT_S)
        if answer is not None:
            self._test_answer.show(answer)

    async def _save(self, form: Typed, extra: Mapping[str, str]) -> None:
        reader = Reader(form)
        registration = reader.registration()
        made = await self._ask("", registration, {}, reader, PLAN_TIMEOUT_S)
        if made is not None and not self._client.is_deleted:
            self._client.run_javascript(f"{self._form.forget}; location.href = '/experiments/{made['id']}'")

    async def _ask(
        self, what: str, registration: dict[str, Any], query: Mapping[str, str], reader: Reader, timeout_s: float
    ) -> Any:
        """Ask control; None where something is wrong, which stands beside its field then."""
        if reader.problems:
            self._form.wrong(reader.problems)
            return None
        self._form.wrong({})
        path = f"/v1/experiments/{what}?{urlencode(query)}" if what else "/v1/experiments"
        method, version = "POST", None
        if not what and self._revises is not None:
            method, path, version = "PUT", f"{path}/{self._revises['id']}", self._revises["version"]
        try:
            return await self._send(method, path, registration, timeout_s, version)
        except ControlGone as error:
            self._form.wrong({}, problem_of(error))
        except ControlRefused as error:
            field = field_of(error.path, reader.form) if error.status in (409, 422) else ""
            self._form.wrong({field: error.message} if field else {}, "" if field else problem_of(error))
        return None

    async def _send(self, method: str, path: str, body: Any, timeout_s: float, version: int | None = None) -> Any:
        send = self._apis.control.send(method, path, self._session.key, body=body, version=version, timeout_s=timeout_s)
        return await asyncio.wait_for(send, timeout_s + 1.0)


def _control_first(endpoint: Endpoint) -> Sequence[str]:
    """The strategies, beginning with the one that answers now where that is one."""
    now = endpoint.policy.removeprefix("always ")
    return sorted(endpoint.strategies, key=lambda name: name != now)


def suggested(limits: Mapping[str, Any]) -> dict[str, str]:
    """The limits that a plan suggests, as they are typed: days rounded up to a tenth of what they are.

    >>> suggested({"max_units": 1234, "max_days": 12.34})
    {'max_units': '1234', 'max_days': '13'}
    """
    days = limits["max_days"]
    digits = 0 if days > 10 else 1 if days > 1 else 3
    up = -(-days * 10**digits // 1) / 10**digits
    return {"max_units": str(limits["max_units"]), "max_days": f"{max(up, 10.0**-digits):.12g}"}


def _assumed(extra: Mapping[str, str], problems: dict[str, str]) -> dict[str, str]:
    """What is known better than seen, as the plan's query."""
    found = {}
    for name in ("daily_units", "presence"):
        text = str(extra.get(name, "")).strip()
        if text:
            try:
                found[name] = f"{float(text):.12g}"
            except ValueError:
                problems[name] = f"This takes a number; got '{text[:40]}'."
    return found
