"""Replays in the store."""

from __future__ import annotations

from quorate.store.questions import (
    CANCELLED,
    DONE,
    ENDED,
    FAILED,
    QUEUED,
    RUNNING,
    STATES,
    Questions,
    StoredQuestion,
)

__all__ = [
    "CANCELLED",
    "DONE",
    "ENDED",
    "FAILED",
    "QUEUED",
    "RUNNING",
    "STATES",
    "StoredReplay",
    "add_replay",
    "remove_replay",
    "replay",
    "replays",
    "update_replay",
]

StoredReplay = StoredQuestion

_replays = Questions("replays")
add_replay = _replays.add
replay = _replays.one
replays = _replays.newest
update_replay = _replays.update
remove_replay = _replays.remove
