"""Open Inference Protocol v2: what a generation serves under a name, and its answers; the same over REST and gRPC.

Endpoints and models share one namespace. An endpoint's version is its revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from quorate import __version__
from quorate.core.types import Decision, FloatArray, Scalar
from quorate.errors import InvalidInput, NotFound
from quorate.serving import answers, oip_responses
from quorate.serving.call import Call
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.fronts import LoadedFront
from quorate.serving.generation import Generation, Model
from quorate.serving.plane import Plane
from quorate.serving.residency import unloaded
from quorate.serving.sight import RawSight, Seen
from quorate.web import json

Target = LoadedEndpoint | Model | LoadedFront

_UNLOADED = "It was unloaded on request."
_ABSENT = "It is not in memory; its first request loads it."
SERVER = {"name": "quorate", "version": __version__}


NOTHING_TOLD: Mapping[str, NDArray[Any]] = MappingProxyType({})


class Answered(NamedTuple):
    """An answer ``[n, k]``, the name and version that gave it, what is said about it, and its decision if it is one.

    ``told`` are output tensors besides: who answered each row, and whether anybody did.
    """

    name: str
    version: str
    output: FloatArray
    parameters: dict[str, Scalar]
    decision: str | None = None
    told: Mapping[str, NDArray[Any]] = NOTHING_TOLD


def tells(found: Target, call: Call) -> bool:
    """Whether its answer has those tensors."""
    return isinstance(found, LoadedEndpoint) and answers.tells(found, call)


def target(generation: Generation, name: str, version: str | None) -> Target:
    """The endpoint or model of that name and version; :class:`NotFound` says what there is."""
    endpoint = generation.endpoints.get(name) or generation.fronts.get(name)
    if endpoint is None:
        return generation.model(name, version)
    if version is not None and version != str(endpoint.route.revision):
        raise NotFound(
            f"Endpoint '{name}' is at revision {endpoint.route.revision}; got version '{version[:32]}'.",
            path="model_version",
        )
    if isinstance(endpoint, LoadedFront) and endpoint.signature is None:
        raise NotFound(
            f"'{name}' is a front over endpoints of different inputs or outputs, which this protocol cannot describe; "
            f"use /v1/endpoints/{name}/predict, or one of: {', '.join(target.name for target in endpoint.targets)}.",
            path="model_name",
        )
    return endpoint


def is_blind(found: Target) -> bool:
    """Whether its answers are the label only."""
    return not isinstance(found, Model) and found.blind


def metadata(found: Target) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs."""
    signature = found.pool.route.signature
    if isinstance(found, Model):
        member = found.member
        return oip_responses.metadata(
            member.name, [str(member.version)], f"quorate_{member.route.format}", signature, blind=False
        )
    return oip_responses.metadata(
        found.name, [str(found.route.revision)], "quorate_ensemble", signature, blind=found.blind
    )


def is_loaded(found: Target) -> bool:
    """Whether it answers, if only after it was loaded; else somebody unloaded it."""
    return not (found.pool.unloaded if isinstance(found, Model) else found.unloaded)


def need_loaded(found: Target) -> None:
    """:class:`NotReady` where it answers nothing because somebody unloaded it."""
    if not is_loaded(found):
        kind, name = ("Model", found.member.name) if isinstance(found, Model) else ("Endpoint", found.name)
        raise unloaded(kind, name)


def index(generation: Generation, *, ready_only: bool = False) -> list[dict[str, str]]:
    """Every endpoint and every version of every model, with its state; or those that answer."""
    found = [(e.name, str(e.route.revision), e.unloaded, e.pool) for e in generation.endpoints.values()]
    fronts = [front for front in generation.fronts.values() if front.signature is not None]
    found += [(f.name, str(f.route.revision), f.unloaded, f.pool) for f in fronts]
    for name, versions in generation.models.items():
        found += [(name, str(version), model.pool.unloaded, model.pool) for version, model in versions.items()]
    return [
        {
            "name": name,
            "version": version,
            "state": "UNAVAILABLE" if out else "READY",
            "reason": _UNLOADED if out else "" if pool.resident else _ABSENT,
        }
        for name, version, out, pool in found
        if not (ready_only and out)
    ]


def ready_only(body: bytes, depth: int) -> bool:
    """Whether a request for the index is about what answers only; JSON may be ``depth`` deep."""
    asked = json.decode(body, depth=depth) if body.strip() else {}
    if not isinstance(asked, dict) or asked.keys() - {"ready"} or not isinstance(asked.get("ready", False), bool):
        raise InvalidInput('The body is {} or {"ready": true}.', path="ready")
    return bool(asked.get("ready", False))


def no_parameters(body: bytes, depth: int) -> None:
    """:class:`InvalidInput` where a load or unload asks for more than that."""
    asked = json.decode(body, depth=depth) if body.strip() else {}
    if not isinstance(asked, dict) or asked.keys() - {"parameters"} or asked.get("parameters"):
        raise InvalidInput("The body is {}: a load or unload has no parameters.", path="parameters")


async def answer(plane: Plane, found: Target, call: Call, *, told: bool = False) -> Answered:
    """Answer a call; a model answers for itself, without a decision. ``told`` says who answers (:func:`tells`)."""
    if isinstance(found, Model):
        output = await plane.run_model(found, call)
        return Answered(found.member.name, str(found.member.version), output, {})
    if isinstance(found, LoadedFront):
        kind = found.pool.route.signature.input_kind
        sight = RawSight(call.raw, plane.generation.limits)
        sent = await plane.send(found, Seen(kind, call.rows, call.size, call.arrived, call.context, sight))
        decision = await plane.predict(sent.endpoint, replace(call, facts=sent.facts))
    else:
        decision = await plane.predict(found, call)
    assert decision.answer is not None  # noqa: S101 - predict raises otherwise
    parameters = _parameters(decision, blind=found.blind)
    if isinstance(found, LoadedFront):
        parameters["endpoint"] = decision.endpoint
    more = answers.tensors(found, decision, call) if told and isinstance(found, LoadedEndpoint) else NOTHING_TOLD
    return Answered(found.name, str(found.route.revision), decision.answer, parameters, decision.id, more)


def _parameters(decision: Decision, *, blind: bool) -> dict[str, Scalar]:
    if blind:
        return {"decision_id": decision.id}
    return {"decision_id": decision.id, "strategy": decision.served, "degraded": decision.degraded}
