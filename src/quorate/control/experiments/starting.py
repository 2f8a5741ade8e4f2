"""Starting an experiment: what must hold of the endpoint, and the revision that splits its traffic."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from quorate import plugins
from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, PoolRoute
from quorate.control.experiments import metrics
from quorate.control.experiments.publishing import publish, served
from quorate.control.experiments.registration import Registration, parse
from quorate.control.journal.pins import Pin, pin
from quorate.control.revisions.publication import changing, repair
from quorate.core.types import Decision
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.experiments import ACTIVE, REGISTERED, RUNNING, Experiment, change_experiment, experiments
from quorate.store.experiments import experiment as stored


def check(registration: Registration, route: EndpointRoute, pool: PoolRoute) -> None:
    """Whether an endpoint can have this experiment; :class:`InvalidInput` or :class:`Conflict` says why not."""
    r = registration
    names = [strategy.name for strategy in route.strategies]
    for i, arm in enumerate(r.arms):
        if arm not in names:
            raise InvalidInput(
                f"Endpoint '{route.name}' has no strategy '{arm}'; expected some of {', '.join(names)}.",
                path="control" if i == 0 else f"treatments.{i - 1}",
            )
    policy = plugins.load("policies", route.policy.kind)
    if policy.learns or not policy.constant:
        how = "learns" if policy.learns else "decides by the request"
        raise Conflict(
            f"Endpoint '{route.name}' has the policy '{route.policy.kind}', which {how}: its traffic is no random "
            "split. "
            "Compare its strategies with `quorate replay`, or give the endpoint a fixed or split policy first.",
            path="endpoint",
        )
    if blind(r, route) and route.cache is not None:
        raise InvalidInput(
            f"Endpoint '{route.name}' keeps answers, and how fast a kept one comes would tell the arm; "
            "set blind: false or remove its cache.",
            path="blind",
        )
    _recorded(r, route)
    output = pool.signature.output
    used = set(r.components)
    if metrics.VALUE in used and route.value is None:
        raise InvalidInput(
            f"Endpoint '{route.name}' declares no business value; declare one under its 'value'.", path="metric"
        )
    if metrics.ACCURACY in used and output.kind != "scores":
        raise InvalidInput("Accuracy needs classes; this endpoint answers values: take absolute_error.", path="metric")
    if metrics.ABSOLUTE_ERROR in used and (output.kind != "values" or output.width != 1):
        raise InvalidInput("An absolute error needs an endpoint that answers one number per row.", path="metric")


def blind(registration: Registration, route: EndpointRoute) -> bool:
    """Whether answers tell the arm neither then nor later; an endpoint that is blind stays so."""
    return bool(registration.blind) or route.policy.blind


def check_carried(registration: Registration, route: EndpointRoute, recent: Sequence[Decision]) -> None:
    """:class:`Conflict` where recent requests lack the unit's key: under the experiment they would be refused."""
    key = registration.sticky
    if key is None or key == route.policy.sticky:
        return
    without = sum(d.context.get(key) is None for d in recent)
    if without:
        raise Conflict(
            f"Of the last {len(recent)} requests to '{route.name}' {without} came without context.{key}; under this "
            "experiment they would be refused. Have all callers send it first, or assign requests.",
            path="unit",
        )


def _recorded(r: Registration, route: EndpointRoute) -> None:
    """What is not written to the journal can be neither unit, segment nor covariate."""
    record = route.record
    for key in (*r.keys, *([r.sticky] if r.sticky else [])):
        if record.redact.get(key) == "remove":
            raise Conflict(
                f"Endpoint '{route.name}' removes context.{key} from its records, so it cannot be used here; "
                "set record.redact to 'hash', or name another key.",
                path=f"context.{key}",
            )
    if r.keys and record.sample < 1 and "context" in record.omit:
        raise Conflict(
            f"Endpoint '{route.name}' records the context of {record.sample:.0%} of its decisions only; "
            "segments and covariates need all of them.",
            path="segments" if r.segments else "covariate",
        )


def split(registration: Registration, route: EndpointRoute, experiment_id: str) -> EndpointRoute:
    """The endpoint during the experiment. Decisions that cannot be recorded are not answered: a record that is lost
    could have an arm's share. Units are assigned anew (``salt``), so that no earlier experiment's arms live on."""
    policy = PolicyRoute(
        kind="split",
        params={"weights": registration.shares},
        blind=blind(registration, route),
        sticky=registration.sticky,
        salt=experiment_id,
    )
    return msgspec.structs.replace(route, policy=policy, on_full="shed")


def start(
    home: Home, database: Database, experiment_id: str, *, author: str, clock: Clock, expected: int | None = None
) -> Experiment:
    """Start a registered experiment. Of two who do it at once, one does; :class:`Conflict` for the other.

    A crash before the commit leaves nothing but a pin, which is removed; one after it leaves the snapshot behind,
    which is written when control looks again.
    """
    with changing(home):
        repair(home, database)
        now = clock.now()
        pin(home, Pin(pin_name(experiment_id), now, f"experiment {experiment_id}"))
        with database.begin() as connection:
            found = required(connection, experiment_id, expected)
            if found.state != REGISTERED:
                raise Conflict(f"Experiment {found.id} is {found.state}; only a registered one can start.", path="id")
            other = experiments(connection, states=ACTIVE, endpoint=found.endpoint)
            if other:
                raise Conflict(
                    f"Endpoint '{found.endpoint}' is under experiment '{other[0].name}' ({other[0].id}) already; "
                    "stop or conclude it first.",
                    path="endpoint",
                )
            registration = parse(found.registration)
            _, _, route, pool = served(connection, found.endpoint)
            check(registration, route, pool)
            made = split(registration, route, found.id)
            routing = publish(home, connection, made, author=author, now=now)
            number = next(each.revision for each in routing.endpoints if each.name == found.endpoint)
            change_experiment(
                connection,
                found.id,
                version=found.version,
                state=RUNNING,
                started=now,
                base_revision=route.revision,
                revision=number,
            )
            detail = {"endpoint": found.endpoint, "name": found.name, "revision": number, "digest": registration.digest}
            add_entry(connection, at=now, actor=author, action="experiment.start", subject=found.id, detail=detail)
            after = stored(connection, found.id)
        snapshot.write(home.snapshot, routing)
    return after or found


def pin_name(experiment_id: str) -> str:
    """The name of the pin that keeps an experiment's decisions."""
    return f"experiment-{experiment_id}"


def required(connection: sa.Connection, experiment_id: str, expected: int | None = None) -> Experiment:
    """An experiment, at version ``expected`` where that is given; :class:`NotFound`, :class:`Conflict`."""
    found = stored(connection, experiment_id)
    if found is None:
        raise NotFound(f"There is no experiment '{experiment_id[:64]}'; /v1/experiments lists them.", path="id")
    if expected is not None and expected != found.version:
        raise Conflict(
            f"Experiment {found.id} is at version {found.version} by now ({found.state}), not {expected}: somebody "
            "else has changed it. Look at it again.",
            path="If-Match",
        )
    return found
