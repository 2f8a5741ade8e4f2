"""Fitting a calibration again from outcomes: when a standing check finds it off, or when an operator asks.

The rows are the newest whose truth is known and which the calibration has not seen; those of decisions that a caller
chose a strategy for are not among them. What is fitted is tried first: each fifth of the rows, in the order of time, is
calibrated by what the others say, and where that is not better than what is served, nothing is changed. Else it is the
next version of the same state, served by a new revision, with an entry in the audit trail. No label moves by it.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs import state as state_codec
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import CalibrationRoute, EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.calibration.known import UNTIL, Gathering, KnownRows, logged, until
from quorate.control.calibration.reliability import LEAST_ROWS, error_view, off, served
from quorate.control.calibration.views import RefittedView
from quorate.control.experiments.holding import held
from quorate.control.experiments.publishing import publish
from quorate.control.experiments.publishing import served as served_now
from quorate.control.learning.answering import LoggedStrategy
from quorate.control.revisions.publication import changing, repair
from quorate.core.calibrate.ece import Error, of_answers
from quorate.core.calibrate.methods import calibrate, refit
from quorate.core.types import FloatArray, State, StatusArray
from quorate.errors import Conflict, NotFound, QuorateError
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import CHAMPION, Registry
from quorate.store import ledger
from quorate.store.audit import add_entry
from quorate.store.database import Database

log = logging.getLogger("quorate.control")

AUTHOR = "calibration check"
FIT_ROWS = 20_000
"""Rows that a calibration is fitted on, at most."""
PARTS = 5
AGAIN_S = 600.0
"""Seconds after which it looks again although no newer decision has a truth: those of older ones come late."""


@dataclass(frozen=True)
class Fitted:
    """A calibration from outcomes, and the errors on held-out rows of what is served and of what would be."""

    state: State
    rows: int
    before: Error
    after: Error


class Refitter:
    """Looks after the calibrations of a project."""

    def __init__(self, home: Home, database: Database, registry: Registry, reader: JournalReader, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._registry = registry
        self._reader = reader
        self._clock = clock
        self._looked: dict[tuple[str, str], tuple[str, int, float]] = {}
        """By endpoint and strategy: the newest decision known at the last look, the version it was about, and when."""

    def look(self) -> None:
        """The standing check: fit again what is off, of strategies that say ``refit: auto``."""
        routing = snapshot.read_or_empty(self._home.snapshot)
        pools = {pool.name: pool for pool in routing.pools}
        for route in routing.endpoints:
            for strategy in route.strategies:
                if strategy.calibrate is None or not strategy.calibrate.refit:
                    continue
                try:
                    self._look(route, pools[route.pool], strategy, strategy.calibrate)
                except (QuorateError, OSError) as error:
                    log.warning("The calibration of '%s' of '%s' stays: %s", strategy.name, route.name, error)
                except Exception:  # a plugin's code must not end the looks at others
                    log.exception("The calibration of '%s' of '%s' stays", strategy.name, route.name)

    def _look(
        self, route: EndpointRoute, pool: PoolRoute, strategy: StrategyRoute, calibration: CalibrationRoute
    ) -> None:
        key = route.name, strategy.name
        with self._database.read() as connection:
            newest, now = (
                next(iter(ledger.newest_joined(connection, None, 1, ledger.TRUTH)), ""),
                self._clock.monotonic(),
            )
            known, version, at = self._looked.get(key, ("", 0, 0.0))
            if (known, version) == (newest, calibration.version) and now - at < AGAIN_S:
                return  # nothing newer became known since
            self._looked[key] = newest, calibration.version, now
            if route.name in held(connection):
                return
            found, rows = self._rows(connection, route, pool, strategy)
        if off(strategy, found, rows):
            self.refit(route.name, strategy.name, author=AUTHOR)

    def refit(self, endpoint: str, name: str, *, author: str) -> RefittedView:
        """Fit the calibration of a strategy again, and serve it.

        :class:`NotFound` where there is no such strategy, :class:`Conflict` where it has no calibration, where too
        little is known, where it would not be better, or where an experiment holds the endpoint.
        """
        route, pool = served(snapshot.read_or_empty(self._home.snapshot), endpoint)
        strategy = next((each for each in route.strategies if each.name == name), None)
        if strategy is None:
            names = ", ".join(each.name for each in route.strategies)
            raise NotFound(f"Endpoint '{endpoint}' has no strategy '{name}'; expected one of {names}.", path="strategy")
        calibration = strategy.calibrate
        if calibration is None:
            raise Conflict(
                f"Strategy '{name}' is not calibrated; name a calibration under 'calibrate'.", path="strategy"
            )
        if strategy.conformal is not None and not strategy.conformal.adaptive:
            raise Conflict(
                f"The conformal sets of '{name}' are those of this very calibration: with another one their coverage "
                "would not be kept. Set adaptive: true under conformal, or fit both again.",
                path="strategy",
            )
        champion = self._registry.aliases(calibration.state).get(CHAMPION)
        if champion is not None:
            raise Conflict(
                f"The alias '{CHAMPION}' says that '{calibration.state}' means version {champion}; a new version would "
                "be undone by the next apply. Remove the alias first.",
                path="strategy",
            )
        with self._database.read() as connection:
            found, rows = self._rows(connection, route, pool, strategy)
        return self._serve(route, strategy, calibration, fitted(found, rows), author)

    def _rows(
        self, connection: sa.Connection, route: EndpointRoute, pool: PoolRoute, strategy: StrategyRoute
    ) -> tuple[LoggedStrategy, KnownRows]:
        (found,) = logged(route, pool, self._registry.blobs.read, (strategy.name,))
        return found, Gathering(connection, self._reader, route, pool).rows([found], most=FIT_ROWS)[strategy.name]

    def _serve(
        self, route: EndpointRoute, strategy: StrategyRoute, before: CalibrationRoute, new: Fitted, author: str
    ) -> RefittedView:
        with changing(self._home):
            repair(self._home, self._database)
            with self._database.read() as connection:
                _require(connection, route, strategy)
            parent = self._registry.manifest(f"{before.state}:{before.version}")
            manifest = self._registry.register(
                Manifest(
                    name=before.state,
                    kind="state",
                    format="state",
                    metrics={"rows": float(new.rows), "error_before": new.before.value, "error_after": new.after.value},
                    parent=parent.ref,
                    # The parent's notes say of which recipe it is: `quorate train` has no need to make it anew.
                    notes={**parent.notes, "fitted": f"on outcomes of endpoint '{route.name}', by {author}"},
                ),
                state_codec.encode(new.state),
            )
            now = self._clock.now()
            with self._database.begin() as connection:
                present = _require(connection, route, strategy)
                made = msgspec.structs.replace(before, version=manifest.version, files=manifest.files)
                strategies = tuple(
                    msgspec.structs.replace(each, calibrate=made) if each.name == strategy.name else each
                    for each in present.strategies
                )
                changed = msgspec.structs.replace(present, strategies=strategies)
                routing = publish(self._home, connection, changed, author=author, now=now)
                number = next(each.revision for each in routing.endpoints if each.name == route.name)
                add_entry(
                    connection,
                    at=now,
                    actor=author,
                    action="calibration.refit",
                    subject=route.name,
                    detail={
                        "strategy": strategy.name,
                        "state": manifest.ref,
                        "revision": number,
                        "rows": new.rows,
                        "before": new.before._asdict(),
                        "after": new.after._asdict(),
                    },
                )
            snapshot.write(self._home.snapshot, routing)
        return RefittedView(
            endpoint=route.name,
            strategy=strategy.name,
            state=manifest.name,
            version=manifest.version,
            revision=number,
            rows=new.rows,
            before=error_view(new.before),
            after=error_view(new.after),
        )


def _require(connection: sa.Connection, route: EndpointRoute, strategy: StrategyRoute) -> EndpointRoute:
    """The endpoint as it is served, if the strategy is what it was and nothing holds it; else :class:`Conflict`."""
    _, _, present, _ = served_now(connection, route.name)
    experiment = held(connection).get(route.name)
    if experiment is not None:
        raise Conflict(
            f"Endpoint '{route.name}' is under experiment '{experiment.name}' ({experiment.id}) and cannot be changed; "
            "fit the calibration again when that is over.",
            path="name",
        )
    if strategy not in present.strategies:
        raise Conflict(f"Strategy '{strategy.name}' was changed meanwhile; ask again.", path="strategy")
    return present


def fitted(strategy: LoggedStrategy, rows: KnownRows) -> Fitted:
    """What the newest rows make of a strategy's calibration; :class:`Conflict` where that is not to be served."""
    before = strategy.calibration
    if before is None:
        raise Conflict(f"The calibration of '{strategy.name}' is lost; apply the configuration again.", path="strategy")
    fresh = rows.arrived > until(strategy)
    plain, truths, arrived = rows.plain[fresh], rows.truths[fresh], rows.arrived[fresh]
    status = None if strategy.plan is None else rows.status[fresh]
    if len(truths) < LEAST_ROWS:
        raise Conflict(
            f"Strategy '{strategy.name}' has {len(truths)} rows whose truth is known and which its calibration has not "
            f"seen; it takes {LEAST_ROWS}.",
            path="strategy",
        )
    meta = {name: before.meta[name] for name in ("classes", "strategy")}
    state = refit(before.kind, plain, truths, meta, status)
    held_out = _held_out(state, plain, truths, arrived, status)
    now, then = of_answers(calibrate(plain, before, rows.status[fresh]), truths), of_answers(held_out, truths)
    assert now is not None and then is not None  # noqa: S101, PT018 - there are rows
    if then.error.value >= now.error.value:
        raise Conflict(
            f"Fitted again on {len(truths)} rows, the calibration of '{strategy.name}' would not be better: its error "
            f"on held-out rows is {then.error.value:.4f}, that of the present one {now.error.value:.4f}.",
            path="strategy",
        )
    state = dataclasses.replace(state, meta={**state.meta, UNTIL: float(arrived.max())})
    return Fitted(state, len(truths), now.error, then.error)


def _held_out(
    state: State,
    plain: FloatArray,
    truths: NDArray[np.int64],
    arrived: NDArray[np.float64],
    status: StatusArray | None,
) -> FloatArray:
    """The rows calibrated by what the others say, a stretch of time after the other, with the sets that ``state``
    tells apart."""
    answers = np.empty_like(plain)
    order = np.argsort(arrived, kind="stable")
    for part in np.array_split(order, PARTS):
        others = np.setdiff1d(order, part)
        seen, held = (None, None) if status is None else (status[others], status[part])
        made = refit(state.kind, plain[others], truths[others], {}, seen, state.arrays.get("sets"))
        answers[part] = calibrate(plain[part], made, held)
    return answers
