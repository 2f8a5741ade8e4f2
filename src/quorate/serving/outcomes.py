"""Outcomes as they come in: checked, told from repetitions, written to the journal; then acknowledged.

Nothing is required of their order: an outcome may come late, twice, or before its decision is known here. What an
outcome means is settled where journals are ingested; here only what can never be right is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quorate.clock import Clock
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import RecordKind
from quorate.codecs.lookup import JournalReader
from quorate.codecs.sidecar import Outline
from quorate.core.types import Outcome
from quorate.errors import InvalidInput, Overloaded
from quorate.ids import DecisionId
from quorate.serving.background import Background
from quorate.serving.idempotency import Fact, IdempotencyTable
from quorate.serving.journal import Journal

TRUTH = "truth"
REWARD = "reward"
MAX_TEXT = 1000
MAX_NAME = 64
MAX_METRICS = 32
MAX_ROW = 2**31 - 1
EARLIEST = 946_684_800.0  # 2000-01-01: earlier is a mistake in the unit
AHEAD_S = 3600.0
_FIELDS = frozenset({"id", "row", "truth", "reward", "rewards", "source", "at"})


class OutcomeDesk:
    """Takes outcomes in; owned by one event loop. Look-ups in the journal run in a thread of its own."""

    def __init__(self, reader: JournalReader, table: IdempotencyTable, journal: Journal, clock: Clock) -> None:
        self._reader = reader
        self._table = table
        self._journal = journal
        self._clock = clock
        self._background = Background("outcomes")

    async def accept(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Take a list of outcomes, as parsed from JSON, each for itself.

        Returns how many were ``accepted`` (new, or a correction of an earlier value), ``duplicate`` (nothing new) or
        ``pending`` (accepted, but the decision is not known here yet), and those ``rejected`` with index, code,
        detail and path. All but the rejected are in the journal by then. Raises
        :class:`~quorate.errors.Overloaded` when the journal cannot take them: then send all of them again.
        """
        now = self._clock.now()
        parsed: dict[int, Outcome] = {}
        rejected: dict[int, InvalidInput] = {}
        for index, item in enumerate(items):
            try:
                parsed[index] = parse(item, now=now, path=f"[{index}]")
            except InvalidInput as error:
                rejected[index] = error
        decisions = await self._background.submit(self._find, {outcome.decision for outcome in parsed.values()})
        for index, outcome in list(parsed.items()):
            decision = decisions[outcome.decision]
            if decision is not None:
                try:
                    check(outcome, decision, path=f"[{index}]")
                except InvalidInput as error:
                    rejected[index] = error
                    del parsed[index]
        fresh = await self._keep(list(parsed.values()))
        pending = sum(decisions[outcome.decision] is None for outcome in fresh)
        return {
            "accepted": len(fresh) - pending,
            "duplicate": len(parsed) - len(fresh),
            "pending": pending,
            "rejected": [
                {"index": index, "code": error.code, "detail": error.message, "path": error.path}
                for index, error in sorted(rejected.items())
            ],
        }

    def _find(self, ids: Iterable[str]) -> dict[str, Outline | None]:
        return {decision_id: self._reader.outline(decision_id) for decision_id in ids}

    async def _keep(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Journal the outcomes that say anything new; those are returned.

        They are remembered only once they are in the journal: a crash between the two makes a repetition in the
        journal, which changes nothing, where the other order would lose an outcome.
        """
        told = [facts(outcome) for outcome in outcomes]
        news = iter(await self._table.first_seen([fact for each in told for fact in each]))
        fresh: list[Outcome] = []
        known: list[Fact] = []
        for outcome, each in zip(outcomes, told, strict=True):
            if {next(news) for _ in each} != {"duplicate"}:
                fresh.append(outcome)
                known.extend(each)
        payloads = [outcome_codec.encode(outcome) for outcome in fresh]
        if await self._journal.append_many(payloads, RecordKind.OUTCOME, on_full="shed") < len(fresh):
            raise Overloaded(
                "The outcomes cannot be recorded now: the journal's disk is full, failing or stalled; retry."
            )
        if known:
            await self._table.remember(known)
        return fresh


def facts(outcome: Outcome) -> list[Fact]:
    """What an outcome says, one value each."""
    o = outcome
    values = {TRUTH: o.truth} if o.truth is not None else o.rewards
    return [Fact(o.decision, o.row, metric, o.source, value, o.at) for metric, value in values.items()]


def parse(item: Mapping[str, Any], *, now: float, path: str) -> Outcome:
    """One outcome from its JSON object; :class:`InvalidInput` names the field below ``path``.

    ``at`` defaults to ``now`` (Unix seconds), ``row`` to 0, ``source`` to ``user``; a single ``reward`` is the metric
    of that name.
    """
    unknown = sorted(item.keys() - _FIELDS)
    if unknown:
        raise InvalidInput(
            f"An outcome has no field '{unknown[0][:64]}'; expected some of {', '.join(sorted(_FIELDS))}.",
            path=f"{path}.{unknown[0][:64]}",
        )
    for name, value in item.items():
        if value is None:
            raise InvalidInput(f"'{name}' is null, which is no value; leave it out.", path=f"{path}.{name}")
    given = [name for name in ("truth", "reward", "rewards") if name in item]
    if len(given) != 1:
        raise InvalidInput(
            f"An outcome has exactly one of truth, reward and rewards; got {' and '.join(given) or 'none'}.", path=path
        )
    text = item.get("id")
    if not isinstance(text, str):
        raise InvalidInput(
            f"An outcome needs the 'id' of the answer it is about; got {_shown(text)}.", path=f"{path}.id"
        )
    row = item.get("row", 0)
    if type(row) is not int or not 0 <= row <= MAX_ROW:
        raise InvalidInput(f"'row' is the row's index in the request, from 0; got {_shown(row)}.", path=f"{path}.row")
    return Outcome(
        decision=str(DecisionId.parse(text, path=f"{path}.id")),
        row=row,
        truth=_truth(item["truth"], f"{path}.truth") if given == ["truth"] else None,
        rewards={} if given == ["truth"] else _rewards(item, f"{path}.{given[0]}"),
        source=_name(item.get("source", "user"), "source", f"{path}.source"),
        at=_at(item["at"], now, f"{path}.at") if "at" in item else now,
        received=now,
    )


def check(outcome: Outcome, decision: Outline, *, path: str) -> None:
    """Raise :class:`InvalidInput` if the outcome cannot be about this decision."""
    if outcome.row >= decision.rows:
        raise InvalidInput(
            f"The decision has {decision.rows} rows, numbered from 0; got row {outcome.row}.", path=f"{path}.row"
        )
    truth = outcome.truth
    if truth is None:
        return
    if decision.output_kind == "scores":
        if truth not in decision.classes:
            known = ", ".join(f"'{label}'" for label in decision.classes[:20])
            more = ", …" if len(decision.classes) > 20 else ""
            raise InvalidInput(
                f"'truth' is a class of endpoint '{decision.endpoint}', a string: {known}{more}; got {_shown(truth)}.",
                path=f"{path}.truth",
            )
    elif isinstance(truth, str):
        raise InvalidInput(
            f"'truth' is a number for endpoint '{decision.endpoint}'; got {_shown(truth)}.", path=f"{path}.truth"
        )


def _truth(value: Any, path: str) -> str | float:
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return value
    if isinstance(value, str | bool) or not isinstance(value, int | float):
        raise InvalidInput(
            f"'truth' is a class (at most {MAX_TEXT} characters) or a number; got {_shown(value)}.", path=path
        )
    return _number(value, path)


def _rewards(item: Mapping[str, Any], path: str) -> dict[str, float]:
    if "reward" in item:
        return {REWARD: _number(item["reward"], path)}
    rewards = item["rewards"]
    if not isinstance(rewards, dict) or not 1 <= len(rewards) <= MAX_METRICS:
        raise InvalidInput(f"'rewards' maps 1 to {MAX_METRICS} metrics to numbers; got {_shown(rewards)}.", path=path)
    for metric in rewards:
        _name(metric, "metric", path)
        if metric == TRUTH:
            raise InvalidInput("A metric cannot be called 'truth'; send it as the outcome's truth.", path=path)
    return {metric: _number(value, f"{path}.{metric}") for metric, value in rewards.items()}


def _number(value: Any, path: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise InvalidInput(f"Expected a finite number; got {_shown(value)}.", path=path)


def _name(value: Any, what: str, path: str) -> str:
    if isinstance(value, str) and 1 <= len(value) <= MAX_NAME and value.isprintable():
        return value
    raise InvalidInput(f"A {what} has 1 to {MAX_NAME} printable characters; got {_shown(value)}.", path=path)


def _at(value: Any, now: float, path: str) -> float:
    at = _number(value, path)
    if EARLIEST <= at <= now + AHEAD_S:
        return at
    raise InvalidInput(
        f"'at' is when the truth became known, in Unix seconds, after 2000 and not in the future; got {_shown(value)}.",
        path=path,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 64 else text[:61] + "…"
