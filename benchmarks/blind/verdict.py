"""What an answer must not contain, whatever was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.blind.caller import Seen
from benchmarks.blind.site import ARMS, OTHER_ARMS

ALLOWED = {"id", "endpoint", "predictions"}
NAMES = tuple(name.encode() for name in ARMS + OTHER_ARMS)


def says_more(seen: Seen) -> str | None:
    """Why an answer of a blind endpoint says more than it may, or None.

    No arm's name, unless the caller itself named it; in an answer nothing but id, endpoint and label.
    """
    named = [name for name in NAMES if name in seen.head + seen.body and name not in seen.ask.raw]
    if named:
        return f"it names {named[0].decode()}"
    if seen.ask.kind != "answer" or seen.status != 200:
        return None
    if seen.ask.form in ("protocol", "binary"):
        length = next((h for h in seen.head.split(b"\r\n") if h.lower().startswith(b"inference-header")), b"")
        body = json.loads(seen.body[: int(length.split(b": ")[1])] if length else seen.body)
        outputs = [output["name"] for output in body["outputs"]]
        more = body.keys() - {"model_name", "model_version", "outputs", "parameters"}
        return None if outputs == ["label"] and set(body["parameters"]) == {"decision_id"} and not more else "fields"
    body = json.loads(seen.body)
    fine = set(body) == ALLOWED and all(set(row) == {"label"} for row in body["predictions"])
    return None if fine else "fields"


def unblinded(seen: Sequence[Seen]) -> int:
    """How many answers say more than they may."""
    return sum(says_more(one) is not None for one in seen)


def told(kinds: Mapping[str, int]) -> str:
    """What came back, by kind and status, in short."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
